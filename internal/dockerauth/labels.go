package dockerauth

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// docker_auth replaces variables before it reads a pattern: the value of a label is pattern text
// there, and so is what a regular expression captures. In a rule a placeholder is compared as
// text. The two agree where every value is text that means itself. Where the file holds all
// values, and one of them is more than that, the patterns are written out, for the users who have
// the value. Where values come from elsewhere, a placeholder never has more names than
// docker_auth's pattern, so it may stand in what allows, and never in what takes away.

// filled is a pattern of an entry, with what stands for its variables.
type filled struct {
	text   string
	values map[string]string // by variable, as "labels:team" and "account:1"
	open   bool              // labels are placeholders; else one without a value stays as it is written
}

// with returns the pattern with the values in place of their variables.
func (f filled) with() string {
	return variable.ReplaceAllStringFunc(f.text, func(v string) string {
		if value, ok := f.values[v[2:len(v)-1]]; ok {
			return value
		}
		return v
	})
}

// variant is one way in which an entry's patterns can be filled. The entry matches where one of
// its variants does.
type variant struct {
	accounts                     []string // whose way it is; nil: everybody's
	account, kind, name, service *filled
}

// key is the same for variants that differ in their accounts alone.
func (v variant) key() string {
	var b strings.Builder
	for _, f := range []*filled{v.account, v.kind, v.name, v.service} {
		if f != nil {
			b.WriteString(f.with())
		}
		b.WriteString("\x00")
	}
	return b.String()
}

// mostVariants bounds the ways of one entry.
const mostVariants = 2000

// patterns are the four patterns of a match that can hold variables.
func (m *match) patterns() []*string { return []*string{m.account, m.kind, m.name, m.service} }

