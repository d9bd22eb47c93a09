package dockerauth

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/scope"
)

// fileEntry is an entry of the list as it is in the file.
type fileEntry struct {
	node    *yaml.Node
	match   match
	actions []string
	comment string
}

// entries reads the list acl.
func (i *importer) entries(n *yaml.Node) (all []fileEntry) {
	if n.Kind != yaml.SequenceNode {
		i.problem(n, "expected a list of entries")
		return nil
	}
	for _, item := range n.Content {
		all = append(all, i.entry(resolved(item)))
	}
	return all
}

func (i *importer) entry(n *yaml.Node) fileEntry {
	w := fileEntry{node: n}
	known := []string{"match", "actions", "comment"}
	keys := map[string]*yaml.Node{}
	for _, e := range i.pairs(n) {
		if keys[e.name] = e.value; !slices.Contains(known, e.name) {
			i.note(Trap, e.key, "docker_auth ignores %q beside match%s, and so does the import", e.name, suggestKey(e.name, known))
		}
	}
	if n.Kind != yaml.MappingNode && !hasNoValue(n) {
		return w // the method pairs has reported the error
	}
	if m := keys["match"]; hasNoValue(m) {
		i.problem(n, "match is missing: docker_auth crashes at this entry; to match everybody, write match: {}")
	} else {
		w.match = i.match(m)
	}
	if hasNoValue(keys["actions"]) {
		i.problem(n, "actions is missing: docker_auth crashes at this entry; to refuse everything, write actions: []")
	}
	w.actions = i.texts(keys["actions"])
	for k, name := range w.actions {
		if action, _ := scope.ParseAction(name); action&(scope.Repository|scope.All) == 0 {
			i.note(Left, keys["actions"].Content[k], "no registry requests the action %q", name)
		}
	}
	w.comment = i.text(keys["comment"])
	return w
}

// match reads the match of an entry.
func (i *importer) match(n *yaml.Node) (m match) {
	fields := map[string]**string{"account": &m.account, "type": &m.kind, "name": &m.name, "ip": &m.ip, "service": &m.service}
	known := append(slices.Sorted(maps.Keys(fields)), "labels")
	for _, e := range i.pairs(n) {
		field, ok := fields[e.name]
		switch {
		case ok && hasNoValue(e.value):
			i.note(Trap, e.key, "%s has no value, so docker_auth accepts any value; to match requests without a sign-in, write %s: \"\"", e.name, e.name)
		case ok:
			text := i.text(e.value)
			*field = &text
			i.pattern(e.name, e.value, text)
		case e.name == "labels":
			m.labels = make(map[string]string)
			for _, l := range i.pairs(e.value) {
				m.labels[l.name] = i.text(l.value)
				i.pattern("label", l.value, m.labels[l.name])
			}
		default:
			i.problem(e.key, "trap: docker_auth ignores %q in match%s, so the entry matches more requests than it seems to: correct the key or remove it",
				e.name, suggestKey(e.name, known))
		}
	}
	return m
}

// pattern checks a pattern and reports errors and traps.
func (i *importer) pattern(field string, n *yaml.Node, text string) {
	if field == "ip" {
		if _, err := parseNetwork(text); err != nil {
			i.problem(n, "%v", err)
		}
		return
	}
	inner, ok := expression(text)
	if !ok {
		switch {
		case len(text) > 1 && strings.HasPrefix(text, "/"):
			i.note(Trap, n, "%q begins with a slash and does not end with one: it is not a regular expression, and as a glob it matches nothing (did you mean %q?)", text, text+"/")
		case len(text) > 1 && strings.HasSuffix(text, "/"):
			i.note(Trap, n, "%q ends with a slash and does not begin with one: it is not a regular expression, and as a glob it matches nothing", text)
		case field == "account" && text == "*" && i.out.anonymous:
			i.note(Trap, n, "the account \"*\" also matches requests without a sign-in, here too; \"/.+/\" matches only signed-in users")
		case field == "account" && i.isUnknownAccount(text):
			i.note(Trap, n, "no user of the file has the account %q: this entry never decides", text)
		}
		if field == "name" && strings.Contains(text, "**") {
			i.note(Trap, n, "** means * in docker_auth: %q matches one path segment in docker_auth and in Tidewaiter", text)
		}
		return
	}
	if _, err := regexp.Compile(variable.ReplaceAllLiteralString(inner, "x")); err != nil {
		i.problem(n, "the regular expression is invalid, and docker_auth does not start with it: correct the expression (%v)", err)
		return
	}
	l, always, never, unclear := translateText(filled{text: text}, atom{})
	switch {
	case always, never && unclear == "", unclear == "" && l.form != like:
	case inner == ".+", inner == ".*", strings.HasPrefix(inner, "^") && (strings.HasSuffix(inner, "$") || strings.HasSuffix(inner, ".*") || strings.HasSuffix(inner, ".+")), strings.HasPrefix(inner, "(^|") && strings.HasSuffix(inner, "|$)"):
	default:
		i.note(Trap, n, "the regular expression %q is not anchored: it matches any part of a %s, here too; anchor it with ^ and $", text, field)
	}
}

