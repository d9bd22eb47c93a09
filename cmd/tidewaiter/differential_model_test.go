package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// This file has a model of Tidewaiter that follows the documentation: rules, conditions with typed
// claims, and the granted actions. The model is slow and simple, and shares no code with the
// program.

// number is a JSON number. It has the text of the number in the request, and the canonical text of
// the number.
type number struct{ written, text string }

var numbers = []number{{"2", "2"}, {"2.0", "2"}, {"20e-1", "2"}, {"3", "3"}, {"3.0", "3"}, {"2.5", "2.5"}, {"9007199254740993", "9007199254740993"}, {"9007199254740992", "9007199254740992"}}

// A value is a string, a bool, a number or a []any of these; nil is null.

func jsonOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case number:
		return v.written
	}
	items := []string{}
	for _, item := range v.([]any) {
		items = append(items, jsonOf(item))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// pathTexts returns the texts that a placeholder with the value v matches in a path.
func pathTexts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{strconv.FormatBool(v)}
	case number:
		return []string{v.text}
	case []any:
		var texts []string
		for _, item := range v {
			if _, list := item.([]any); !list {
				texts = append(texts, pathTexts(item)...)
			}
		}
		return texts
	}
	return nil
}

// directoryName is the DN of an entry: pairs of a type and a value.
type directoryName [][2]string

var directoryGroups = []directoryName{
	{{"cn", "ops"}, {"ou", "groups"}, {"dc", "corp"}},
	{{"cn", "ops"}, {"ou", "other"}, {"dc", "corp"}},
	{{"cn", "ops, eu"}, {"ou", "groups"}, {"dc", "corp"}},
	{{"cn", "dév"}, {"dc", "corp"}},
}

// spelledNames maps each DN that spell returned to its canonical form.
var spelledNames = map[string]string{}

// canonicalForm returns the canonical form of the DN.
func (n directoryName) canonicalForm() string {
	var parts []string
	for _, p := range n {
		parts = append(parts, p[0]+"="+strings.ReplaceAll(p[1], ",", `\,`))
	}
	return strings.Join(parts, ",")
}

// spell draws an equivalent spelling of the DN.
func (n directoryName) spell(t *rapid.T) string {
	types := map[string][]string{
		"cn": {"cn", "CN", "commonName", "2.5.4.3", "OID.2.5.4.3"}, "ou": {"ou", "OU", "2.5.4.11"}, "dc": {"dc", "DC", "domainComponent"},
	}
	var parts []string
	for _, p := range n {
		value := drawOne(t, "case", p[1], strings.ToUpper(p[1]), strings.ToUpper(p[1][:1])+p[1][1:])
		comma := strings.NewReplacer(",", drawOne(t, "comma", `\,`, `\2C`, `\2c`))
		if strings.Contains(value, ",") && rapid.Bool().Draw(t, "in quotes") {
			value = `"` + value + `"`
		} else {
			value = comma.Replace(value)
		}
		if drawOne(t, "in hex", true, false) {
			value = strings.NewReplacer("é", `\C3\A9`, "É", `\c3\89`).Replace(value)
		}
		parts = append(parts, drawOne(t, "type", types[p[0]]...)+drawOne(t, "equals", "=", "=", " = ")+value)
	}
	text := strings.Join(parts, drawOne(t, "separator", ",", ", ", ";"))
	spelledNames[text] = n.canonicalForm()
	return text
}

// canonicalSubject returns the canonical form of a name or a subject. Two names are equal if
// their canonical forms are equal.
func canonicalSubject(text string) string {
	if canonical, ok := spelledNames[text]; ok {
		return canonical
	}
	if kind, name, ok := strings.Cut(text, ":"); ok {
		if canonical, ok := spelledNames[name]; ok {
			return kind + ":" + canonical
		}
	}
	return text
}

// caller is a principal with a credential.
type caller struct {
	as         string        // the caller's name in rules, such as user:ann, or "anonymous"
	entry      directoryName // the entry whose DN is the name; nil if the name is not a DN
	groups     []string
	spelled    []string // the same groups in other spellings; nil if there is only one spelling
	claims     map[string]any
	login, key string
	known      bool // a source can find the caller's groups and claims without a credential
}

func (c *caller) subjects() []string {
	if c.as == "anonymous" {
		return []string{"anyone", "anonymous"}
	}
	subjects := []string{"anyone", "signed-in", c.as}
	for _, g := range c.groups {
		subjects = append(subjects, "group:"+g)
	}
	return subjects
}

// anySpelling returns the caller's groups, in their second spelling if there is one.
func (c *caller) anySpelling() []string {
	if c.spelled != nil {
		return c.spelled
	}
	return c.groups
}

