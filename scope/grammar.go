package scope

import (
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// maxWord is the maximum length of a type or a class in bytes. The longest word that registries
// use is "repository".
const maxWord = 64

// Reasons why text is not a scope.
const (
	notAType  = "the type must consist of lower-case letters and digits"
	notAClass = "the class must consist of lower-case letters and digits"
)

// parse parses one scope: type, optional "(class)", name and actions. The type ends at the first
// colon. The actions begin after the last colon. The text between these two colons is the name,
// which can contain colons, because it can begin with host:port/.
//
// If the text is not a scope, the returned scope has no actions, and the second result is the
// reason. If the returned scope has actions and the second result is not "", unknown actions were
// removed from the scope.
func parse(text string) (s Scope, reason string) {
	first, last := strings.IndexByte(text, ':'), strings.LastIndexByte(text, ':')
	if first == last { // fewer than two colons: without a colon, both are -1
		return Scope{}, "it does not have the form type:name:actions"
	}
	s.Type, s.Name = text[:first], text[first+1:last]
	if open := strings.IndexByte(s.Type, '('); open >= 0 {
		class, closed := strings.CutSuffix(s.Type[open+1:], ")")
		if !closed || !validWord(class) {
			return Scope{}, notAClass
		}
		s.Type, s.Class = s.Type[:open], class
	}
	if !validWord(s.Type) {
		return Scope{}, notAType
	}
	if reason := checkName(s.Type, s.Name); reason != "" {
		return Scope{}, reason
	}
	s.Actions, reason = parseActions(s.Type, text[last+1:])
	return s, reason
}

// parseActions parses the actions of a scope. It leaves out actions that the type of the scope
// does not have.
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
		case name == "": // ignore additional commas
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

// validWord reports whether s is a type or a class: [a-z0-9]+ in the registry's grammar.
func validWord(s string) bool {
	return s != "" && len(s) <= maxWord && !strings.ContainsFunc(s, func(c rune) bool { return !lower(c) })
}

func lower[C byte | rune](c C) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// checkName returns the reason why a name is invalid, or "".
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

// checkRepository checks a name by the registry's grammar (distribution, reference.NameRegexp):
// path parts of [a-z0-9]+ joined by ".", "_", "__" or dashes, separated by "/", after an optional
// host. The registry treats the first part as a host whenever the name is valid with this host, so
// it accepts "FOO/bar". Here, the first part is a host only if it has a port or is in brackets. A
// name with an upper-case letter is always refused, because names that differ only in case are
// easily confused.
func checkRepository(name string) string {
	path := name
	if host, rest, ok := strings.Cut(name, "/"); strings.ContainsAny(host, ":[") {
		switch {
		case !checkHost(host):
			return describeInvalid(host, "the host before the name is not host:port")
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

// checkPart returns the reason why one part of a repository's path is invalid, or "".
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
		if j := strings.IndexFunc(between, func(c rune) bool { return c != '.' && c != '_' && c != '-' }); j >= 0 {
			return describeInvalid(between[j:], "the name has a character that is not allowed in repositories")
		}
		switch {
		case part == "." || part == "..":
			return "the name has a part \"" + part + "\""
		case begin == 0 || i == len(part):
			return "a part of the name begins or ends with a separator"
		case between == "." || between == "_" || between == "__" || strings.Trim(between, "-") == "":
		default:
			return "the name has several separators in a row"
		}
	}
	return ""
}

// checkHost reports whether s is a lower-case host with a port, or an IPv6 address in brackets
// with or without a port.
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
		if label == "" || !lower(label[0]) || !lower(label[len(label)-1]) ||
			strings.ContainsFunc(label, func(c rune) bool { return !lower(c) && c != '-' }) {
			return false
		}
	}
	return digits(port)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// checkOther checks the name of a resource that is not a repository. The name consists of parts
// separated by "/". A part has ASCII letters, digits and . _ - : @ + and must not be empty, "." or
// "..". These rules exclude ambiguous names.
func checkOther(name string) string {
	strange := func(c rune) bool { return !lower(c) && (c < 'A' || c > 'Z') && !strings.ContainsRune("._-:@+/", c) }
	if i := strings.IndexFunc(name, strange); i >= 0 {
		return describeInvalid(name[i:], "the name has a character that is not allowed")
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

// describeInvalid returns the reason why the text s is invalid. It has special reasons for
// frequent errors and attacks. For all other texts, it returns otherReason.
func describeInvalid(s, otherReason string) string {
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
	return otherReason
}
