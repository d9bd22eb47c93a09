package dockerauth

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/scope"
)

// written is an entry of the list as it stands in the file.
type written struct {
	node    *yaml.Node
	match   match
	actions []string
	comment string
}

// entries reads the list.
func (i *importer) entries(n *yaml.Node) (all []written) {
	if empty(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		i.problem(n, "a list of entries is wanted here")
		return nil
	}
	for _, item := range n.Content {
		item = resolved(item)
		before := len(i.problems)
		w := i.entry(item)
		if len(i.problems) == before {
			all = append(all, w)
		}
	}
	return all
}

func (i *importer) entry(n *yaml.Node) written {
	w := written{node: n}
	keys := i.section(n, "match", "actions", "comment")
	if len(i.problems) > 0 && n.Kind != yaml.MappingNode {
		return w
	}
	switch m := keys["match"]; {
	case empty(m):
		i.problem(n, "match is missing: docker_auth ends when it comes to this entry; for everybody it is written match: {}")
	default:
		w.match = i.match(m)
	}
	switch a := keys["actions"]; {
	case empty(a):
		i.problem(n, "actions is missing: docker_auth ends when it comes to this entry; to refuse everything it is written actions: []")
	default:
		w.actions = i.texts(a)
		for k, name := range w.actions {
			if _, known := scope.ParseAction(name); !known || name == "read" || name == "write" {
				i.note(Left, a.Content[k], "no registry asks for the action %q", name)
			}
		}
	}
	w.comment = i.text(keys["comment"])
	return w
}

// match reads what an entry says of a request.
func (i *importer) match(n *yaml.Node) (m match) {
	fields := map[string]**string{"account": &m.account, "type": &m.kind, "name": &m.name, "ip": &m.ip, "service": &m.service}
	known := append(sortedKeys(fields), "labels")
	for _, e := range i.pairs(n) {
		field, ok := fields[e.name]
		switch {
		case ok && empty(e.value):
			i.note(Trap, e.key, "%s has no value, which docker_auth takes for any; nobody signed in is %s: \"\"", e.name, e.name)
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
			i.problem(e.key, "trap: docker_auth ignores %q in match%s, and an entry without the conditions that were meant matches everybody: correct the key or remove it",
				e.name, meant(e.name, known))
		}
	}
	return m
}

// pattern tells what is wrong with a pattern, or surprising.
func (i *importer) pattern(field string, n *yaml.Node, text string) {
	if field == "ip" {
		if _, err := network(text); err != nil {
			i.problem(n, "%v", err)
		}
		return
	}
	inner, ok := expression(text)
	if !ok {
		if field == "name" && strings.Contains(text, "**") {
			i.note(Trap, n, "** is no more than * in docker_auth: %q takes one path part there, and so it does here", text)
		}
		return
	}
	if _, err := regexp.Compile(variable.ReplaceAllLiteralString(inner, "x")); err != nil {
		i.problem(n, "the regular expression is none: %v", err)
		return
	}
	l, always, never, unclear := compared(text, atom{})
	switch {
	case always, never && unclear == "", unclear == "" && l.form != like:
	case strings.HasPrefix(inner, "^") && strings.HasSuffix(inner, "$"), strings.HasPrefix(inner, "(^|") && strings.HasSuffix(inner, "|$)"):
	default:
		i.note(Trap, n, "the regular expression %q is not anchored: it matches wherever it is found in a longer %s, and so it does here; ^ and $ are its ends", text, field)
	}
}

// local tells of an entry that opens to a loopback or private network, from which everybody may seem to come.
func (i *importer) local(w written) {
	m := w.match
	if m.ip == nil || m.account != nil || m.labels != nil || m.name != nil || len(w.actions) == 0 {
		return
	}
	if p, err := network(*m.ip); err == nil && (p.Addr().IsLoopback() || p.Addr().IsPrivate()) {
		i.note(Trap, w.node, "it opens to %s, whoever asks: if a proxy stands there, that is everybody, unless trusted_proxies names it", *m.ip)
	}
}

// list turns the list into rules.
func (i *importer) list(n *yaml.Node) {
	all := i.entries(n)
	if len(i.problems) > 0 {
		return
	}
	unsaid := make(map[int]bool)
	reached := make([]bool, len(all))
	matching := make([]bool, len(all))
	var ordered []outRule
	for _, kind := range []string{scope.TypeRepository, scope.TypeRegistry} {
		entries := make([]entry, len(all))
		of := scope.Repository
		if kind == scope.TypeRegistry {
			of = scope.All
		}
		for k, w := range all {
			entries[k] = i.meaning(w, kind)
			matching[k] = matching[k] || len(entries[k].areas) > 0
		}
		rules, problems, decide := order(entries, of)
		for k, why := range problems {
			if !unsaid[k] {
				i.problem(all[k].node, "this entry cannot be said exactly: %s", why)
			}
			unsaid[k] = true
		}
		for k, d := range decide {
			reached[k] = reached[k] || d
		}
		for _, r := range rules {
			ordered = append(ordered, outRule{rule: r, kind: kind})
		}
		i.closed = i.closed || closes(entries)
	}
	if len(i.problems) > 0 {
		return
	}
	for k, w := range all {
		i.local(w)
		switch {
		case !matching[k]:
			i.note(Left, w.node, "it matches nothing that a registry asks for")
		case !reached[k]:
			i.note(Left, w.node, "it never decides: the entries before it match whatever it does%s", captures(w))
		}
	}
	slices.SortStableFunc(ordered, func(a, b outRule) int { return cmp.Compare(a.entry, b.entry) })
	i.name(all, ordered)
	i.note(Kept, n, "the list: %d entries became %d rules, which decide alike", len(all), len(i.out.rules))
}

