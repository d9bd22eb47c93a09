package dockerauth

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/scope"
)

// match is the value of the key match in an entry of docker_auth's list. Each field is a condition
// for requests. If the entry does not have a condition, the field is nil.
type match struct {
	account, kind, name, service, ip *string
	labels                           map[string]string

	writesOut bool // replace ${account} by the name of each user of the file
}

// conditions translates all conditions of an entry to literals, except the condition on the name.
// The variant has the values for the variables in the conditions. If no request can meet all
// conditions, impossible is true. If a condition has no translation, the last result is the
// reason.
func (m *match) conditions(v variant) (all []literal, impossible bool, unclear string) {
	add := func(f filled, a atom) {
		l, always, no, why := translateText(f, a)
		switch {
		case why != "":
			unclear = cmp.Or(unclear, why)
		case no:
			impossible = true
		case !always:
			all = append(all, l)
		}
	}
	if v.accounts != nil {
		all = append(all, is(accountsNamed(v.accounts...)))
	}
	if v.account != nil {
		add(*v.account, atom{kind: account})
	}
	if v.service != nil {
		add(*v.service, atom{kind: service})
	}
	if m.ip != nil {
		prefix, _ := parseNetwork(*m.ip) // the method entries has checked the address
		all = append(all, is(atom{kind: address, form: inside, text: prefix.String()}))
	}
	for _, key := range slices.Sorted(maps.Keys(m.labels)) {
		add(filled{text: m.labels[key]}, atom{kind: label, key: key})
	}
	return all, impossible || isContradiction(all), unclear
}

// parseNetwork parses an address or a network as docker_auth does.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network: write 10.0.0.1 or 10.0.0.0/8", text)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// translateText returns a literal that is true for the texts that the given pattern matches. The
// atom names the text, such as the account, and translateText sets the fields form and text of
// the atom. It also reports whether the pattern matches every text, and whether the pattern
// matches no text. If the pattern has no translation, translateText returns the reason.
func translateText(f filled, a atom) (l literal, matchesAll, matchesNone bool, unclear string) {
	if a.kind == label && f.text == "${account}" {
		a.form = accounts
		return is(a), false, false, ""
	}
	m, unclear := markVariables(f, "")
	if unclear == "" && strings.ContainsFunc(m.text, isMark) {
		unclear = fmt.Sprintf("%q has a variable; a rule has variables in names only: write an entry for each value", f.text)
	}
	if unclear != "" {
		return l, false, false, unclear
	}
	text := m.text
	source, isExpression := expression(text)
	if !isExpression {
		if _, err := path.Match(text, ""); err != nil {
			return l, false, true, ""
		}
		if literal, ok := literalText(text); ok {
			a.text = literal
			return is(a), false, false, ""
		}
		source = globSource(text)
	}
	re, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return l, false, true, ""
	}
	re = re.Simplify()
	switch values, ok := matchedTexts(re); {
	case ok && len(values) == 0:
		return l, false, true, ""
	case ok:
		a.text = strings.Join(values, "\x00")
		return is(a), false, false, ""
	case a.kind != label && isRepetition(re, syntax.OpPlus):
		a.form = present
		return is(a), false, false, ""
	case a.kind != label && isRepetition(re, syntax.OpStar):
		return l, true, false, ""
	}
	a.form, a.text = like, source
	return is(a), false, false, ""
}

// literalText returns the text that a glob without special characters matches.
func literalText(glob string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '*', '?', '[':
			return "", false
		case '\\':
			i++
		}
		b.WriteByte(glob[i])
	}
	return b.String(), true
}

