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

// These patterns match the error messages of CEL that translateOne replaces.
var (
	celUnknown     = regexp.MustCompile(`^undeclared reference to '([^']*)'(?: \(did you mean '([^']*)'(?: or '[^']*')?\?\))?`)
	celOverload    = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	celUnexpected  = regexp.MustCompile(`^Syntax error: (?:(?:mismatched|extraneous) input '(.*)' expecting|no viable alternative at input '(.*)'$)`)
	celMissing     = regexp.MustCompile(`^Syntax error: missing '(.*)' at '(.*)'$`)
	celUnreadable  = regexp.MustCompile(`^Syntax error: token recognition error at: '(.*)'$`)
	celArgument    = regexp.MustCompile(`^invalid (ip|cidr) argument: `)
	celNoSelection = regexp.MustCompile(`^type '(.*)' does not support field selection`)
	celExpected    = regexp.MustCompile(`^expected type '(.*)' but found '(.*)'$`)
	celReserved    = regexp.MustCompile(`^reserved identifier: (.*)$`)
)

// operatorFor maps operators of other languages to operators of CEL.
var operatorFor = map[string]string{"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||", "===": "==", "<>": "!="}

// translate replaces CEL's error messages by messages of this package. It keeps only the first
// syntax error, because the first error usually causes the others.
func (l *language) translate(text string, found []*common.Error) Errors {
	var errs Errors
	syntax := false
	for _, f := range found {
		if strings.HasPrefix(f.Message, "Syntax error: ") {
			if syntax {
				continue
			}
			syntax = true
		}
		e := l.translateOne(text, f)
		if !slices.ContainsFunc(errs, func(other *Error) bool { return *other == *e }) {
			errs = append(errs, e)
		}
	}
	if slices.ContainsFunc(errs, func(e *Error) bool { return strings.HasPrefix(e.Text, "unknown function ") }) {
		// An unknown function can be a misspelled macro such as exists. Then the macro's
		// variable is unknown, too, and the second error has no useful information.
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

func (l *language) translateOne(condition string, f *common.Error) *Error {
	e := &Error{Line: max(1, f.Location.Line()), Column: max(1, f.Location.Column()+1)}
	setText := func(format string, args ...any) { e.Text = fmt.Sprintf(format, args...) }
	line := lineOf(condition, e.Line)
	switch m := f.Message; {
	case celUnknown.MatchString(m):
		found := celUnknown.FindStringSubmatch(m)
		e.Column = nameStart(line, e.Column, found[1])
		e.Suggestion = found[2]
		if strings.HasPrefix(strings.TrimLeft(restOfLine(line, e.Column+utf8.RuneCountInString(found[1])), " "), "(") {
			setText("unknown function %.60q", found[1])
			if slices.Contains(l.words, found[1]) {
				setText("%s is not a function: remove the parentheses", found[1])
			}
			break
		}
		if e.Suggestion == "" {
			e.Suggestion = text.Nearest(found[1], l.words)
		}
		setText("unknown name %.60q", found[1])
		if e.Suggestion == "" {
			setText("unknown name %.60q; there are request.ip, now, user, groups, claims, client and registry", found[1])
		}
	case celOverload.MatchString(m):
		found := celOverload.FindStringSubmatch(m)
		e.Column = nameStart(line, e.Column, found[1])
		setText("%s%s", describeOverload(found[1], found[2]), hint(condition, found[1], found[2]))
	case celUnexpected.MatchString(m):
		found := celUnexpected.FindStringSubmatch(m)
		describeUnexpected(e, found[1]+found[2], strings.Contains(m, "expecting <EOF>"), strings.Contains(m, "expecting ':'"))
	case celMissing.MatchString(m):
		found := celMissing.FindStringSubmatch(m)
		setText("a %s is missing before %.40q", found[1], found[2])
		if found[2] == "<EOF>" {
			setText("a %s is missing at the end", found[1])
		}
	case celUnreadable.MatchString(m):
		describeUnreadable(e, strings.TrimSpace(celUnreadable.FindStringSubmatch(m)[1]))
	case celArgument.MatchString(m):
		written, _ := quotedAt(line, e.Column)
		if celArgument.FindStringSubmatch(m)[1] == "ip" {
			setText("%.60s is not an IP address like 10.1.2.3", written)
		} else {
			setText("%.60s is not a network like 10.0.0.0/8", written)
		}
	case celNoSelection.MatchString(m):
		setText("%s has no fields", typeNamed(celNoSelection.FindStringSubmatch(m)[1]))
	case celExpected.MatchString(m):
		found := celExpected.FindStringSubmatch(m)
		setText("expected %s, found %s", typeNamed(found[1]), typeNamed(found[2]))
	case celReserved.MatchString(m):
		setText("%.40q is a reserved word of CEL", celReserved.FindStringSubmatch(m)[1])
	case strings.Contains(m, "recursion limit exceeded"):
		setText("the condition is nested too deeply; the limit is %d", maxDepth)
	default:
		setText("%.200s", strings.TrimPrefix(m, "Syntax error: "))
	}
	return e
}

// describeUnexpected describes a token in the wrong place.
func describeUnexpected(e *Error, what string, ended, question bool) {
	e.Suggestion = operatorFor[strings.ToLower(what)]
	switch {
	case what == "<EOF>" && question:
		e.Text = "unexpected end of the condition: expected \":\" and a value"
	case what == "<EOF>":
		e.Text = "unexpected end of the condition: expected a value"
	case ended:
		e.Text = fmt.Sprintf("unexpected %.40q after the end of the condition", what)
	default:
		e.Text = fmt.Sprintf("unexpected %.40q: expected a value", what)
	}
	if e.Suggestion != "" {
		e.Text = fmt.Sprintf("%.40q is not an operator", what)
	}
}

// describeUnreadable describes characters that are not part of the syntax.
func describeUnreadable(e *Error, what string) {
	switch {
	case strings.HasPrefix(what, `"`), strings.HasPrefix(what, "'"):
		e.Text = "the closing quote is missing"
	case what == "":
		e.Text = "unexpected character"
	default:
		if r, _ := utf8.DecodeRuneInString(what); !unicode.IsLetter(r) {
			what = strings.TrimRightFunc(what, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsLetter(r) })
		}
		e.Text = fmt.Sprintf("unexpected %.40q", what)
		e.Suggestion = operatorFor[what]
	}
}

// describeOverload describes a function or operator that does not accept its arguments.
func describeOverload(function, types string) string {
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
		return fmt.Sprintf("expected true or false before the ? and two values of the same type after it, found %s, %s and %s", list[0], list[1], list[2])
	case member && given == "":
		return fmt.Sprintf("%s cannot be called on %s", operator, typeNamed(target))
	case member:
		return fmt.Sprintf("%s on %s does not accept %s", operator, typeNamed(target), given)
	case strings.ContainsAny(operator, "=<>&|+-*/%!") || operator == "in":
		return fmt.Sprintf("%s cannot be applied to %s", operator, given)
	}
	return fmt.Sprintf("%s does not accept %s", operator, given)
}