// userPlaceholder returns the value of ${user}, or "" if the caller has no ${user}.
func (c *caller) userPlaceholder() string {
	name, _ := strings.CutPrefix(c.as, "user:")
	if name == c.as {
		return ""
	}
	return name
}

// tokenRequest is a request for a token.
type tokenRequest struct {
	*caller
	registry, client string
	ip               netip.Addr // the zero Addr if it is unknown
	names            []string
}

var actions = []string{"pull", "push", "delete"}

// modelRule is a rule of the model.
type modelRule struct {
	name       string
	deny       bool
	stored     bool // in the database
	subjects   []string
	registries []string
	patterns   []string
	actions    []string
	when       *modelCondition
}

// modelCondition is a condition. It has the text of the condition and a function that evaluates
// the condition.
type modelCondition struct {
	text string
	of   func(q *tokenRequest) (bool, error)
}

var errUnequal = errors.New("the condition cannot be evaluated")

// areEqual reports whether two values are equal. Lists, null, and values of different types cannot
// be compared.
func areEqual(a, b any) (bool, error) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return a == b, nil
		}
	case bool:
		if b, ok := b.(bool); ok {
			return a == b, nil
		}
	case number:
		if b, ok := b.(number); ok {
			return a.text == b.text, nil
		}
	}
	return false, errUnequal
}

// listContains reports whether an item of the list is equal to the value. If no item is equal, and
// some item cannot be compared with the value, listContains returns an error.
func listContains(a any, list []any) (bool, error) {
	var failed error
	for _, b := range list {
		same, err := areEqual(a, b)
		if same {
			return true, nil
		}
		failed = errors.Join(failed, err)
	}
	return false, failed
}

func (r *modelRule) holds(q *tokenRequest) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	return r.when.of(q)
}

// takesEffect reports whether a rule that matches the request takes effect. A deny rule also takes
// effect if its condition fails.
func (r *modelRule) takesEffect(q *tokenRequest) bool {
	holds, err := r.holds(q)
	return r.deny && (holds || err != nil) || !r.deny && holds && err == nil
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return canonicalSubject(s) == canonicalSubject(other) })
	})
}

func (r *modelRule) matchesRequest(q *tokenRequest, name string) bool {
	return intersect(r.subjects, q.subjects()) && (len(r.registries) == 0 || slices.Contains(r.registries, q.registry)) &&
		slices.ContainsFunc(r.patterns, func(p string) bool { return matchesPattern(strings.Split(p, "/"), strings.Split(name, "/"), q.caller) })
}

// matchesPattern reports whether a pattern matches a name.
func matchesPattern(pattern, name []string, who *caller) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	claim, isClaim := strings.CutPrefix(pattern[0], "${claims.")
	switch {
	case pattern[0] == "**":
		for n := range len(name) + 1 {
			if (n > 0 || len(pattern) > 1) && matchesPattern(pattern[1:], name[n:], who) {
				return true
			}
		}
		return false
	case isClaim:
		for _, text := range pathTexts(who.claims[strings.TrimSuffix(claim, "}")]) {
			parts := strings.Split(text, "/")
			if text != "" && len(parts) <= len(name) && slices.Equal(parts, name[:len(parts)]) && matchesPattern(pattern[1:], name[len(parts):], who) {
				return true
			}
		}
		return false
	case len(name) == 0:
		return false
	case pattern[0] == "${user}":
		return who.userPlaceholder() == name[0] && matchesPattern(pattern[1:], name[1:], who)
	}
	return (pattern[0] == "*" || pattern[0] == name[0]) && matchesPattern(pattern[1:], name[1:], who)
}

// grantedActions returns, for each name, the actions that the rules grant.
func grantedActions(rules []modelRule, q *tokenRequest) map[string][]string {
	granted := map[string][]string{}
	for _, name := range q.names {
		granted[name] = []string{}
		for _, action := range actions {
			allowed, denied := false, false
			for i := range rules {
				if r := &rules[i]; slices.Contains(r.actions, action) && r.matchesRequest(q, name) && r.takesEffect(q) {
					allowed, denied = allowed || !r.deny, denied || r.deny
				}
			}
			if allowed && !denied {
				granted[name] = append(granted[name], action)
			}
		}
	}
	return granted
}

// Generators.

func drawOne[T any](t *rapid.T, label string, of ...T) T { return rapid.SampledFrom(of).Draw(t, label) }

var claimNames = []string{"level", "flag", "team", "list"}

func drawScalar(t *rapid.T) any {
	if rapid.Bool().Draw(t, "is a number") {
		return rapid.SampledFrom(numbers).Draw(t, "number")
	}
	return drawOne[any](t, "value", "2", "3", "a", "true", "a/b", "A*", true, false, "")
}