// isUnknownAccount reports whether the pattern of an account is a literal name that no user has.
func (i *importer) isUnknownAccount(account string) bool {
	name, ok := literalText(account)
	_, known := i.statics[name]
	return ok && name != "" && !known && i.outsideSource() == "" && !strings.Contains(account, "${")
}

// noteLocalNetwork adds a note about an entry that grants actions to clients in a loopback or
// private network. Behind a proxy, all requests can seem to come from such a network.
func (i *importer) noteLocalNetwork(w fileEntry) {
	m := w.match
	if m.ip == nil || m.account != nil || m.labels != nil || m.name != nil || len(w.actions) == 0 {
		return
	}
	if p, err := parseNetwork(*m.ip); err == nil && (p.Addr().IsLoopback() || p.Addr().IsPrivate()) {
		i.note(Trap, w.node, "this entry grants to all requests from %s: if a proxy has such an address, all requests seem to come from it, unless trusted_proxies lists the proxy", *m.ip)
	}
}

// list translates the list into rules.
func (i *importer) list(n *yaml.Node) {
	all := i.entries(n)
	if len(i.problems) > 0 {
		return
	}
	list := i.translateEntries(all, false)
	if len(list.problems) > 0 {
		// Some entries cannot be translated to a rule with placeholders, but can be translated to
		// a separate rule for each user.
		if again := i.translateEntries(all, true); len(again.problems) < len(list.problems) {
			list = again
		}
	}
	for _, k := range slices.Sorted(maps.Keys(list.problems)) {
		i.problem(all[k].node, "this entry has no exact translation: %s", list.problems[k])
	}
	if len(i.problems) > 0 {
		return
	}
	i.closed = list.closed
	for k, w := range all {
		i.noteLocalNetwork(w)
		switch {
		case !list.matching[k]:
			i.note(Left, w.node, "this entry matches nothing that a registry requests")
		case !list.reached[k]:
			i.note(Left, w.node, "this entry never decides: earlier entries match everything that it matches%s", captureWarning(w))
		}
	}
	i.nameRules(all, list.rules)
	if dependencies := i.dependencies(all, list.reached); len(dependencies) > 0 {
		i.note(Changed, n, "the list: %s became %s. They grant nothing that docker_auth refused. They may grant less: docker_auth reads values from outside this file as patterns, and a rule compares them as text: %s",
			count(len(all), "entry", "entries"), count(len(i.out.rules), "rule", "rules"), strings.Join(dependencies, "; "))
		return
	}
	i.note(Kept, n, "the list: %s became %s, which make the same decisions", count(len(all), "entry", "entries"), count(len(i.out.rules), "rule", "rules"))
}

// count returns a number with its noun: "1 rule", "2 rules".
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// translation is the result of translating the list into rules.
type translation struct {
	rules             []outRule
	problems          map[int]string // by entry
	matching, reached []bool         // by entry
	closed            bool           // every request matches an entry
}

// translateEntries translates the list into rules. If writeOut is true, labels of the file's
// users are replaced by their values wherever possible.
func (i *importer) translateEntries(all []fileEntry, writeOut bool) translation {
	m := translation{problems: map[int]string{}, matching: make([]bool, len(all)), reached: make([]bool, len(all))}
	for _, kind := range []string{scope.TypeRepository, scope.TypeRegistry} {
		entries := make([]entry, len(all))
		of := scope.Repository
		if kind == scope.TypeRegistry {
			of = scope.All
		}
		for k, w := range all {
			entries[k] = i.entryForType(w, kind, writeOut)
			m.matching[k] = m.matching[k] || len(entries[k].areas) > 0
		}
		rules, problems, decide := order(entries, of)
		for k, why := range problems {
			if _, known := m.problems[k]; !known {
				m.problems[k] = why
			}
		}
		for k, d := range decide {
			m.reached[k] = m.reached[k] || d
		}
		for _, r := range rules {
			m.rules = append(m.rules, outRule{rule: r, kind: kind})
		}
		m.closed = m.closed || matchesEverything(entries)
	}
	slices.SortStableFunc(m.rules, func(a, b outRule) int { return cmp.Compare(a.entry, b.entry) })
	return m
}

