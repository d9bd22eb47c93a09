package dockerauth

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// labelForm describes how Tidewaiter represents a label of docker_auth. The zero value is for a
// label that no directory provides.
type labelForm struct {
	groups bool // as groups, not as a claim
	plain  bool // a claim with one value may be a string instead of a list
	lower  bool // docker_auth converts the label's values to lower case
}

// ruleTerms is a condition, split into the fields of a rule that express it: subjects,
// registries and when.
type ruleTerms struct {
	subjects, registries []string
	text                 string
}

// termsOf splits a condition into the fields of a rule. It uses the fields subjects and registries
// where possible, and a CEL expression for the rest.
func termsOf(w condition, labels map[string]labelForm) ruleTerms {
	s := ruleTerms{subjects: []string{"anyone"}}
	var terms []string
	chosen := -1
	for i, l := range w.all { // the most specific account condition that subjects can express
		if names, ok := subjects(l, labels); ok && (chosen < 0 || l.form == oneOf) {
			chosen, s.subjects = i, names
		}
	}
	if chosen < 0 && slices.ContainsFunc(w.all, func(l literal) bool { return isContradiction([]literal{l, not(signedIn)}) }) {
		s.subjects = []string{"signed-in"}
	}
	for i, l := range w.all {
		switch {
		case i == chosen:
		case l.kind == service && l.form == oneOf && !l.not && s.registries == nil && l.text != "":
			s.registries = l.values()
		case l == is(signedIn) && s.subjects[0] != "anyone":
		default:
			terms = append(terms, cel(l, labels, len(w.all)+len(w.none) > 1))
		}
	}
	for _, list := range w.none {
		var inner []string
		for _, l := range list {
			inner = append(inner, cel(l, labels, len(list) > 1))
		}
		terms = append(terms, "!("+strings.Join(inner, " && ")+")")
	}
	s.text = strings.Join(terms, " && ")
	return s
}

// subjects returns the subjects that are equivalent to a literal.
func subjects(l literal, labels map[string]labelForm) ([]string, bool) {
	switch {
	case l.kind == account && l.form == present && l.not:
		return []string{"anonymous"}, true
	case l.kind == account && l.form == present:
		return []string{"signed-in"}, true
	case l.not || l.form != oneOf || l.kind == label && !labels[l.key].groups || l.kind != account && l.kind != label:
		return nil, false
	}
	var names []string
	for _, v := range l.values() {
		if isDistinguishedName(v) {
			return nil, false // a subject also matches other spellings of the name
		}
		name := "user:" + v
		switch {
		case l.kind == label:
			name = "group:" + v
		case v == "":
			name = "anonymous"
		}
		r := policy.Rule{Name: "x", Subjects: []string{name}, Names: []string{"x"}, Actions: scope.Pull}
		if _, err := policy.Compile(policy.Source{Rules: []policy.Rule{r}}); err != nil {
			return nil, false // a name that a subject cannot have, such as *
		}
		names = append(names, name)
	}
	return names, true
}

// cel translates a literal to CEL. The literal is nested if the caller adds other terms before or
// after the result. In this case, cel adds parentheses if necessary.
func cel(l literal, labels map[string]labelForm, nested bool) string {
	var expression string
	switch l.kind {
	case account:
		return celText("user", l)
	case service:
		return celText("registry", l)
	case address:
		expression = `cidr(` + text.Quote(l.text) + `).containsIP(request.ip)`
		if network := netip.MustParsePrefix(l.text); network.IsSingleIP() {
			expression = `request.ip == ip(` + text.Quote(network.Addr().String()) + `)`
		}
	case label:
		expression = celLabel(l, labels[l.key])
	}
	switch {
	case l.not:
		return "!(" + expression + ")"
	case nested && l.kind == label:
		return "(" + expression + ")"
	}
	return expression
}

// celText returns a CEL expression for a literal that compares the text in a CEL variable.
func celText(variable string, l literal) string {
	equals, notTo := " == ", ""
	if l.not {
		equals, notTo = " != ", "!"
	}
	switch l.form {
	case present:
		if l.not {
			return variable + ` == ""`
		}
		return variable + ` != ""`
	case like:
		return notTo + variable + ".matches(" + text.Quote(l.text) + ")"
	case accounts:
		return variable + equals + "user"
	}
	values := l.values()
	// In a condition, == accepts every spelling of a distinguished name. docker_auth compares
	// text.
	if variable == "user" && slices.ContainsFunc(values, isDistinguishedName) {
		var exact []string
		for _, v := range values {
			exact = append(exact, regexp.QuoteMeta(v))
		}
		return notTo + variable + ".matches(" + text.Quote(`\A(?:`+strings.Join(exact, "|")+`)\z`) + ")"
	}
	if len(values) == 1 {
		return variable + equals + text.Quote(l.text)
	}
	list := make([]string, len(values))
	for k, v := range values {
		list[k] = text.Quote(v)
	}
	expression := variable + " in [" + strings.Join(list, ", ") + "]"
	if l.not {
		return "!(" + expression + ")"
	}
	return expression
}

// celLabel returns an expression that is true if one of the label's values matches the literal.
func celLabel(l literal, known labelForm) string {
	l.not = false
	if known.groups {
		if l.form == oneOf && len(l.values()) == 1 {
			return text.Quote(l.text) + " in groups"
		}
		return "groups.exists(v, " + celText("v", l) + ")"
	}
	claim := "claims[" + text.Quote(l.key) + "]"
	there := text.Quote(l.key) + " in claims"
	some := claim + ".exists(v, " + celText("v", l) + ")"
	if l.form == oneOf && len(l.values()) == 1 {
		some = text.Quote(l.text) + " in " + claim
	}
	if known.plain {
		some = "(type(" + claim + ") == string ? " + celText("string("+claim+")", l) + " : " + some + ")"
	}
	return there + " && " + some
}
