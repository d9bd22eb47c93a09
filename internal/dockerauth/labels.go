package dockerauth

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// docker_auth replaces variables before it parses a pattern. So the values of labels and the
// captures of regular expressions are parts of the pattern. In a rule, a placeholder is compared
// as text. If no value contains special characters, pattern and placeholder match the same names.
// If all values are in the file and one of them has special characters, the patterns are written
// out for the users with that value. If values come from outside the file, a placeholder never
// matches more names than docker_auth's pattern. So a placeholder may be used in a rule that
// allows, but not in a rule that denies.

// filled is a pattern of an entry, together with values for variables in it.
type filled struct {
	text   string
	values map[string]string // by variable, such as "labels:team" and "account:1"
	// If open is true, the variable of a label without a value becomes a placeholder of a rule.
	// Otherwise this variable has no translation.
	open bool
}

// substitute returns the pattern with its variables replaced.
func (f filled) substitute() string {
	return variable.ReplaceAllStringFunc(f.text, func(v string) string {
		if value, ok := f.values[v[2:len(v)-1]]; ok {
			return value
		}
		return v
	})
}

// variant has the patterns of an entry, with one combination of values for the variables in these
// patterns. For a user with the groups dev and ops, the pattern ${labels:group}/* has two
// variants. The entry matches a request if one of its variants matches the request.
type variant struct {
	accounts                     []string // the variant applies to these accounts; nil: to all
	account, kind, name, service *filled
}

// key returns the same text for variants that differ only in their accounts.
func (v variant) key() string {
	var b strings.Builder
	for _, f := range v.patterns() {
		if *f != nil {
			b.WriteString((*f).substitute())
		}
		b.WriteString("\x00")
	}
	return b.String()
}

// patterns returns the fields in the order of match.patterns.
func (v *variant) patterns() []**filled { return []**filled{&v.account, &v.kind, &v.name, &v.service} }

// maxVariants is the maximum number of variants of one entry.
const maxVariants = 2000

// patterns returns the patterns of a match that can have variables.
func (m *match) patterns() []*string { return []*string{m.account, m.kind, m.name, m.service} }

// labelsIn returns the names of the labels in the variables of the patterns, without duplicates.
func (m *match) labelsIn() (keys []string) {
	for _, p := range m.patterns() {
		for _, v := range variables(p) {
			if key, ok := strings.CutPrefix(v, "labels:"); ok {
				keys = append(keys, key)
			}
		}
	}
	return removeRepeated(keys)
}

// usesVariable reports whether a pattern has a variable that begins with the prefix.
func usesVariable(p *string, prefix string) bool {
	return slices.ContainsFunc(variables(p), func(v string) bool { return strings.HasPrefix(v, prefix) })
}

// usesCaptures reports whether patterns use groups of the account's regular expression.
func (m *match) usesCaptures() bool {
	return slices.ContainsFunc(m.patterns(), func(p *string) bool { return usesVariable(p, "account:") })
}