// dependencies returns descriptions of the values that affect decisions but come from outside the
// file, such as "the label team of ldap_auth (line 12)". It considers only entries that some
// requests reach.
func (i *importer) dependencies(all []fileEntry, reached []bool) (dependencies []string) {
	add := func(format string, args ...any) { dependencies = append(dependencies, fmt.Sprintf(format, args...)) }
	for k, w := range all {
		if !reached[k] {
			continue
		}
		patterns := w.match.patterns()
		keys := w.match.labelsIn()
		for _, key := range slices.Sorted(maps.Keys(w.match.labels)) {
			p := w.match.labels[key]
			keys, patterns = append(keys, key), append(patterns, &p)
		}
		for _, key := range keys {
			if from := i.labelFrom(key); from != "" {
				add("the label %s of %s (line %d)", key, from, w.node.Line)
			}
		}
		if !slices.ContainsFunc(patterns, func(p *string) bool { return slices.Contains(variables(p), "account") }) {
			continue
		}
		if from := i.outsideSource(); from != "" {
			add("accounts of %s (line %d)", from, w.node.Line)
		}
		for _, u := range i.out.users {
			if withoutUserValue.matches(u.name) {
				add("the account %s, which has no ${user} (line %d)", u.name, w.node.Line)
			}
		}
	}
	return removeRepeated(dependencies)
}

// captureWarning returns a text to append to an error. If the entry's pattern of names has
// captures, the text is a warning about captures. Otherwise it is "".
func captureWarning(w fileEntry) string {
	if w.match.name != nil && captured.MatchString(*w.match.name) {
		return "; the captures of an account's regular expression would be patterns there, and * in an account's name would match any text"
	}
	return ""
}

var captured = regexp.MustCompile(`\$\{(account|name|type|service):[0-9]+\}`)

// matchesEverything reports whether one of the entries matches every request.
func matchesEverything(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool {
		return len(e.when) == 0 && e.unclear == "" && slices.ContainsFunc(e.areas, func(a area) bool { return len(a.when) == 0 && a.pattern.equal(everything) })
	})
}

// entryForType returns the part of a file's entry that is about resources of the given type.
func (i *importer) entryForType(w fileEntry, kind string, out bool) entry {
	e := entry{line: w.node.Line, every: namesOf(kind)}
	variants, from, unclear := i.variants(w.match, out)
	e.unclear = unclear
	for _, v := range variants {
		all, never, why := w.match.conditions(v)
		e.unclear = cmp.Or(e.unclear, why)
		if never {
			continue
		}
		areas, why := v.findAreas(kind)
		e.unclear = cmp.Or(e.unclear, why)
		var when []literal
		for _, l := range all {
			l, no, why := i.translateLowered(l)
			e.unclear = cmp.Or(e.unclear, why)
			if no {
				areas = nil
			}
			when = append(when, l)
		}
		if takes, _ := v.matchesType(kind); takes && v.accounts == nil {
			e.from = from
		}
		if len(variants) == 1 {
			e.when, when = when, nil
		}
		for _, a := range areas {
			a.pattern = slices.Clone(a.pattern)
			for n, p := range a.pattern {
				if p.kind == claim && i.labels[p.text].groups {
					a.pattern[n].kind = member
				}
			}
			a.when = slices.Concat(when, a.when)
			if !isContradiction(a.when) {
				e.areas = append(e.areas, a)
			}
		}
	}
	if len(variants) > 1 {
		e.areas = tidy(e.areas)
	}
	for _, name := range w.actions {
		one, known := scope.ParseAction(name)
		switch {
		case name == "*" && kind == scope.TypeRegistry:
			e.actions |= scope.All
		case name == "*" && len(w.actions) == 1:
			e.actions |= scope.Repository
		case known && kind == scope.TypeRepository:
			e.actions |= one & scope.Repository
		}
	}
	return e
}