func drawClaims(t *rapid.T) map[string]any {
	claims := map[string]any{}
	for _, name := range claimNames {
		switch drawOne(t, name, "is a value", "is a value", "is a list", "is null", "is missing") {
		case "is a value":
			claims[name] = drawScalar(t)
		case "is a list":
			claims[name] = rapid.SliceOfN(rapid.Custom(drawScalar), 1, 3).Draw(t, "items")
		case "is null":
			claims[name] = nil
		}
	}
	return claims
}

// drawAttributes draws claims of a user in a directory, and the lines of the user's entry. All
// values of these claims are text.
func drawAttributes(t *rapid.T) (claims map[string]any, lines []string) {
	claims = map[string]any{}
	for _, name := range claimNames {
		values := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"2", "3", "a", "true", "a/b", "A*"}), 0, 3, rapid.ID).Draw(t, name)
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
		slices.Sort(values)
		switch len(values) {
		case 0:
		case 1:
			claims[name] = values[0]
		default:
			list := []any{}
			for _, v := range values {
				list = append(list, v)
			}
			claims[name] = list
		}
	}
	return claims, lines
}

func drawGroups(t *rapid.T) []string {
	groups := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"dev", "Dev", "dev ops", "d*v", "dév", "${user}"}), 0, 3, rapid.ID).Draw(t, "groups")
	slices.Sort(groups)
	return groups
}

// drawCondition draws a condition.
func drawCondition(t *rapid.T, depth int, callers []*caller) *modelCondition {
	switch kind := drawOne(t, "condition", "claim", "claim", "claim", "claim", "joined", "address", "group", "time", "registry", "client", "user"); {
	case kind == "joined" && depth > 0:
		a, b := drawCondition(t, depth-1, callers), drawCondition(t, depth-1, callers)
		switch drawOne(t, "joined by", "&&", "||", "!") {
		case "&&":
			return &modelCondition{"(" + a.text + ") && (" + b.text + ")", func(q *tokenRequest) (bool, error) { return evaluateAnd(a, b, q) }}
		case "||":
			return &modelCondition{"(" + a.text + ") || (" + b.text + ")", func(q *tokenRequest) (bool, error) {
				no, err := evaluateAnd(not(a), not(b), q)
				return !no && err == nil, err
			}}
		}
		return &modelCondition{"!(" + a.text + ")", not(a).of}
	case kind == "address":
		net := drawOne(t, "network", "10.0.0.0/8", "2001:db8::/32")
		return &modelCondition{fmt.Sprintf("cidr(%q).containsIP(request.ip)", net), func(q *tokenRequest) (bool, error) {
			if !q.ip.IsValid() {
				return false, errUnequal
			}
			return netip.MustParsePrefix(net).Contains(q.ip), nil
		}}
	case kind == "group":
		if end := drawOne(t, "end", "", "", ",ou=groups,dc=corp", ",dc=corp"); end != "" {
			return &modelCondition{fmt.Sprintf("groups.exists(g, g.endsWith(%q))", end), func(q *tokenRequest) (bool, error) {
				return slices.ContainsFunc(q.groups, func(g string) bool { return strings.HasSuffix(g, end) }), nil
			}}
		}
		g := drawOne(t, "group", "dev", "Dev", "d*v", rapid.SampledFrom(directoryGroups).Draw(t, "entry").spell(t))
		text := drawOne(t, "asked by", "%q in groups", "groups.exists(g, g == %q)", `groups.exists(g, g in ["x", %q])`)
		return &modelCondition{fmt.Sprintf(text, g), func(q *tokenRequest) (bool, error) { return intersect(q.groups, []string{g}), nil }}
	case kind == "time":
		return drawOne(t, "time", &modelCondition{`now >= timestamp("2020-01-01T00:00:00Z")`, always(true)}, &modelCondition{`now < timestamp("2020-01-01T00:00:00Z")`, always(false)})
	case kind == "registry":
		return &modelCondition{`registry == "one"`, func(q *tokenRequest) (bool, error) { return q.registry == "one", nil }}
	case kind == "client":
		return &modelCondition{`client.startsWith("docker/")`, func(q *tokenRequest) (bool, error) { return strings.HasPrefix(q.client, "docker/"), nil }}
	case kind == "user":
		name := "ann"
		for _, c := range callers {
			if c.entry != nil && rapid.Bool().Draw(t, "of an entry") {
				name = c.entry.spell(t)
			}
		}
		return &modelCondition{fmt.Sprintf("user == %q", name), func(q *tokenRequest) (bool, error) {
			return canonicalSubject(q.userPlaceholder()) == canonicalSubject(name), nil
		}}
	}
	return drawClaimCondition(t)
}

func always(holds bool) func(*tokenRequest) (bool, error) {
	return func(*tokenRequest) (bool, error) { return holds, nil }
}

func not(a *modelCondition) *modelCondition {
	return &modelCondition{"", func(q *tokenRequest) (bool, error) {
		holds, err := a.of(q)
		return !holds && err == nil, err
	}}
}