// splitsAccount reports whether ${account} is used where a rule cannot have a placeholder: in a
// part of a path segment, or in a pattern that is not for the name.
func (m *match) splitsAccount() bool {
	for _, p := range m.patterns() {
		if !slices.Contains(variables(p), "account") {
			continue
		}
		if p != m.name {
			return true
		}
		if _, why := nameAreas(filled{text: *p, open: true}, "repository"); why != "" {
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

// labelFrom returns the source outside the file that could provide the label, such as
// ldap_auth, or "".
func (i *importer) labelFrom(key string) string {
	if i.labels[key] != (labelForm{}) {
		return "ldap_auth"
	}
	for _, source := range i.sources {
		if source != "ldap_auth" && source != "google_auth" {
			return source
		}
	}
	return ""
}

// outsideSource returns a source of accounts that are not in the file, such as ldap_auth, or "".
func (i *importer) outsideSource() string {
	return cmp.Or(i.sources...)
}

// variants lists the variants of an entry's match. If writeOut is false and rules can have
// placeholders for all variables, there is only one variant, which keeps the variables. Otherwise
// there are variants for the users of the file, with the values of the users' labels. If a label
// comes from outside the file, variants returns the source of the label. If the match has no
// translation, variants returns the reason.
func (i *importer) variants(m match, writeOut bool) (all []variant, source, unclear string) {
	plainly := func(open bool) (v variant) {
		for k, p := range m.patterns() {
			if p != nil {
				*v.patterns()[k] = &filled{text: *p, open: open}
			}
		}
		return v
	}
	m.writesOut = i.outsideSource() == "" && m.splitsAccount()
	keys, captures := m.labelsIn(), m.usesCaptures() || m.writesOut
	if len(keys) == 0 && !captures || captures && i.outsideSource() != "" {
		return []variant{plainly(false)}, "", "" // mark reports untranslatable captures
	}
	for _, key := range keys {
		source = cmp.Or(source, i.labelFrom(key))
	}
	keep, why := i.mayUsePlaceholders(m)
	switch {
	case source != "" && !keep:
		key := keys[slices.IndexFunc(keys, func(k string) bool { return i.labelFrom(k) != "" })]
		return []variant{plainly(true)}, source, fmt.Sprintf("the values of the label %s come from %s, so they cannot be written out, and %s, such as {name: \"red/*\", labels: {%s: red}}", key, source, why, quote(key))
	case source != "":
		all = append(all, plainly(true))
	case keep && !writeOut && !captures && i.allPlain(m):
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
		if name != anyAccount {
			v.accounts = []string{name}
		}
		all = append(all, v)
		return len(all) <= maxVariants
	}
	if source == "" && !captures {
		add(plainly(false), anyAccount)
	}
	names := slices.Sorted(maps.Keys(i.statics))
	if captures {
		names = append(names, "") // requests without a sign-in
	}
	for _, name := range names {
		for _, v := range i.variantsFor(m, name, source != "") {
			if !add(v, name) {
				return []variant{plainly(true)}, source, fmt.Sprintf("written out for the users of the file, it becomes more than %d entries: write entries for the values that are needed", maxVariants)
			}
		}
	}
	return all, source, ""
}

// anyAccount is a name that no account has.
const anyAccount = "\x00"

// mayUsePlaceholders reports whether the variables of labels in an entry can become placeholders
// of a rule. If they cannot, the second result is the reason.
func (i *importer) mayUsePlaceholders(m match) (bool, string) {
	if usesVariable(m.account, "labels:") || usesVariable(m.kind, "labels:") || usesVariable(m.service, "labels:") {
		return false, "in a rule labels are placeholders in names only: write an entry for each value"
	}
	if m.name == nil {
		return true, ""
	}
	if _, why := nameAreas(filled{text: *m.name, open: true}, "repository"); why != "" {
		if !strings.HasSuffix(why, ": write an entry for each value") {
			why += "; or write an entry for each value"
		}
		return false, why
	}
	for _, v := range variables(m.name) {
		key, ok := strings.CutPrefix(v, "labels:")
		if ok && i.labels[key].groups && key != "groups" && slices.Contains(i.sources, "ext_auth") {
			return false, fmt.Sprintf("the label %s is a group if it comes from ldap_auth (parse_cn), and a claim if it comes from ext_auth: call it groups in both and in acl, or write an entry for each value", key)
		}
	}
	return true, ""
}

// onePath matches text without special characters in a glob.
var onePath = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)

// docker_auth inserts a label's value into the pattern. plainValue reports whether the value then
// matches only itself. For example, the value a.b is not plain in a regular expression, because
// the dot matches any character.
func plainValue(value, pattern string) bool {
	_, isExpression := expression(pattern)
	return onePath.MatchString(value) && !(isExpression && strings.Contains(value, "."))
}

// allPlain reports whether plainValue is true for all values that users of the file have for
// the labels in the match's pattern of names.
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

// variantsFor lists the variants for one user of the file: one for each combination of values
// of the user's labels. If withoutUserValue is true, it omits the variants that a rule with a
// placeholder covers.
func (i *importer) variantsFor(m match, name string, withoutUserValue bool) (all []variant) {
	captured := m.captureVariables(name)
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
				continue // the variable stays unchanged
			}
			some = true
			var more []map[string]string
			for _, w := range ways {
				for _, value := range values {
					one := map[string]string{v: value}
					maps.Copy(one, w)
					more = append(more, one)
				}
				if len(more) > maxVariants {
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
	all = []variant{{}}
	for k, p := range m.patterns() {
		var more []variant
		for _, v := range all {
			for _, f := range fill(p) {
				*v.patterns()[k] = f
				if more = append(more, v); len(more) > maxVariants {
					break
				}
			}
		}
		all = more
	}
	if withoutUserValue {
		all = slices.DeleteFunc(all, func(v variant) bool { return !i.hasPatternValue(v) })
	}
	return all
}

// hasPatternValue reports whether one of the label values in a variant also matches other texts,
// or cannot be matched by a placeholder.
func (i *importer) hasPatternValue(v variant) bool {
	for variable, value := range v.name.values {
		key, ok := strings.CutPrefix(variable, "labels:")
		if ok && (!plainValue(value, v.name.text) || i.labels[key].groups && strings.Contains(value, "/")) {
			return true
		}
	}
	return false
}

// captureVariables matches a user's name with the account's regular expression and returns the
// captures as variables. If writesOut is true, the result also has the name, as the variable
// account.
func (m *match) captureVariables(name string) map[string]string {
	values := map[string]string{}
	if m.writesOut {
		values["account"] = regexp.QuoteMeta(name) // as docker_auth does
	}
	if m.account != nil {
		source, ok := expression(*m.account)
		if re, err := regexp.Compile(source); ok && err == nil {
			for index, text := range re.FindStringSubmatch(name) {
				values[fmt.Sprintf("account:%d", index)] = text
			}
			delete(values, "account:0")
		}
	}
	if len(values) == 0 {
		return nil // markVariables then reports the variables ${account:N}
	}
	return values
}