// globSource returns a regular expression that is equivalent to a glob. Variables stay in the
// expression, so that the function hasMisplacedVariable can find a variable in a class or after a
// backslash.
func globSource(glob string) string {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for glob != "" {
		r, size := utf8.DecodeRuneInString(glob)
		switch r {
		case '*':
			b.WriteString(`[^/]*`)
			size = len(glob) - len(strings.TrimLeft(glob, "*"))
		case '?':
			b.WriteString(`[^/]`)
		case '[':
			size = classEnd(glob)
			b.WriteString(globClass(glob[:size]))
		case '\\':
			escaped, n := utf8.DecodeRuneInString(glob[1:])
			if size += n; isMark(escaped) {
				b.WriteByte('\\')
			}
			b.WriteString(regexp.QuoteMeta(string(escaped)))
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
		glob = glob[size:]
	}
	return b.String() + `$`
}

// globClass translates a class of a glob to a class of a regular expression.
func globClass(class string) string {
	inner, negated := strings.CutPrefix(class[1:len(class)-1], "^")
	var b strings.Builder
	b.WriteByte('[')
	if negated {
		b.WriteByte('^')
	}
	escaped := false
	for _, r := range inner {
		switch {
		case r == '\\' && !escaped:
			escaped = true
			continue
		case isMark(r) || r == '-' && !escaped:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x{%x}`, r)
		}
		escaped = false
	}
	return b.String() + "]"
}

// matchedTexts returns the texts that a regular expression matches, sorted. It fails if there are
// more than maxNames, if a text is not anchored at both ends, or if the expression has
// repetitions.
func matchedTexts(re *syntax.Regexp) ([]string, bool) {
	pieces, ok := ofText.flatten(re)
	if !ok || len(pieces) > maxNames {
		return nil, false
	}
	var values []string
	for _, p := range pieces {
		if !p.begins || !p.ends {
			return nil, false
		}
		values = append(values, p.text)
	}
	slices.Sort(values)
	return slices.Compact(values), true
}

// ofText flattens a regular expression whose texts may have any characters. It does not support
// repetitions and large classes.
var ofText = flattener{most: maxNames, leaf: func(re *syntax.Regexp) ([]piece, bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return []piece{{text: string(re.Rune)}}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCharClass:
		var all []piece
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if all = append(all, piece{text: string(r)}); len(all) > 10 {
					return nil, false
				}
			}
		}
		return all, true
	}
	return nil, false
}}

// isRepetition reports whether an expression is a repetition of any character, such as .+ or
// ^(.*)$. Groups and anchors are ignored. A single dot without anchors is treated as .+ because
// both expressions match every text except the empty text. A dot does not match a line end, but
// names of accounts and services have no line ends.
func isRepetition(re *syntax.Regexp, op syntax.Op) bool {
	re, anchored := stripAnchors(re)
	if re.Op == op {
		once, limited := stripAnchors(re.Sub[0])
		return !limited && anyChar(once)
	}
	return op == syntax.OpPlus && !anchored && anyChar(re)
}

func anyChar(re *syntax.Regexp) bool {
	return re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL
}

// stripAnchors returns a regular expression without the groups and anchors around it. It also
// reports whether there was an anchor.
func stripAnchors(re *syntax.Regexp) (_ *syntax.Regexp, anchored bool) {
	for {
		subs := re.Sub
		switch re.Op {
		case syntax.OpCapture:
		case syntax.OpConcat:
			subs = slices.DeleteFunc(slices.Clone(subs), func(s *syntax.Regexp) bool { return s.Op == syntax.OpBeginText || s.Op == syntax.OpEndText })
			anchored = anchored || len(subs) < len(re.Sub)
		default:
			return re, anchored
		}
		if len(subs) != 1 {
			return re, anchored
		}
		re = subs[0]
	}
}

// matchesType reports whether the variant's pattern for the resource type matches the given type.
// Without a pattern for the type, matchesType returns true. If the pattern has no translation,
// matchesType returns the reason.
func (v variant) matchesType(kind string) (takes bool, unclear string) {
	if v.kind == nil {
		return true, ""
	}
	m, unclear := markVariables(*v.kind, kind)
	if unclear == "" && strings.ContainsFunc(m.text, isMark) {
		unclear = fmt.Sprintf("the type %q has a variable: write an entry for each type", v.kind.text)
	}
	return unclear != "" || plainMatch(m.text, kind), unclear
}

// namesType reports whether the match has a pattern for the resource type and this pattern matches
// the given type.
func (m *match) namesType(kind string) bool {
	if m.kind == nil {
		return false
	}
	takes, _ := variant{kind: &filled{text: *m.kind}}.matchesType(kind)
	return takes
}

// catalog is the only resource name of the type registry.
var catalog = pattern{{word, "catalog"}}

// namesOf returns the pattern of all names of a resource type.
func namesOf(kind string) pattern {
	if kind == scope.TypeRegistry {
		return catalog
	}
	return everything
}

// findAreas returns the names of resources of the given type that a variant matches. If there is
// no exact translation, findAreas also returns the reason, and its areas include all names that
// the variant matches.
func (v variant) findAreas(kind string) (areas []area, unclear string) {
	takes, unclear := v.matchesType(kind)
	if !takes {
		return nil, ""
	}
	if unclear != "" {
		return []area{{pattern: namesOf(kind)}}, unclear
	}
	all := []area{{pattern: everything}}
	if v.name != nil {
		all, unclear = nameAreas(*v.name, kind)
	}
	if kind == scope.TypeRepository {
		return all, unclear
	}
	for _, a := range all {
		common, ok := intersect(a.pattern, catalog)
		if !ok {
			return []area{{pattern: catalog}}, cmp.Or(unclear, "whether its names include the catalog depends on labels: write type: repository, and a separate entry for the catalog")
		}
		areas = append(areas, concatenate([]area{{when: a.when}}, common)...)
	}
	return areas, unclear
}

// plainMatch reports whether a pattern of docker_auth matches a text. The pattern must not have
// variables.
func plainMatch(pattern, s string) bool {
	if inner, ok := expression(pattern); ok {
		re, err := regexp.Compile(inner)
		return err == nil && re.MatchString(s)
	}
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}
