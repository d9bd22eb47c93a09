package policy

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// This file checks rules. Because of a typing error, a rule can cover less than its author meant.
// This is dangerous for a deny rule, and confusing for an allow rule. So a rule that can never
// match is an error, and an empty field never means everything.

// maxRuleName is the maximum length of a rule's name in bytes. Names appear in responses and
// logs.
const maxRuleName = 200

const everyAction = scope.Repository | scope.All | scope.Read | scope.Write

func (c *compiler) checkRoles() {
	for _, name := range slices.Sorted(maps.Keys(c.roles)) {
		switch actions := c.roles[name].Actions; {
		case name == "" || !text.Printable(name):
			c.problem(InRoles, name, "the role needs a name of visible characters")
		case actions == 0:
			c.problem(InRoles, name, "the role has no actions")
		case actions&^everyAction != 0:
			c.problem(InRoles, name, "the role has an unknown action")
		}
		if lifetime := c.roles[name].Lifetime; lifetime < 0 {
			c.problem(InRoles, name, "the lifetime %s is negative", lifetime)
		}
	}
}

func (c *compiler) checkName(i int) {
	name := c.policy.rules[i].Name
	switch {
	case name == "":
		c.problem(i, "name", "the rule has no name; decisions refer to rules by name")
		return
	case len(name) > maxRuleName:
		c.problem(i, "name", "the name %.40q… has %d bytes, the limit is %d", name, len(name), maxRuleName)
		return
	case strings.TrimSpace(name) != name || !text.Printable(name):
		c.problem(i, "name", "the name %q has an invisible character", name)
		return
	}
	if first := c.names.firstWith(c.policy.rules, i); first != i {
		where := fmt.Sprintf("rule %d", first+1)
		if origin := c.policy.rules[first].Origin; origin.File != "" {
			where = "the rule at " + origin.String()
		}
		c.problem(i, "name", "the name %q is already used by %s", name, where)
	}
}

// names is the set of rule names seen so far. It is a hash table whose size is a power of two.
// At least half of the slots are free. The value of a free slot is 0. The value of any other slot
// is 1 + an index into the rules.
type names []int32

func newNames(rules int) names {
	size := 8
	for size < 2*rules {
		size *= 2
	}
	return make(names, size)
}

// firstWith returns the index of the first rule that has the same name as rules[i]. If no
// earlier rule has this name, it adds the name to the set and returns i.
func (n names) firstWith(rules []Rule, i int) int {
	for at := maphash.String(seed, rules[i].Name); ; at++ {
		slot := &n[at&uint64(len(n)-1)]
		if *slot == 0 {
			*slot = int32(i + 1)
			return i
		}
		if first := int(*slot - 1); rules[first].Name == rules[i].Name {
			return first
		}
	}
}

// checkType checks and returns the resource type of a rule.
func (c *compiler) checkType(i int) string {
	kind := c.policy.rules[i].Type
	switch kind {
	case "", scope.TypeRepository:
		return scope.TypeRepository
	case scope.TypeRegistry, scope.TypeTidewaiter:
		return kind
	}
	if meant := text.Nearest(kind, []string{scope.TypeRepository, scope.TypeRegistry, scope.TypeTidewaiter}); meant != "" {
		c.problemAt(i, "type", -1, match.Errorf("%q is not a resource type", kind).Suggest(meant))
		return meant // check the rest of the rule with this type
	}
	if strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		c.problem(i, "type", "%q cannot be a resource type: it must consist of lower-case letters and digits", kind)
	}
	return kind
}

// actionsOf returns the actions that resources of the type have.
func actionsOf(kind string) scope.Actions {
	switch kind {
	case scope.TypeRepository:
		return scope.Repository
	case scope.TypeRegistry:
		return scope.All
	case scope.TypeTidewaiter:
		return scope.Read | scope.Write
	}
	return scope.Repository | scope.All
}