// evaluateAnd evaluates "a and b". If one condition is false, the result is false, even if the
// other condition fails.
func evaluateAnd(a, b *modelCondition, q *tokenRequest) (bool, error) {
	x, xErr := a.of(q)
	y, yErr := b.of(q)
	if xErr == nil && !x || yErr == nil && !y {
		return false, nil
	}
	return xErr == nil && yErr == nil, errors.Join(xErr, yErr)
}

func drawClaimCondition(t *rapid.T) *modelCondition {
	name := rapid.SampledFrom(claimNames).Draw(t, "claim")
	literal, other := drawScalar(t), drawScalar(t)
	read := func(q *tokenRequest) (any, error) {
		if v := q.claims[name]; v != nil {
			return v, nil
		}
		return nil, errUnequal
	}
	claim := "claims." + name
	switch drawOne(t, "test", "==", "==", "!=", "in", "contains", "<", "has") {
	case "==":
		return &modelCondition{claim + " == " + jsonOf(literal), func(q *tokenRequest) (bool, error) {
			v, err := read(q)
			if err != nil {
				return false, err
			}
			return areEqual(v, literal)
		}}
	case "!=":
		return &modelCondition{jsonOf(literal) + " != " + claim, func(q *tokenRequest) (bool, error) {
			v, err := read(q)
			if err != nil {
				return false, err
			}
			same, err := areEqual(v, literal)
			return !same && err == nil, err
		}}
	case "in":
		return &modelCondition{claim + " in [" + jsonOf(literal) + ", " + jsonOf(other) + "]", func(q *tokenRequest) (bool, error) {
			v, err := read(q)
			if err != nil {
				return false, err
			}
			return listContains(v, []any{literal, other})
		}}
	case "contains":
		return &modelCondition{jsonOf(literal) + " in " + claim, func(q *tokenRequest) (bool, error) {
			v, err := read(q)
			if list, ok := v.([]any); ok && err == nil {
				return listContains(literal, list)
			}
			return false, errUnequal
		}}
	case "<":
		return &modelCondition{claim + " < 2.25", func(q *tokenRequest) (bool, error) {
			v, err := read(q)
			n, ok := v.(number)
			if err != nil || !ok {
				return false, errUnequal
			}
			f, err := strconv.ParseFloat(n.text, 64)
			return f < 2.25, err
		}}
	}
	return &modelCondition{"has(" + claim + ")", func(q *tokenRequest) (bool, error) { return q.claims[name] != nil, nil }}
}

func drawRule(t *rapid.T, n int, callers []*caller) modelRule {
	subjects := []string{"anyone", "signed-in", "group:dev", "group:Dev", "group:dev ops", "group:dév", "group:ops", "anonymous"}
	for _, c := range callers {
		if c.as != "anonymous" {
			subjects = append(subjects, c.as)
		}
		if c.entry != nil {
			subjects = append(subjects, "user:"+c.entry.spell(t))
		}
	}
	for _, g := range directoryGroups {
		subjects = append(subjects, "group:"+g.spell(t))
	}
	r := modelRule{
		name: fmt.Sprint("rule ", n), deny: rapid.IntRange(0, 2).Draw(t, "deny") == 0, stored: rapid.IntRange(0, 3).Draw(t, "stored") == 0,
		subjects: rapid.SliceOfNDistinct(rapid.SampledFrom(subjects), 1, 3, rapid.ID).Draw(t, "subjects"),
		patterns: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"**", "**", "prod/**", "e/${claims.level}", "e/${claims.list}", "${claims.team}/**", "*/${claims.flag}", "team/*", "e/*", "${user}/**", "a/b",
		}), 1, 2, rapid.ID).Draw(t, "patterns"),
		actions: rapid.SliceOfNDistinct(rapid.SampledFrom(actions), 1, 3, rapid.ID).Draw(t, "actions"),
	}
	if rapid.IntRange(0, 3).Draw(t, "at") == 0 {
		r.registries = []string{drawOne(t, "registry", "one", "two")}
	}
	if rapid.IntRange(0, 2).Draw(t, "conditional") > 0 {
		r.when = drawCondition(t, 2, callers)
	}
	// A rule may have patterns with placeholders only if one of its subjects can be a user with
	// claims. If a rule has no such subject, its patterns with placeholders are removed.
	if !slices.ContainsFunc(r.subjects, func(s string) bool { return s == "anyone" || s == "signed-in" || strings.HasPrefix(s, "group:") }) {
		r.patterns = slices.DeleteFunc(r.patterns, func(p string) bool { return strings.Contains(p, "${") })
		if len(r.patterns) == 0 {
			r.patterns = []string{"prod/**"}
		}
	}
	return r
}
