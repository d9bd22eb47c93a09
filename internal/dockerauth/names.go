package dockerauth

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Marks replace docker_auth's variables in a pattern. A mark is one character that no pattern
// contains.
const (
	markAccount = '\ue000' // ${account}
	markLabel   = '\ue001' // ${labels:X}; a second label has the next character
	markLast    = '\uf8ff'
)

// markedPattern is a pattern with marks for its variables.
type markedPattern struct {
	text   string
	labels []string // by mark
}

var variable = regexp.MustCompile(`\$\{(account|name|type|service|labels:[^}]*|(?i:account|type|name|service|ip):[0-9]+)\}`)

func isMark(r rune) bool { return r >= markAccount && r <= markLast }

// replaceMarks replaces each mark in the text by the given character.
func replaceMarks(text string, replacement rune) string {
	return strings.Map(func(r rune) rune {
		if isMark(r) {
			return replacement
		}
		return r
	}, text)
}

// isReserved reports whether a character has a special meaning in this package: it is a mark, or a
// marker such as the constant "anything".
func isReserved(r rune) bool { return isMark(r) || r <= '\x03' }

// markVariables replaces the variables of a pattern by their values, or by marks if they become
// placeholders. If a variable has no counterpart in rules, markVariables returns the reason. The
// resource is the requested type, or "" if the pattern is not for a name.
func markVariables(f filled, resource string) (m markedPattern, unclear string) {
	if strings.ContainsFunc(f.substitute(), isReserved) {
		return m, fmt.Sprintf("%q has a character that no name can have: remove it, or write another name", f.substitute())
	}
	m.text = variable.ReplaceAllStringFunc(f.text, func(v string) string {
		name := v[2 : len(v)-1]
		if value, ok := f.values[name]; ok {
			return value
		}
		switch {
		case name == "account":
			return string(markAccount)
		case name == "type" && resource != "":
			return resource
		case strings.HasPrefix(name, "labels:"):
			if !f.open {
				return v // accounts without this label
			}
			key := strings.TrimPrefix(name, "labels:")
			if slices.Contains(m.labels, key) {
				unclear = fmt.Sprintf("%s occurs twice in %q with the same value, but in a rule the two values could differ: write an entry for each value", v, f.text)
			}
			m.labels = append(m.labels, key)
			return string(markLabel + rune(len(m.labels)-1))
		case f.values != nil && strings.HasPrefix(name, "account:"):
			return v // a group that does not exist or did not match
		case strings.Contains(name, ":"):
			unclear = fmt.Sprintf("%s in %q has no counterpart in a rule: write an entry for each account, such as {account: ann, name: \"ann/*\"}", v, f.text)
			return ""
		default:
			unclear = fmt.Sprintf("%s in %q has no counterpart in a rule: write its value out", v, f.text)
			return ""
		}
	})
	return m, unclear
}

// expression returns the regular expression in a pattern that begins and ends with a slash.
// docker_auth treats other patterns as globs.
func expression(text string) (string, bool) {
	if len(text) > 2 && text[0] == '/' && text[len(text)-1] == '/' {
		return text[1 : len(text)-1], true
	}
	return "", false
}

// maxNames is the maximum number of rule patterns for one pattern of names in the list.
const maxNames = 64

// nameAreas returns the areas of all names that the given pattern matches. If there is no exact
// translation, nameAreas also returns the reason, and its areas include other names, too.
func nameAreas(f filled, kind string) (areas []area, unclear string) {
	m, unclear := markVariables(f, kind)
	all := []area{{pattern: everything}}
	if unclear != "" {
		return all, unclear
	}
	text := f.substitute()
	source, isExpression := expression(m.text)
	hint := fmt.Sprintf("the regular expression %q cannot be written as patterns of names: write alternatives, .* or [^/]* in its place", text)
	if !isExpression {
		if _, err := path.Match(m.text, ""); err != nil && !strings.ContainsFunc(m.text, isMark) {
			return nil, "" // it never matches
		} else if err != nil {
			return all, fmt.Sprintf("%q is not a valid pattern: correct it", text)
		}
		source = globSource(m.text)
		hint = fmt.Sprintf("%q would become more than %d patterns: replace ? and classes with *, or list the names that are needed", text, maxNames)
	}
	if _, err := regexp.Compile(source); err != nil && !strings.ContainsFunc(source, isMark) {
		return nil, "" // it never matches
	}
	if hasMisplacedVariable(source) {
		return all, fmt.Sprintf("in %q, a variable is only a part of a path segment, or repeated; in a rule it must be a whole segment: write an entry for each value", text)
	}
	texts, ok := translate(source)
	if !ok {
		return all, hint
	}
	for _, t := range texts {
		p, why := m.pattern(t)
		if why != "" && p.canMatch() {
			unclear = fmt.Sprintf("in %q, %s%s", text, why, insteadOf(f.text, why))
		}
		a := area{pattern: p}
		if p.has(user) || p.has(claim) || strings.ContainsFunc(t, func(r rune) bool { return r >= markLabel && r <= markLast }) {
			// Requests without a sign-in have no name and no labels.
			a.when = []literal{is(signedIn)}
		}
		areas = append(areas, a)
	}
	if areas = tidy(areas); len(areas) > maxNames {
		return all, fmt.Sprintf("%q would become %d patterns: replace ? and classes with *, or list the names that are needed", text, len(areas))
	}
	return areas, unclear
}