// translateLowered translates a literal about a label that docker_auth converts to lower case
// before the comparison. Tidewaiter compares the label without a conversion. It also reports
// whether no value can match. If the literal has no translation, it returns the reason.
func (i *importer) translateLowered(l literal) (lower literal, matchesNone bool, unclear string) {
	known := i.labels[l.key]
	if l.kind != label || known == (labelForm{}) {
		return l, false, ""
	}
	program := slices.Contains(i.sources, "ext_auth")
	switch {
	case program && known.groups && l.key != "groups":
		return l, false, fmt.Sprintf("the label %s is a group if it comes from ldap_auth (parse_cn), and a claim if it comes from ext_auth: call it groups in both and in acl", l.key)
	case program && known.groups && (l.form != oneOf || slices.ContainsFunc(l.values(), isDistinguishedName)):
		return l, false, fmt.Sprintf("ext_auth may give distinguished names in the label %s (CN=Ops,DC=example,DC=com), which docker_auth compares as text and Tidewaiter compares as names: let it give other names, and write an entry for each", l.key)
	case !known.lower:
		return l, false, ""
	case program:
		return l, false, fmt.Sprintf("the label %s is in lower case if it comes from ldap_auth (lower_case), and unchanged if it comes from ext_auth: give one of them another name, and write an entry for each", l.key)
	case l.form == accounts:
		return l, false, fmt.Sprintf("the label %s is compared in lower case, and the value in match cannot be: write an entry for each value", l.key)
	}
	source := l.text
	if l.form == oneOf {
		// Values with upper case match no text in lower case.
		values := slices.DeleteFunc(l.values(), func(v string) bool { return v != strings.ToLower(v) })
		if len(values) == 0 {
			return l, true, ""
		}
		for k, v := range values {
			values[k] = regexp.QuoteMeta(v)
		}
		source = "(?s)^(?:" + strings.Join(values, "|") + ")$"
	}
	text, ok := beforeLower(source)
	if !ok {
		return l, false, fmt.Sprintf("the label %s is compared in lower case, and %q matches word boundaries: write its values out", l.key, l.text)
	}
	l.form, l.text = like, text
	return l, false, ""
}

// outRule is a rule to write. Its fields have the form that users write.
type outRule struct {
	rule
	ruleset.Rule
	kind string
	line int
}

// nameRules gives each rule a unique name. If the entry of the rule has a comment, the name is made
// from the comment.
func (i *importer) nameRules(all []fileEntry, rules []outRule) {
	taken := make(map[string]bool)
	for _, r := range rules {
		w := all[r.entry]
		terms := termsOf(r.when, i.labels)
		r.Rule = ruleset.Rule{Subjects: terms.subjects, Registries: terms.registries, When: terms.text}
		r.line = w.node.Line
		if r.When != "" {
			if _, err := i.compiler.Compile(r.When); err != nil {
				i.problem(w.node, "this entry has no exact translation: its condition, without the earlier entries, is too large for a rule: write names or accounts out, so that it overlaps with fewer entries (%v)", err)
				continue
			}
		}
		base := cmp.Or(strings.TrimRight(commentLine(w.comment), ". "), fmt.Sprintf("line %d", r.line))
		switch {
		case r.deny && len(w.actions) > 0:
			base += ": nothing else"
		case r.kind == scope.TypeRegistry && !w.match.namesType(scope.TypeRegistry):
			base += ": the catalog"
		}
		r.Name = base
		for n := 2; taken[r.Name]; n++ {
			r.Name = fmt.Sprintf("%s (%d)", base, n)
		}
		taken[r.Name] = true
		texts := r.texts()
		if len(texts) > manyPatterns {
			i.note(Changed, w.node, "this entry became %d patterns: patterns have no exceptions, so the names of this entry that other entries do not match are listed instead", len(texts))
		}
		if r.deny {
			r.Effect = ruleset.Deny
		}
		if r.Catalog = r.kind == scope.TypeRegistry; !r.Catalog {
			r.Repositories, r.Actions = texts, r.actions.Names()
		}
		if r.actions == scope.Repository {
			r.Actions = []string{"*"}
		}
		i.out.rules = append(i.out.rules, r)
	}
}

// A rule with more than manyPatterns patterns gets a note that explains the patterns, because a
// person would never write so many.
const manyPatterns = 16

// commentLine returns a comment as one line that fits in the name of a rule.
func commentLine(comment string) string {
	comment = strings.Map(func(r rune) rune {
		if !text.Printable(string(r)) {
			return ' '
		}
		return r
	}, comment)
	return text.Shorten(strings.Join(strings.Fields(comment), " "), 120)
}
