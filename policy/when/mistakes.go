package when

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// What CEL says of a text, as far as it can be said better.
var (
	sayUnknown     = regexp.MustCompile(`^undeclared reference to '([^']*)'(?: \(did you mean '([^']*)'(?: or '[^']*')?\?\))?`)
	sayOverload    = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	sayUnexpected  = regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(.*)' expecting`)
	sayNoViable    = regexp.MustCompile(`^Syntax error: no viable alternative at input '(.*)'$`)
	sayMissing     = regexp.MustCompile(`^Syntax error: missing '(.*)' at '(.*)'$`)
	sayUnreadable  = regexp.MustCompile(`^Syntax error: token recognition error at: '(.*)'$`)
	sayArgument    = regexp.MustCompile(`^invalid (ip|cidr) argument: `)
	sayNoSelection = regexp.MustCompile(`^type '(.*)' does not support field selection`)
	sayExpected    = regexp.MustCompile(`^expected type '(.*)' but found '(.*)'$`)
	sayReserved    = regexp.MustCompile(`^reserved identifier: (.*)$`)
)

// meant are the operators for what other languages write.
var meant = map[string]string{"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||", "===": "==", "<>": "!="}

// mistakes puts what CEL found into words. Of the syntax only the first mistake is told: the others follow
// from it, mostly.
func (l *language) mistakes(text string, found []*common.Error) Errors {
	var errs Errors
	syntax := false
	for _, f := range found {
		if strings.HasPrefix(f.Message, "Syntax error: ") {
			if syntax {
				continue
			}
			syntax = true
		}
		e := l.mistake(text, f)
		if !slices.ContainsFunc(errs, func(other *Error) bool { return *other == *e }) {
			errs = append(errs, e)
		}
	}
	if slices.ContainsFunc(errs, func(e *Error) bool { return strings.HasPrefix(e.Text, "unknown function ") }) {
		// It may be a misspelt exists, whose name for each element is not known either then.
		errs = slices.DeleteFunc(errs, func(e *Error) bool {
			return strings.HasPrefix(e.Text, "unknown name ") && e.Suggestion == ""
		})
	}
	slices.SortStableFunc(errs, byPlace)
	return errs
}

func byPlace(a, b *Error) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

func (l *language) mistake(condition string, f *common.Error) *Error {
	e := &Error{Line: max(1, f.Location.Line()), Column: max(1, f.Location.Column()+1)}
	say := func(format string, args ...any) { e.Text = fmt.Sprintf(format, args...) }
	line := lineOf(condition, e.Line)
	switch m := f.Message; {
	case sayUnknown.MatchString(m):
		found := sayUnknown.FindStringSubmatch(m)
		e.Column = begin(line, e.Column, found[1])
		e.Suggestion = found[2]
		if strings.HasPrefix(strings.TrimLeft(after(line, e.Column+utf8.RuneCountInString(found[1])), " "), "(") {
			say("unknown function %.60q", found[1])
			if slices.Contains(l.words, found[1]) {
				say("%s is no function: leave out the parentheses", found[1])
			}
			break
		}
		if e.Suggestion == "" {
			e.Suggestion = text.Nearest(found[1], l.words)
		}
		say("unknown name %.60q", found[1])
		if e.Suggestion == "" {
			say("unknown name %.60q; there are request.ip, now, user, groups, claims, client and registry", found[1])
		}
	case sayOverload.MatchString(m):
		found := sayOverload.FindStringSubmatch(m)
		e.Column = begin(line, e.Column, found[1])
		say("%s%s", overload(found[1], found[2]), instead(condition, found[1], found[2]))
	case sayUnexpected.MatchString(m) || sayNoViable.MatchString(m):
		found := sayUnexpected.FindStringSubmatch(m)
		if found == nil {
			found = sayNoViable.FindStringSubmatch(m)
		}
		unexpected(e, found[1], strings.Contains(m, "expecting <EOF>"), strings.Contains(m, "expecting ':'"))
	case sayMissing.MatchString(m):
		found := sayMissing.FindStringSubmatch(m)
		say("a %s is missing before %.40q", found[1], found[2])
		if found[2] == "<EOF>" {
			say("a %s is missing at the end", found[1])
		}
	case sayUnreadable.MatchString(m):
		unreadable(e, strings.TrimSpace(sayUnreadable.FindStringSubmatch(m)[1]))
	case sayArgument.MatchString(m):
		written, _ := quotedAt(line, e.Column)
		if sayArgument.FindStringSubmatch(m)[1] == "ip" {
			say("%.60s is no IP address like 10.1.2.3", written)
		} else {
			say("%.60s is no network like 10.0.0.0/8", written)
		}
	case sayNoSelection.MatchString(m):
		say("%s has no parts that a dot could name", typeNamed(sayNoSelection.FindStringSubmatch(m)[1]))
	case sayExpected.MatchString(m):
		found := sayExpected.FindStringSubmatch(m)
		say("%s is wanted here, not %s", typeNamed(found[1]), typeNamed(found[2]))
	case sayReserved.MatchString(m):
		say("%.40q is a word that CEL keeps for itself", sayReserved.FindStringSubmatch(m)[1])
	case strings.Contains(m, "recursion limit exceeded"):
		say("the condition is nested too deeply; the limit is %d", maxDepth)
	default:
		say("%.200s", strings.TrimPrefix(m, "Syntax error: "))
	}
	return e
}