// hint returns a suggestion if a condition compares a day with a text like "Sunday", or an
// address with a text.
func hint(text, function, types string) string {
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

// typeInWords returns the name of a type for users, such as "a number".
func typeInWords(t *cel.Type) string {
	return typeNamed(cel.FormatCELType(t))
}

// typeNames maps the names of types in CEL's notation to names for users. A key that ends with
// a parenthesis stands for all names that begin with the key.
var typeNames = map[string]string{
	"string": "a text", "int": "a number", "uint": "a number", "double": "a number", "bool": "true or false",
	"timestamp": "a time", "google.protobuf.Timestamp": "a time", "duration": "a duration", "google.protobuf.Duration": "a duration",
	"net.IP": "an address", "net.CIDR": "a network", "dyn": "anything", "null": "null", "null_type": "null",
	"list(": "a list", "map(": "a map", "optional_type(": "an optional", "type(": "a type",
}

// typeNamed returns the same as typeInWords for a type whose name is given in CEL's notation.
func typeNamed(t string) string {
	t = strings.TrimSpace(t)
	begin, _, parameters := strings.Cut(t, "(")
	if parameters {
		begin += "("
	}
	return cmp.Or(typeNames[begin], t)
}

// typesNamed returns the names of the types in a list. In the list, types are separated by
// commas outside of parentheses.
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

// lineOf returns a line of the text. Lines count from 1.
func lineOf(text string, line int) string {
	for ; line > 1; line-- {
		_, text, _ = strings.Cut(text, "\n")
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// restOfLine returns the part of the line that begins at the column.
func restOfLine(line string, column int) string {
	for ; column > 1 && line != ""; column-- {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	return line
}

// nameStart returns the column where the name begins. The given column is the position that CEL
// reports. This position can be inside or after the name. For example, it is the dot of
// request.ip, or the parenthesis after a function's name.
func nameStart(line string, column int, name string) int {
	for back := 0; back <= utf8.RuneCountInString(name) && back < column; back++ {
		if strings.HasPrefix(restOfLine(line, column-back), name) {
			return column - back
		}
	}
	return column
}

// quotedAt returns the quoted text that begins at a column, with its quotes.
func quotedAt(line string, column int) (string, bool) {
	rest := restOfLine(line, column)
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return "it", false
	}
	end := strings.IndexByte(rest[1:], rest[0])
	if end < 0 {
		return "it", false
	}
	return rest[:end+2], true
}
