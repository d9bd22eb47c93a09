package strictyaml

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntax returns the position at which a file is not YAML, and the reason. For common errors, the
// reason explains the error in the file. For other errors, the reason is the parser's text.
func syntax(src []byte, err error) (line, column int, format string, text any) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		return 0, 0, "reading YAML: %v", err
	}
	s := syntaxError{src: src, line: e.Mark.Line, column: e.Mark.Column, message: e.Message, context: e.ContextMsg}
	if e.ContextMark.Line > 0 && e.ContextMark != e.Mark {
		s.fromLine, s.fromColumn = e.ContextMark.Line, e.ContextMark.Column
	}
	for _, common := range []func(*syntaxError) string{findTab, findUnquoted, findColon, findIndentation, findUnclosed} {
		if reported := common(&s); reported != "" {
			return s.line, s.column, "this is not YAML: %s", reported
		}
	}
	message := s.message
	switch {
	case s.context != "" && s.fromLine > 0:
		message += fmt.Sprintf(" %s that begins at %d:%d", s.context, s.fromLine, s.fromColumn)
	case s.context != "":
		message += " " + s.context
	}
	return s.line, s.column, "this is not YAML: %s", message
}

// syntaxError is an error of the parser. Each of the functions findTab, findUnquoted, findColon,
// findIndentation and findUnclosed recognizes one kind of error and returns a text that explains
// it, or "" for other errors. Such a function can also move the error's position to the cause.
type syntaxError struct {
	src                  []byte
	line, column         int
	message              string // "did not find expected ',' or ']'"
	context              string // "while parsing a flow sequence"
	fromLine, fromColumn int    // where the context begins; 0: at the error
}

// moveBack moves the error to the beginning of its context, such as the key or the bracket that
// the parser was reading.
func (s *syntaxError) moveBack() {
	if s.fromLine > 0 {
		s.line, s.column = s.fromLine, s.fromColumn
	}
}

// splitLine splits the error's line at the error's column.
func (s *syntaxError) splitLine() (before, after string) {
	text, _ := lineOf(s.src, s.line)
	runes := []rune(text)
	at := min(max(s.column-1, 0), len(runes))
	return string(runes[:at]), string(runes[at:])
}

// lineAbove finds the nearest line that is above the error and is not blank. It returns the
// number and the indentation of this line. A dash counts as a space. At the top of the file,
// lineAbove returns 0 and -1.
func (s *syntaxError) lineAbove() (line, indent int) {
	for line = s.line - 1; line > 0; line-- {
		text, _ := lineOf(s.src, line)
		if begins := strings.TrimLeft(text, " -"); begins != "" {
			return line, len(text) - len(begins)
		}
	}
	return 0, -1
}

// findTab finds a tab in the indentation.
func findTab(s *syntaxError) string {
	if before, after := s.splitLine(); strings.HasPrefix(after, "\t") && strings.Trim(before, " \t") == "" {
		return "a tab; indent YAML with spaces"
	}
	return ""
}

// findUnquoted finds text without quotes that begins with a special character of YAML, usually a
// pattern such as **.
func findUnquoted(s *syntaxError) string {
	_, after := s.splitLine()
	switch {
	case strings.HasPrefix(s.message, "unknown anchor "), s.context == "while scanning an alias":
		if text, _ := lineOf(s.src, s.fromLine); s.fromLine > 0 && s.context != "" && text != "" {
			s.moveBack()
		}
		return "a text that begins with * must be in quotes"
	case s.context == "while scanning an anchor":
		s.moveBack()
		return "a text that begins with & must be in quotes"
	case s.message == "found character that cannot start any token" && after != "":
		return fmt.Sprintf("a text that begins with %.1s must be in quotes", after)
	case strings.HasPrefix(s.message, "found unknown escape character"):
		return "write a backslash in double quotes twice, or use single quotes"
	}
	return ""
}

// findColon finds a second colon in a line, and a missing colon.
func findColon(s *syntaxError) string {
	switch s.message {
	case "mapping values are not allowed in this context":
		before, _ := s.splitLine()
		key := strings.TrimLeft(before, " -")
		if strings.Contains(key, ": ") {
			return "the text contains a colon and a space; put the text in quotes"
		}
		s.column -= len([]rune(key))
		if above, indent := s.lineAbove(); indent >= s.column-1 {
			s.line, s.column = above, indent+1
			return "a colon is missing in this line"
		}
		return "the line continues the line above, because it is indented more"
	case "could not find expected ':'":
		s.moveBack()
		return "a colon is missing after this key"
	case "block sequence entries are not allowed in this context":
		return "a dash begins a list item only at the beginning of a line"
	}
	return ""
}

// findIndentation finds a line that is indented differently from its neighbours.
func findIndentation(s *syntaxError) string {
	what := map[string]string{"while parsing a block collection": "list", "while parsing a block mapping": "section"}[s.context]
	if what == "" || s.fromLine == 0 || s.message != "did not find expected '-' indicator" && s.message != "did not find expected key" {
		return ""
	}
	if before, _ := s.splitLine(); strings.TrimLeft(before, " ") != "" {
		return "" // the error is within the line
	}
	return fmt.Sprintf("the indentation differs from the %s that begins at %d:%d", what, s.fromLine, s.fromColumn)
}

// findUnclosed finds a bracket or a quote that is not closed. The error is reported at the opening
// bracket or quote.
func findUnclosed(s *syntaxError) string {
	switch {
	case s.fromLine == 0:
		return ""
	case s.context == "while scanning a quoted scalar":
		s.moveBack()
		return "the quote that begins here is not closed"
	case s.context != "while parsing a flow sequence" && s.context != "while parsing a flow mapping":
		return ""
	}
	open, end := "bracket", "]"
	if s.context == "while parsing a flow mapping" {
		open, end = "brace", "}"
	}
	if s.line == s.fromLine {
		return fmt.Sprintf("a comma or a %s is missing before this", end)
	}
	s.moveBack()
	return fmt.Sprintf("the %s that begins here is not closed, or a comma is missing in it", open)
}
