package dockerauth

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// atom is one condition on a request: on the account, on a label of the account, on the address or
// on the registry. Conditions on the repository's name are patterns, not atoms. Atoms are compared
// with ==.
type atom struct {
	kind atomKind
	key  string // of a label
	form form
	text string // the text to compare with; its meaning depends on form
}

type atomKind uint8

const (
	account atomKind = iota // "" for requests without a sign-in
	label                   // one of the values of key
	service
	address
)

type form uint8

const (
	oneOf    form = iota // text has one or more values, separated by NUL
	present              // not empty
	like                 // text is a regular expression that matches any part of the value
	inside               // text is an address prefix
	accounts             // the label has the account's name
)

// literal is an atom or its negation.
type literal struct {
	atom
	not bool
}

func is(a atom) literal  { return literal{atom: a}.normalize() }
func not(a atom) literal { return literal{a, true}.normalize() }

// normalize replaces a comparison of the account with "" by the literal "nobody has signed in".
// Both have the same meaning. Other literals stay unchanged.
func (l literal) normalize() literal {
	if l.form == oneOf && l.text == "" && l.kind == account {
		return literal{signedIn, !l.not}
	}
	return l
}

func (l literal) opposite() literal { return literal{l.atom, !l.not}.normalize() }

var signedIn = atom{kind: account, form: present}

// accountsNamed returns the atom for the accounts of these names.
func accountsNamed(names ...string) atom {
	return atom{kind: account, form: oneOf, text: strings.Join(names, "\x00")}
}

// accountsLike returns the atom for accounts that a glob of one segment matches.
func accountsLike(glob string) atom {
	text := "^" + strings.ReplaceAll(regexp.QuoteMeta(glob), `\*`, "[^/]*") + "$"
	return atom{kind: account, form: like, text: text}
}

// labelEquals returns the atom for a label with the given key and value.
func labelEquals(key, value string) atom {
	return atom{kind: label, key: key, form: oneOf, text: value}
}

// values returns the values of a oneOf atom.
func (a atom) values() []string { return strings.Split(a.text, "\x00") }

// matches reports whether a text meets the atom's condition.
func (a atom) matches(s string) bool {
	switch a.form {
	case oneOf:
		return slices.Contains(a.values(), s)
	case present:
		return s != ""
	case like:
		re, err := regexp.Compile(a.text)
		return err == nil && re.MatchString(s)
	}
	return false
}

// condition is a combination of literals.
type condition struct {
	all  []literal   // all of these must be true
	none [][]literal // in each list, at least one must be false
}

// isContradiction reports whether the literals can never be true together. If isContradiction
// cannot decide this, it returns false.
func isContradiction(all []literal) bool {
	opposed := func(l literal) bool { return slices.Contains(all, l.opposite()) }
	return slices.ContainsFunc(all, opposed) || impossibleText(all, account) || impossibleText(all, service) || impossibleAddress(all)
}

// impossibleText reports whether no text satisfies all literals of the given kind. If none of the
// literals lists the possible texts, impossibleText returns false.
func impossibleText(all []literal, kind atomKind) bool {
	var own []literal
	for _, l := range all {
		switch {
		case l.kind == label && !l.not && kind == account:
			own = append(own, is(signedIn)) // requests without a sign-in have no labels
		case l.kind == kind:
			own = append(own, l)
		}
	}
	fails := func(text string) bool {
		return slices.ContainsFunc(own, func(l literal) bool { return l.matches(text) == l.not })
	}
	for _, l := range own {
		switch {
		case l.form == oneOf && !l.not:
			return !slices.ContainsFunc(l.values(), func(text string) bool { return !fails(text) })
		case l.form == present && l.not:
			return fails("")
		}
	}
	return false
}

// impossibleAddress reports whether no address satisfies all literals about addresses.
func impossibleAddress(all []literal) bool {
	for _, l := range all {
		if l.kind != address || l.not {
			continue
		}
		prefix := netip.MustParsePrefix(l.text)
		for _, m := range all {
			if m.kind != address {
				continue
			}
			other := netip.MustParsePrefix(m.text)
			if !m.not && !prefix.Overlaps(other) || m.not && other.Bits() <= prefix.Bits() && other.Overlaps(prefix) {
				return true
			}
		}
	}
	return false
}

// canHold reports whether a condition can be true. If the check would take too long, canHold
// returns true.
func (w condition) canHold() bool {
	steps := 0
	var try func(all []literal, none [][]literal) bool
	try = func(all []literal, none [][]literal) bool {
		if steps++; steps > 2000 {
			return true
		}
		if isContradiction(all) {
			return false
		}
		if len(none) == 0 {
			return true
		}
		for _, l := range none[0] {
			if try(append(slices.Clip(all), l.opposite()), none[1:]) {
				return true
			}
		}
		return false
	}
	return try(w.all, w.none)
}

// simplify returns an equivalent condition without redundant literals. If the condition can never
// be true, simplify returns false.
func (w condition) simplify() (condition, bool) {
	if !w.canHold() {
		return w, false
	}
	all, none := removeRepeated(w.all), w.none
	for changed := true; changed; {
		changed = false
		var kept [][]literal
		for _, list := range none {
			if isContradiction(slices.Concat(all, list)) {
				continue
			}
			var rest []literal
			for _, l := range list {
				if !isContradiction(append(slices.Clip(all), l.opposite())) {
					rest = append(rest, l) // otherwise l is always true
				}
			}
			if len(rest) == 1 {
				all, changed = append(slices.Clip(all), rest[0].opposite()), true
				continue
			}
			kept = append(kept, rest)
		}
		none = kept
	}
	for i := 0; i < len(all); i++ {
		others := slices.Delete(slices.Clone(all), i, i+1)
		if isContradiction(append(others, all[i].opposite())) {
			all = slices.Delete(slices.Clone(all), i, i+1)
			i--
		}
	}
	var kept [][]literal
	for i, list := range none { // a list that contains another list is redundant
		wider := func(o []literal) bool { return includes(list, o) }
		if slices.ContainsFunc(none[:i], wider) || slices.ContainsFunc(none[i+1:], func(o []literal) bool { return wider(o) && len(o) < len(list) }) {
			continue
		}
		kept = append(kept, list)
	}
	return condition{all, kept}, true
}

// key returns the same text for all conditions with the same literals. The order of the literals
// does not matter.
func (w condition) key() string {
	text := func(list []literal) string {
		var parts []string
		for _, l := range list {
			parts = append(parts, fmt.Sprintf("%#v", l))
		}
		slices.Sort(parts)
		return strings.Join(parts, "&")
	}
	var none []string
	for _, list := range w.none {
		none = append(none, text(list))
	}
	slices.Sort(none)
	return text(w.all) + "!" + strings.Join(none, "!")
}