// actions returns the actions of rule i: the rule's own actions, and the actions of its role, as
// far as the resource type has them. An own action that the type does not have is an error.
func (c *compiler) actions(i int, kind string) scope.Actions {
	source := &c.policy.rules[i]
	possible := actionsOf(kind)
	if extra := source.Actions &^ possible; extra&everyAction != 0 {
		bad := match.Errorf("the type %s has no action %s, it has %s", kind, extra, possible)
		switch kind {
		case scope.TypeRepository:
			likely := map[scope.Actions]scope.Actions{scope.All: possible, scope.Read: scope.Pull, scope.Write: scope.Push}
			bad.Suggestion = likely[extra].String()
		case scope.TypeRegistry:
			bad.Suggestion = "*"
		}
		c.problemAt(i, "actions", -1, bad)
	} else if extra != 0 {
		c.problem(i, "actions", "there is an unknown action")
	}
	if source.Role == "" {
		if source.Actions == 0 {
			c.problem(i, "actions", "the rule has neither a role nor actions")
		}
		return source.Actions & possible
	}
	named, known := c.roles[source.Role]
	role := named.Actions
	switch {
	case !known:
		c.problemAt(i, "role", -1, c.noRole(source.Role))
	case role != 0 && role&possible == 0:
		c.problem(i, "role", "the role %q has %s, but the type %s only has %s", source.Role, role, kind, possible)
	}
	return (role | source.Actions) & possible
}

// noRole describes an unknown role. It suggests a role with a similar name. If no role has a
// similar name and there are at most 8 roles, it lists all roles.
func (c *compiler) noRole(name string) *match.SyntaxError {
	bad := match.Errorf("there is no role %q", name).Suggest(c.nearestRole(name))
	switch n := len(c.roles); {
	case bad.Suggestion != "" || n == 0 || n > 8:
	case n == 1:
		bad.Text += "; there is " + slices.Collect(maps.Keys(c.roles))[0]
	default:
		bad.Text += "; there are " + strings.Join(slices.Sorted(maps.Keys(c.roles)), ", ")
	}
	return bad
}

// nearestRole returns the role whose name is most similar to an unknown name, or "". It caches
// its results, because one role may be misspelled in thousands of rules.
func (c *compiler) nearestRole(name string) string {
	meant, seen := c.suggested[name]
	if !seen {
		if len(c.suggested) < 100 {
			meant = text.Nearest(name, slices.Collect(maps.Keys(c.roles)))
		}
		c.suggested[name] = meant
	}
	return meant
}

// checkPattern returns an error if no name of a resource of this type can match the pattern.
func checkPattern(kind, text string, parsed match.Pattern) *match.SyntaxError {
	switch kind {
	case scope.TypeRepository:
		return checkRepository(text, parsed)
	case scope.TypeRegistry:
		if text != "catalog" {
			return match.Errorf("the only name of the type registry is catalog, not %q", text).Suggest("catalog")
		}
		return nil
	}
	for _, p := range parsed {
		switch {
		case p.Kind != match.Literal && kind != scope.TypeTidewaiter:
			return match.Errorf("names of the type %s are compared exactly, so %q cannot be a pattern", kind, text)
		case p.Kind != match.Literal && p.Kind != match.Glob:
		case strings.ContainsFunc(p.Text, notInOther):
			return match.Errorf("the name %q has a character that no name of the type %s has", text, kind)
		case p.Text == "." || p.Text == "..":
			return match.Errorf("the name %q has the part %q, which no name has", text, p.Text)
		}
	}
	return nil
}

// notInOther reports whether the character is forbidden in names of types other than repository,
// and in globs for such names. Names and globs consist of ASCII letters, digits and the
// characters ._-:@+, and globs can also contain *.
func notInOther(r rune) bool {
	lower := r | 0x20
	return !('a' <= lower && lower <= 'z' && r < 0x80 || '0' <= r && r <= '9' || strings.ContainsRune("._-:@+*", r))
}