// unexpected says that something stands where it cannot.
func unexpected(e *Error, what string, ended, question bool) {
	e.Suggestion = meant[strings.ToLower(what)]
	switch {
	case what == "<EOF>" && question:
		e.Text = "the condition ends where a : and another value are wanted"
	case what == "<EOF>":
		e.Text = "the condition ends where a value is wanted"
	case ended:
		e.Text = fmt.Sprintf("%.40q does not belong here: the condition could end before it", what)
	default:
		e.Text = fmt.Sprintf("%.40q does not belong here: a value is wanted", what)
	}
	if e.Suggestion != "" {
		e.Text = fmt.Sprintf("%.40q is no operator", what)
	}
}

// unreadable says that some characters mean nothing.
func unreadable(e *Error, what string) {
	switch {
	case strings.HasPrefix(what, `"`), strings.HasPrefix(what, "'"):
		e.Text = "the text in quotes does not end"
	case what == "":
		e.Text = "there is a character that means nothing here"
	default:
		if r, _ := utf8.DecodeRuneInString(what); !unicode.IsLetter(r) {
			what = strings.TrimRightFunc(what, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsLetter(r) })
		}
		e.Text = fmt.Sprintf("%.40q means nothing here", what)
		e.Suggestion = meant[what]
	}
}

// overload says that a function or an operator does not take what it was given.
func overload(function, types string) string {
	operator := strings.Trim(function, "_@")
	switch function {
	case "@in":
		operator = "in"
	case "_[_]":
		operator = "[ ]"
	case "_?_:_":
		operator = "? :"
	}
	target, args, member := strings.Cut(types, ".(")
	if !member {
		args = strings.TrimPrefix(types, "(")
	}
	list := typesNamed(strings.TrimSuffix(args, ")"))
	given := strings.Join(list, " and ")
	switch {
	case function == "_?_:_" && len(list) == 3:
		return fmt.Sprintf("true or false is wanted before the ?, and two values of one kind behind it, not %s, %s and %s", list[0], list[1], list[2])
	case member && given == "":
		return fmt.Sprintf("%s of %s is nothing", operator, typeNamed(target))
	case member:
		return fmt.Sprintf("%s of %s does not take %s", operator, typeNamed(target), given)
	case strings.ContainsAny(operator, "=<>&|+-*/%!") || operator == "in":
		return fmt.Sprintf("%s does not go with %s", operator, given)
	}
	return fmt.Sprintf("%s does not take %s", operator, given)
}

// instead says what is mostly meant by whoever compares a day with its name, or an address with a text.
func instead(text, function, types string) string {
	if function != "@in" && function != "_==_" && function != "_!=_" || !strings.Contains(types, "string") {
		return ""
	}
	switch {
	case strings.Contains(types, "net.IP"):
		return `: write cidr("10.0.0.0/8").containsIP(request.ip)`
	case strings.Contains(types, "int") && strings.Contains(text, ".getDayOfWeek("):
		return ": days have the names SUNDAY to SATURDAY, without quotes"
	case strings.Contains(types, "int") && strings.Contains(text, ".getMonth("):
		return ": months have the names JANUARY to DECEMBER, without quotes"
	}
	return ""
}

// typeInWords names a type as a person would.
func typeInWords(t *cel.Type) string {
	return typeNamed(cel.FormatCELType(t))
}

// typeNamed is typeInWords for a type as CEL writes it.
func typeNamed(t string) string {
	t = strings.TrimSpace(t)
	switch t {
	case "string":
		return "a text"
	case "int", "uint", "double":
		return "a number"
	case "bool":
		return "true or false"
	case "timestamp", "google.protobuf.Timestamp":
		return "a time"
	case "duration", "google.protobuf.Duration":
		return "a duration"
	case "net.IP":
		return "an address"
	case "net.CIDR":
		return "a network"
	case "dyn":
		return "anything"
	case "null", "null_type":
		return "null"
	case "bytes":
		return "bytes"
	}
	switch {
	case strings.HasPrefix(t, "list("):
		return "a list"
	case strings.HasPrefix(t, "map("):
		return "a map"
	case strings.HasPrefix(t, "optional_type("):
		return "an optional"
	case strings.HasPrefix(t, "type("):
		return "a type"
	}
	return t
}

// typesNamed names the types of a list, which are parted by commas outside of parentheses.
func typesNamed(list string) []string {
	var names []string
	depth, from := 0, 0
	for i, r := range list {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			names = append(names, typeNamed(list[from:i]))
			from = i + 1
		}
	}
	if strings.TrimSpace(list[from:]) != "" {
		names = append(names, typeNamed(list[from:]))
	}
	return names
}

// lineOf returns a line of the text, from 1.
func lineOf(text string, line int) string {
	for ; line > 1; line-- {
		_, text, _ = strings.Cut(text, "\n")
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// after returns what stands in the line from a column on.
func after(line string, column int) string {
	for ; column > 1 && line != ""; column-- {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	return line
}

// begin returns the column where the name begins that CEL points into or behind: at the dot of
// request.ip, at the parenthesis after a function.
func begin(line string, column int, name string) int {
	for back := 0; back <= utf8.RuneCountInString(name) && back < column; back++ {
		if strings.HasPrefix(after(line, column-back), name) {
			return column - back
		}
	}
	return column
}

// quotedAt returns the text in quotes that begins at a column, with its quotes.
func quotedAt(line string, column int) (string, bool) {
	rest := after(line, column)
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return "it", false
	}
	end := strings.IndexByte(rest[1:], rest[0])
	if end < 0 {
		return "it", false
	}
	return rest[:end+2], true
}