// unanchoredPattern matches a regular expression such as /${account}\/.*/. The author of such an
// expression probably wanted to match only the beginning of a name.
var unanchoredPattern = regexp.MustCompile(`^/\^?(\$\{(?:account|labels:[^}]*)\})(?:\\?/)(?:\.[*+]|\(\.[*+]\))\$?/$`)

// insteadOf returns advice on what to write instead of a pattern. The advice is the end of an error
// message. The caller gives the pattern and the beginning of the message.
func insteadOf(text, problem string) string {
	if !strings.Contains(problem, "variable") {
		return ": write [^/]* in its place"
	}
	if found := unanchoredPattern.FindStringSubmatch(text); found != nil {
		return fmt.Sprintf(": it matches anywhere in a name, for example in x%s/y; for names that begin with it, write \"/^%s\\/.*/\"", found[1], found[1])
	}
	return ": write an entry for each value"
}

// hasMisplacedVariable reports whether a regular expression has a variable where the value would
// not be plain text: in a class, after a backslash, before a repetition, or where case is ignored.
func hasMisplacedVariable(source string) bool {
	if !strings.ContainsFunc(source, isMark) {
		return false
	}
	alone := replaceMarks(source, markLast)
	one, err := syntax.Parse(alone, syntax.Perl)
	if err != nil {
		return true
	}
	// Add a group around the mark. If the mark is plain text, the parsed expression stays the
	// same. If the mark is one of several characters, for example in a class, it changes.
	two, err := syntax.Parse(strings.ReplaceAll(alone, string(markLast), "(?:"+string(markLast)+")"), syntax.Perl)
	return err != nil || one.String() != two.String() || splitsMark(one)
}

func splitsMark(re *syntax.Regexp) bool {
	has := func(re *syntax.Regexp) bool { return re.Op == syntax.OpLiteral && slices.ContainsFunc(re.Rune, isMark) }
	switch re.Op {
	case syntax.OpLiteral:
		return has(re) && re.Flags&syntax.FoldCase != 0
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		if has(re.Sub[0]) {
			return true
		}
	}
	return slices.ContainsFunc(re.Sub, splitsMark)
}

// pattern parses a text with marks. In the text, * is any text within a segment, and the segment
// \x00 is any number of segments. If no pattern matches exactly the same names, the method returns
// the reason.
func (m markedPattern) pattern(text string) (p pattern, unclear string) {
	words := strings.Split(text, "/")
	for i, word := range words {
		if strings.Contains(word, hostless) {
			// Only the first of several segments can have a colon, because that segment can be
			// a host.
			if len(words) > 1 && !slices.ContainsFunc(words[:i], func(w string) bool { return w != "\x00" }) {
				unclear = "the first segment of a name can have a colon (a host with its port), but the class has no colon"
			}
			word = strings.ReplaceAll(word, hostless, "*")
		}
		switch first := []rune(word + " ")[0]; {
		case word == "\x00":
			p = append(p, part{kind: deep})
		case !strings.ContainsFunc(word, isMark):
			p = append(p, textPart(word))
		case len([]rune(word)) > 1:
			p = append(p, textPart(replaceMarks(word, '*')))
			unclear = "a variable is only a part of a path segment; in a rule it must be a whole segment"
		case first == markAccount:
			p = append(p, part{kind: user})
		default:
			p = append(p, part{claim, m.labels[first-markLabel]})
		}
	}
	return p.normalize(), unclear
}

// classEnd returns the index after the class at the beginning of glob. It reads the class as
// path.Match does.
func classEnd(glob string) int {
	for i := 1; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			i++
		case ']':
			return i + 1
		}
	}
	return len(glob)
}