// labelsIn returns the labels whose values are parts of patterns.
func (m *match) labelsIn() (keys []string) {
	for _, p := range m.patterns() {
		for _, v := range variables(p) {
			if key, ok := strings.CutPrefix(v, "labels:"); ok && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// captures reports whether groups of the account's regular expression are parts of patterns.
func (m *match) captures() bool {
	return slices.ContainsFunc(m.patterns(), func(p *string) bool {
		return slices.ContainsFunc(variables(p), func(v string) bool { return strings.HasPrefix(v, "account:") })
	})
}

// splitsAccount reports whether ${account} stands where a rule has no place for it: as a piece of a path part, or in
// another pattern than the name's.
func (m *match) splitsAccount() bool {
	for _, p := range m.patterns() {
		if !slices.Contains(variables(p), "account") {
			continue
		}
		if p != m.name {
			return true
		}
		if _, why := names(filled{text: *p, open: true}, "repository"); why != "" {
			return true
		}
	}
	return false
}

// variables returns the variables of a pattern, without ${ and }.
func variables(p *string) (names []string) {
	if p == nil {
		return nil
	}
	for _, v := range variable.FindAllString(*p, -1) {
		names = append(names, v[2:len(v)-1])
	}
	return names
}

// labelFrom says which source outside of the file could give a label; "": none.
func (i *importer) labelFrom(key string) string {
	if i.labels[key] != (labelled{}) {
		return "ldap_auth"
	}
	for _, source := range i.sources {
		if source != "ldap_auth" && source != "google_auth" {
			return source
		}
	}
	return ""
}

// outside names a source of accounts that the file does not hold; "": it holds them all.
func (i *importer) outside() string {
	if len(i.sources) == 0 {
		return ""
	}
	return i.sources[0]
}

// variants lists the ways in which a match can be filled. from is the source outside of the file
// whose labels are parts of its patterns, if there is one. With out, whatever can be written out
// is.
func (i *importer) variants(m match, out bool) (all []variant, from, unclear string) {
	plainly := func(open bool) variant {
		fill := func(p *string) *filled {
			if p == nil {
				return nil
			}
			return &filled{text: *p, open: open}
		}
		return variant{account: fill(m.account), kind: fill(m.kind), name: fill(m.name), service: fill(m.service)}
	}
	m.writesOut = i.outside() == "" && m.splitsAccount()
	keys, captures := m.labelsIn(), m.captures() || m.writesOut
	if len(keys) == 0 && !(captures && i.outside() == "") {
		return []variant{plainly(false)}, "", ""
	}
	if captures && i.outside() != "" {
		return []variant{plainly(false)}, "", "" // mark says what is wrong with it
	}
	for _, key := range keys {
		from = cmp.Or(from, i.labelFrom(key))
	}
	keep, why := i.kept(m)
	switch {
	case from != "" && !keep:
		key := keys[slices.IndexFunc(keys, func(k string) bool { return i.labelFrom(k) != "" })]
		return []variant{plainly(true)}, from, fmt.Sprintf("the values of the label %s come from %s, so that they cannot be written out, and %s, such as {name: \"red/*\", labels: {%s: red}}", key, from, why, quote(key))
	case from != "":
		all = append(all, plainly(true))
	case keep && !out && !captures && i.allPlain(m):
		return []variant{plainly(true)}, "", ""
	}
	known := map[string]int{}
	add := func(v variant, name string) bool {
		if at, ok := known[v.key()]; ok {
			if all[at].accounts != nil {
				all[at].accounts = append(all[at].accounts, name)
			}
			return true
		}
		known[v.key()] = len(all)
		if name != everybody {
			v.accounts = []string{name}
		}
		all = append(all, v)
		return len(all) <= mostVariants
	}
	if from == "" && !captures {
		add(plainly(false), everybody)
	}
	names := slices.Sorted(maps.Keys(i.statics))
	if captures {
		names = append(names, "") // nobody signed in
	}
	for _, name := range names {
		for _, v := range i.waysOf(m, name, from != "") {
			if !add(v, name) {
				return []variant{plainly(true)}, from, fmt.Sprintf("written out for the users of the file, it is more than %d entries: write entries for the values that are meant", mostVariants)
			}
		}
	}
	return all, from, ""
}

// everybody is no account's name.
const everybody = "\x00"

// kept says whether labels can be placeholders, as far as an entry's patterns go, and else why
// not.
func (i *importer) kept(m match) (bool, string) {
	for _, p := range []*string{m.account, m.kind, m.service} {
		if slices.ContainsFunc(variables(p), func(v string) bool { return strings.HasPrefix(v, "labels:") }) {
			return false, "in a rule labels are placeholders in names only: write an entry for each value"
		}
	}
	if m.name == nil {
		return true, ""
	}
	if _, why := names(filled{text: *m.name, open: true}, "repository"); why != "" {
		if !strings.HasSuffix(why, ": write an entry for each value") {
			why += "; or write an entry for each value"
		}
		return false, why
	}
	for _, v := range variables(m.name) {
		key, ok := strings.CutPrefix(v, "labels:")
		if ok && i.labels[key].groups && key != "groups" && slices.Contains(i.sources, "ext_auth") {
			return false, fmt.Sprintf("the label %s is a group if it comes from ldap_auth (parse_cn), and a claim if it comes from ext_auth: call it groups, in both and here, or write an entry for each value", key)
		}
	}
	return true, ""
}

// onePath is text that means itself wherever docker_auth puts it into a glob.
var onePath = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)

// plainValue reports whether a label's value means itself, and nothing more, in a name's pattern.
func plainValue(value, pattern string) bool {
	_, isExpression := expression(pattern)
	return onePath.MatchString(value) && !(isExpression && strings.Contains(value, "."))
}

// allPlain reports whether all values of the labels in a name mean themselves.
func (i *importer) allPlain(m match) bool {
	for _, v := range variables(m.name) {
		key, ok := strings.CutPrefix(v, "labels:")
		for _, labels := range i.statics {
			if ok && slices.ContainsFunc(labels[key], func(value string) bool { return !plainValue(value, *m.name) }) {
				return false
			}
		}
	}
	return true
}

// waysOf lists how the patterns are filled for a user of the file. With odd, only what a
// placeholder does not say.
func (i *importer) waysOf(m match, name string, odd bool) (all []variant) {
	captured := m.captured(name)
	fill := func(p *string) (fields []*filled) {
		if p == nil {
			return []*filled{nil}
		}
		fields = []*filled{{text: *p, values: captured}}
		ways := []map[string]string{maps.Clone(captured)}
		some := false
		for _, v := range slices.Compact(slices.Sorted(slices.Values(variables(p)))) {
			key, ok := strings.CutPrefix(v, "labels:")
			values, has := i.statics[name][key]
			if !ok || !has {
				continue // it stays as it is written
			}
			some = true
			var more []map[string]string
			for _, w := range ways {
				for _, value := range values {
					one := maps.Clone(w)
					if one == nil {
						one = map[string]string{}
					}
					one[v] = value
					more = append(more, one)
				}
				if len(more) > mostVariants {
					break
				}
			}
			ways = more
		}
		if some {
			for _, w := range ways {
				fields = append(fields, &filled{text: *p, values: w})
			}
		}
		return fields
	}
	for _, a := range fill(m.account) {
		for _, k := range fill(m.kind) {
			for _, n := range fill(m.name) {
				for _, s := range fill(m.service) {
					v := variant{account: a, kind: k, name: n, service: s}
					if odd && !i.odd(v) {
						continue
					}
					if all = append(all, v); len(all) > mostVariants {
						return all
					}
				}
			}
		}
	}
	return all
}

// odd reports whether a variant has a value that is more than what a placeholder stands for.
func (i *importer) odd(v variant) bool {
	for variable, value := range v.name.values {
		key, ok := strings.CutPrefix(variable, "labels:")
		if ok && (!plainValue(value, v.name.text) || i.labels[key].groups && strings.Contains(value, "/")) {
			return true
		}
	}
	return false
}

// captured returns what the account's regular expression captures of a name, and the name itself where ${account} is written out.
func (m *match) captured(name string) map[string]string {
	var values map[string]string
	if m.writesOut {
		values = map[string]string{"account": name}
	}
	if m.account == nil {
		return values
	}
	inner, ok := expression(*m.account)
	if !ok {
		return values
	}
	re, err := regexp.Compile(inner)
	if err != nil {
		return values
	}
	for index, text := range re.FindStringSubmatch(name) {
		if index > 0 {
			if values == nil {
				values = map[string]string{}
			}
			values[fmt.Sprintf("account:%d", index)] = text
		}
	}
	return values
}
