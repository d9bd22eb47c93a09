package dockerauth

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Variables of docker_auth inside a pattern that is being read: one character each, that no pattern has.
const (
	markAccount = '\ue000' // ${account}
	markLabel   = '\ue001' // ${labels:X}, the first that the pattern has; the next is one more
	markLast    = '\uf8ff'
)

// marked is a pattern whose variables are marks.
type marked struct {
	text   string
	labels []string // by mark
}

var variable = regexp.MustCompile(`\$\{(account|name|type|service|labels:[^}]*|(?:account|name|type|service):[0-9]+)\}`)

// mark replaces variables. It fails for those that rules have no place for.
func mark(text, resource string) (m marked, unclear string) {
	m.text = variable.ReplaceAllStringFunc(text, func(v string) string {
		switch name := v[2 : len(v)-1]; {
		case name == "account":
			return string(markAccount)
		case name == "type":
			return resource
		case strings.HasPrefix(name, "labels:"):
			key := strings.TrimPrefix(name, "labels:")
			if slices.Contains(m.labels, key) {
				unclear = fmt.Sprintf("%s stands twice in %q, and means the same value both times; in a rule each could be another", v, text)
			}
			m.labels = append(m.labels, key)
			return string(markLabel + rune(len(m.labels)-1))
		default:
			unclear = fmt.Sprintf("%s in %q has no counterpart in a rule", v, text)
			return ""
		}
	})
	return m, unclear
}

// expression returns the regular expression of a pattern between slashes.
func expression(text string) (string, bool) {
	if len(text) > 2 && text[0] == '/' && text[len(text)-1] == '/' {
		return text[1 : len(text)-1], true
	}
	return "", false
}

// mostNames bounds how many patterns one name of the list may become.
const mostNames = 64

// names turns a pattern of names into areas. unclear says why that is not possible exactly; the areas then
// have at least its names.
func names(text, kind string) (areas []area, unclear string) {
	m, unclear := mark(text, kind)
	all := []area{{pattern: everything}}
	if unclear != "" {
		return all, unclear
	}
	var texts []string
	var ok bool
	if inner, isExpression := expression(m.text); isExpression {
		if texts, ok = translate(inner); !ok {
			return all, fmt.Sprintf("the regular expression %q cannot be written as patterns of names", text)
		}
	} else {
		if _, err := path.Match(m.text, ""); err != nil {
			return nil, "" // it matches nothing, ever
		}
		if texts, ok = expand(m.text); !ok {
			return all, fmt.Sprintf("%q would be more than %d patterns", text, mostNames)
		}
	}
	for _, t := range texts {
		p, why := m.pattern(t)
		if why != "" && p.possible() {
			unclear = fmt.Sprintf("in %q, %s", text, why)
		}
		a := area{pattern: p}
		if p.has(user) || p.has(claim) || strings.ContainsFunc(t, func(r rune) bool { return r >= markLabel && r <= markLast }) {
			a.when = []literal{is(signedIn)} // who has not signed in has no name, and no labels
		}
		areas = append(areas, a)
	}
	if areas = tidy(areas); len(areas) > mostNames {
		return all, fmt.Sprintf("%q would be %d patterns", text, len(areas))
	}
	return areas, unclear
}

// pattern reads a text in which * stays in a part, and \x00 is any text with slashes in it.
func (m marked) pattern(text string) (p pattern, unclear string) {
	for word := range strings.SplitSeq(text, "/") {
		isMark := func(r rune) bool { return r >= markAccount && r <= markLast }
		switch first := []rune(word + " ")[0]; {
		case word == "\x00":
			p = append(p, part{kind: deep})
		case !strings.ContainsFunc(word, isMark):
			p = append(p, textPart(word))
		case len([]rune(word)) > 1:
			shown := strings.Map(func(r rune) rune {
				if isMark(r) {
					return '*'
				}
				return r
			}, word)
			p = append(p, textPart(shown))
			unclear = "a variable is only a piece of a path part; in a rule it can only be a whole one"
		case first == markAccount:
			p = append(p, part{kind: user})
		default:
			p = append(p, part{claim, m.labels[first-markLabel]})
		}
	}
	return p.normal(), unclear
}

// expand turns a glob of docker_auth into texts with no other special character than *.
func expand(glob string) ([]string, bool) {
	texts := []string{""}
	for glob != "" {
		var choices []string
		switch c := glob[0]; c {
		case '*':
			choices, glob = []string{"*"}, glob[1:]
		case '?':
			choices, glob = spread(func(r rune) bool { return true }), glob[1:]
		case '[':
			end := classEnd(glob)
			class := glob[:end]
			choices, glob = spread(func(r rune) bool { ok, _ := path.Match(class, string(r)); return ok }), glob[end:]
			if ok, _ := path.Match(class, "/"); ok {
				choices = append(choices, "/")
			}
		case '\\':
			choices, glob = []string{glob[1:2]}, glob[2:]
			if choices[0] == "*" {
				return nil, true // no name has a *
			}
		default:
			choices, glob = []string{glob[:1]}, glob[1:]
		}
		if len(choices)*len(texts) > 50*mostNames {
			return nil, false
		}
		texts = product(texts, choices)
	}
	return texts, true
}

// classEnd returns where a class that path.Match takes ends.
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

// spread returns the characters that names can have and that ok takes.
func spread(ok func(rune) bool) (choices []string) {
	for _, r := range letters + ":" {
		if ok(r) {
			choices = append(choices, string(r))
		}
	}
	return choices
}

func product(heads, tails []string) []string {
	all := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			all = append(all, h+t)
		}
	}
	return all
}