// captures tells of the groups of a regular expression in a name.
func captures(w written) string {
	if w.match.name != nil && captured.MatchString(*w.match.name) {
		return "; what an account's regular expression captures would be a pattern there, and * in an account's name any text"
	}
	return ""
}

var captured = regexp.MustCompile(`\$\{(account|name|type|service):[0-9]+\}`)

// closes says whether no request gets past the list.
func closes(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool {
		return len(e.when) == 0 && e.unclear == "" && slices.ContainsFunc(e.areas, func(a area) bool { return len(a.when) == 0 && a.pattern.equal(everything) })
	})
}

// meaning is what an entry says of resources of a type.
func (i *importer) meaning(w written, kind string) entry {
	e := entry{line: w.node.Line}
	all, never, unclear := w.match.conditions()
	if !never {
		var why string
		e.areas, why = w.match.areas(kind)
		unclear = cmp.Or(unclear, why)
	}
	for _, l := range all {
		l, no, why := i.lowered(l)
		unclear = cmp.Or(unclear, why)
		if no {
			e.areas = nil
		}
		e.when = append(e.when, l)
	}
	for _, a := range e.areas {
		for _, p := range a.pattern {
			if known := i.labels[p.text]; p.kind == claim && (known.groups || known.lower) {
				unclear = cmp.Or(unclear, fmt.Sprintf("the label %s is taken from a directory with parse_cn or lower_case, and cannot be a part of a name", p.text))
			}
		}
	}
	e.unclear = unclear
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

// lowered is a literal about a label that docker_auth has in lower case, and Tidewaiter as it is written.
func (i *importer) lowered(l literal) (lower literal, never bool, unclear string) {
	if l.kind != label || !i.labels[l.key].lower {
		return l, false, ""
	}
	hasUpper := func(s string) bool { return strings.ContainsFunc(s, unicode.IsUpper) }
	switch {
	case l.form == oneOf:
		var values []string
		for _, v := range l.values() {
			if !hasUpper(v) {
				values = append(values, regexp.QuoteMeta(v))
			}
		}
		if values == nil {
			return l, true, "" // lower_case leaves none that is equal
		}
		l.text = "^(?i:" + strings.Join(values, "|") + ")$"
	case l.form == like && !hasUpper(l.text) && !strings.ContainsAny(l.text, `\[`):
		l.text = "(?i)" + l.text
	default:
		return l, false, fmt.Sprintf("the label %s is taken in lower case, and what it is compared with cannot be", l.key)
	}
	l.form = like
	return l, false, ""
}

// outRule is a rule as it is written.
type outRule struct {
	rule
	said
	kind string
	name string
	line int
}

// name gives each rule a name of its own, after the comment of its entry.
func (i *importer) name(all []written, rules []outRule) {
	taken := make(map[string]bool)
	for _, r := range rules {
		w := all[r.entry]
		r.said, r.line = say(r.rule.when, i.labels), w.node.Line
		if r.text != "" {
			if _, err := i.compiler.Compile(r.text); err != nil {
				i.problem(w.node, "this entry cannot be said exactly: its condition, with what the entries before it take from it, is more than a rule can have: %v", err)
				continue
			}
		}
		base := strings.TrimRight(readable(w.comment), ". ")
		if base == "" {
			base = fmt.Sprintf("line %d", r.line)
		}
		switch {
		case r.deny && len(w.actions) > 0:
			base += ": nothing else"
		case r.kind == scope.TypeRegistry && !(w.match.kind != nil && w.match.typed(scope.TypeRegistry)):
			base += ": the catalog"
		}
		r.name = base
		for n := 2; taken[r.name]; n++ {
			r.name = fmt.Sprintf("%s (%d)", base, n)
		}
		taken[r.name] = true
		if texts := r.texts(); len(texts) > manyPatterns {
			i.note(Changed, w.node, "it is written with %d patterns: what other entries leave of it has to be written out, since a pattern has no \"but not\"", len(texts))
		}
		i.out.rules = append(i.out.rules, r)
	}
}

// manyPatterns is more than a person would have written.
const manyPatterns = 16

// readable is a comment in one line that is no longer than the name of a rule may be.
func readable(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)), " ")
	if runes := []rune(text); len(runes) > 60 {
		for len(text) > 120 {
			runes = runes[:len(runes)-1]
			text = string(runes) + "…"
		}
	}
	return text
}
