package scope

import (
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// maxWord bounds a type and a class, in bytes. The longest in use is "repository".
const maxWord = 64

// Reasons for which text is not a scope.
const (
	notAType  = "the type is not made of lower-case letters and digits"
	notAClass = "the class is not made of lower-case letters and digits"
)

// parse reads one scope: type, "(class)" if there is one, name and actions. The type ends at the
// first colon and the actions begin after the last, since a name may hold host:port/.
//
// The scope has no actions if the text is no scope; then reason says why. A scope with actions and
// a reason lost the actions that the reason tells.
func parse(text string) (s Scope, reason string) {
	first, last := strings.IndexByte(text, ':'), strings.LastIndexByte(text, ':')
	if first == last { // also -1, no colon at all
		return Scope{}, "it is not of the form type:name:actions"
	}
	s.Type, s.Name = text[:first], text[first+1:last]
	if open := strings.IndexByte(s.Type, '('); open >= 0 {
		class, closed := strings.CutSuffix(s.Type[open+1:], ")")
		if !closed || !word(class) {
			return Scope{}, notAClass
		}
		s.Type, s.Class = s.Type[:open], class
	}
	if !word(s.Type) {
		return Scope{}, notAType
	}
	if reason := checkName(s.Type, s.Name); reason != "" {
		return Scope{}, reason
	}
	s.Actions, reason = parseActions(s.Type, text[last+1:])
	return s, reason
}

// parseActions reads the actions of a scope and keeps those that mean something for its type.
func parseActions(kind, written string) (known Actions, reason string) {
	if written == "" {
		return 0, "it has no action"
	}
	own := Repository | All
	switch kind {
	case TypeRepository:
		own = Repository
	case TypeTidewaiter:
		own = every
	}
	unknown, more := "", 0
	for name := range strings.SplitSeq(written, ",") {
		action, ok := ParseAction(name)
		if action == All && kind == TypeRepository {
			action = Repository
		}
		switch {
		case ok && own.Has(action):
			known |= action
		case name == "": // a comma too many does no harm
		default:
			if more == 0 {
				unknown = name
			}
			more++
		}
	}
	switch {
	case more == 1:
		reason = "unknown action " + text.Quote(text.Shorten(unknown, 32))
	case more > 1:
		reason = "unknown action " + text.Quote(text.Shorten(unknown, 32)) + ", and others"
	case known == 0:
		reason = "it has no action"
	}
	return known, reason
}

// word reports whether s is a type or a class: [a-z0-9]+ in the registry's grammar.
func word(s string) bool {
	if s == "" || len(s) > maxWord {
		return false
	}
	for i := range len(s) {
		if !lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// checkName says what is wrong with a name; "" if nothing is.
func checkName(kind, name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > MaxName:
		return "the name is too long"
	case kind == TypeRepository:
		return checkRepository(name)
	}
	return checkOther(name)
}

// checkRepository holds a name against the grammar of the registry (distribution,
// reference.NameRegexp): path parts of [a-z0-9]+ joined by ".", "_", "__" or dashes, separated by
// "/", behind an optional host. The registry takes any first part for a host where that makes the
// name legal, and so lets through "FOO/bar"; here only a host with a port or in brackets is one, and
// upper case is refused everywhere: two names that differ in case only would invite mistakes.
func checkRepository(name string) string {
	path := name
	if host, rest, ok := strings.Cut(name, "/"); strings.ContainsAny(host, ":[") {
		switch {
		case !checkHost(host):
			return badByte(host, "the host before the name is no host:port")
		case !ok:
			return "the name is only a host"
		}
		path = rest
	}
	for part := range strings.SplitSeq(path, "/") {
		if reason := checkPart(part); reason != "" {
			return reason
		}
	}
	return ""
}

// checkPart says what is wrong with one part of a repository's path.
func checkPart(part string) string {
	if part == "" {
		return "the name has an empty part"
	}
	for i := 0; i < len(part); {
		if lower(part[i]) {
			i++
			continue
		}
		begin := i
		for i < len(part) && !lower(part[i]) {
			i++
		}
		between := part[begin:i]
		for j := range len(between) {
			if c := between[j]; c != '.' && c != '_' && c != '-' {
				return badByte(between[j:], "the name has a character that no repository may have")
			}
		}
		switch {
		case part == "." || part == "..":
			return "the name has a part \"" + part + "\""
		case begin == 0 || i == len(part):
			return "a part of the name begins or ends with a separator"
		case between == "." || between == "_" || between == "__" || strings.Trim(between, "-") == "":
		default:
			return "the name has separators side by side"
		}
	}
	return ""
}

// checkHost reports whether s is a lower-case host with a port, or an IPv6 address in brackets with
// or without one.
func checkHost(s string) bool {
	if bracketed, ok := strings.CutPrefix(s, "["); ok {
		address, rest, closed := strings.Cut(bracketed, "]")
		if !closed || address == "" || strings.Trim(address, "0123456789abcdef:") != "" {
			return false
		}
		if rest == "" {
			return true
		}
		host, port, _ := strings.Cut(rest, ":")
		return host == "" && digits(port)
	}
	host, port, _ := strings.Cut(s, ":")
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || !lower(label[0]) || !lower(label[len(label)-1]) {
			return false
		}
		for i := range len(label) {
			if !lower(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return digits(port)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// checkOther holds the name of any other resource against a grammar that leaves nothing to
// misunderstand: ASCII letters, digits and . _ - : @ + in parts separated by "/", none of them empty,
// "." or "..".
func checkOther(name string) string {
	for i := range len(name) {
		c := name[i]
		if !lower(c) && (c < 'A' || c > 'Z') && strings.IndexByte("._-:@+/", c) < 0 {
			return badByte(name[i:], "the name has a character that it may not have")
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "":
			return "the name has an empty part"
		case ".", "..":
			return "the name has a part \"" + part + "\""
		}
	}
	return ""
}

// badByte says what s, which breaks a grammar, breaks it with, where that is of a kind that people
// make by mistake or attackers on purpose; otherwise it says what it was told.
func badByte(s, otherwise string) string {
	if !utf8.ValidString(s) {
		return "the name is not UTF-8"
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return "the name has a control character"
		case 'A' <= c && c <= 'Z':
			return "the name has an upper-case letter"
		}
	}
	return otherwise
}