// checkRepository returns an error if no name of a repository can match the pattern.
func checkRepository(text string, parsed match.Pattern) *match.SyntaxError {
	for i, p := range parsed {
		if p.Kind != match.Literal && p.Kind != match.Glob {
			continue
		}
		word := p.Text
		if i == 0 && p.Kind == match.Literal && len(parsed) > 1 && match.ValidHost(word) {
			continue
		}
		for _, r := range word {
			switch {
			case 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-':
			case r == '*' && p.Kind == match.Glob:
			// This is the colon between a host and its port, as in registry.example.com:*/app.
			case r == ':' && i == 0 && len(parsed) > 1 && p.Kind == match.Glob:
			case 'A' <= r && r <= 'Z':
				return match.Errorf("the pattern %q has the upper-case letter %q, which no repository's name has", text, r).Suggest(lowerCase(parsed))
			case r == '?' || r == '[' || r == ']' || r == '{' || r == '}' || r == '^' || r == '$' || r == '|' || r == '(' || r == ')' || r == '+' || r == '\\':
				return match.Errorf("the pattern %q has %q, which has no meaning in a pattern; there are *, **, ${user}, ${group} and ${claims.NAME}", text, r)
			default:
				return match.Errorf("the pattern %q has %q, which no repository's name has", text, r)
			}
		}
		// A glob can match a part only if the glob becomes a valid part when a letter replaces
		// each *.
		if !strings.Contains(word, ":") && !match.ValidPart(strings.ReplaceAll(word, "*", "a")) {
			return match.Errorf("in the pattern %q, no repository's name has a part like %q: a part has letters and digits, with single separators between them", text, word)
		}
	}
	return nil
}

// lowerCase returns the pattern's text with all parts except placeholders in lower case.
func lowerCase(parsed match.Pattern) string {
	words := make([]string, len(parsed))
	for i, p := range parsed {
		words[i] = p.String()
		if p.Kind == match.Literal || p.Kind == match.Glob {
			words[i] = strings.ToLower(p.Text)
		}
	}
	return strings.Join(words, "/")
}

// checkPlaceholders checks that at least one subject of the rule can have values for the
// pattern's placeholders.
func (r *rule) checkPlaceholders(text string, parsed match.Pattern) *match.SyntaxError {
	for _, p := range parsed {
		for _, s := range r.subjects {
			if (p.Kind == match.ClaimPlaceholder || p.Kind == match.GroupPlaceholder) && s.Kind == match.Anonymous || p.Kind == match.UserPlaceholder && (s.Kind == match.Anonymous || s.Kind == match.Robot || s.Kind == match.Workload) {
				continue
			}
			p.Kind = match.Literal // this subject can have a value
		}
		if len(r.subjects) == 0 {
			continue
		}
		switch p.Kind {
		case match.UserPlaceholder:
			return match.Errorf("the pattern %q can never match: ${user} is a user's name, and the rule is not for users", text)
		case match.ClaimPlaceholder:
			return match.Errorf("the pattern %q can never match: anonymous requests have no claims", text)
		case match.GroupPlaceholder:
			return match.Errorf("the pattern %q can never match: anonymous requests have no groups", text)
		}
	}
	return nil
}

// Check returns the errors of the limit as Problems. Decide does not need this check, because a
// limit with an error only permits less.
func (l Limit) Check() error {
	c := compiler{policy: &Policy{rules: []Rule{{Type: l.Type, Actions: l.Actions}}}}
	kind := c.checkType(0)
	c.actions(0, kind)
	if len(l.Names) == 0 {
		c.problem(0, "names", "the limit has no names; for everything write **")
	}
	for k, text := range l.Names {
		parsed, bad := match.Parse(nil, text)
		if bad == nil {
			bad = checkPattern(kind, text, parsed)
		}
		if bad != nil {
			c.problemAt(0, "names", k, bad)
		}
	}
	if len(c.problems) == 0 {
		return nil
	}
	for i := range c.problems {
		c.problems[i].Rule = InLimit
	}
	return c.problems
}
