package rulebook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// contents is the content of the database at one moment.
type contents struct {
	counters

	storedRules []Rule // sorted by name
	sharedRoles []Role // roles that belong to no namespace, sorted by name
	namespaces  []*namespace

	roles          roles         // by name, in the form that package policy uses
	rules          []policy.Rule // storedRules, in the form that package policy uses
	namespaceRules []policy.Rule // rules of namespaces, sorted by name
}

// namespace is a namespace with its roles and members.
type namespace struct {
	id, name   string
	visibility Visibility
	roles      []Role
	members    []Member // sorted by subject
}

// compile converts the rows into roles and rules. An error means that another version of
// Tidewaiter stored a row that this version cannot read. Such a row cannot be skipped, because it
// could be a deny rule. A rule whose condition cannot be compiled gets a condition that always
// fails.
func (c *contents) compile(when func(string) (policy.Condition, error)) error {
	c.roles = make(roles, len(c.sharedRoles))
	for i := range c.sharedRoles {
		c.roles[c.sharedRoles[i].Name] = c.sharedRoles[i].policyRole()
	}
	c.rules = make([]policy.Rule, len(c.storedRules))
	for i := range c.storedRules {
		r, err := policyRule(&c.storedRules[i].Content, when)
		if err != nil {
			return fmt.Errorf("reading the rule %q of the database: %w", c.storedRules[i].Name, err)
		}
		r.Origin.Database = true
		c.rules[i] = r
	}
	c.namespaceRules = make([]policy.Rule, 0, 3*len(c.namespaces))
	for _, n := range c.namespaces {
		if err := c.addNamespaceRules(n); err != nil {
			return fmt.Errorf("reading the namespace %s: %w", n.name, err)
		}
	}
	return nil
}

// addNamespaceRules adds the rules that result from the visibility and the members of a namespace.
func (c *contents) addNamespaceRules(n *namespace) error {
	origin := policy.Origin{Namespace: n.name}
	names := []string{n.name + "/**"}
	switch n.visibility {
	case Private:
	case Internal, Public:
		subject := "signed-in"
		if n.visibility == Public {
			subject = "anyone"
		}
		c.namespaceRules = append(c.namespaceRules, policy.Rule{
			Name: "namespace " + n.name + ": " + string(n.visibility), Subjects: []string{subject}, Names: names, Actions: scope.Pull, Origin: origin,
		})
	default:
		return fmt.Errorf("its visibility %.40q is unknown", string(n.visibility))
	}
	// Group the members by role. Namespaces use few roles.
	var used []string
	subjects := make(map[string][]string, 4)
	for _, m := range n.members {
		if subjects[m.Role] == nil {
			used = append(used, m.Role)
		}
		subjects[m.Role] = append(subjects[m.Role], m.Subject)
	}
	slices.Sort(used)
	for _, name := range used {
		role, ok := n.memberRole(name, c.sharedRoles)
		if !ok {
			return fmt.Errorf("the role %q of a member is unknown", name)
		}
		c.namespaceRules = append(c.namespaceRules, policy.Rule{
			Name: "namespace " + n.name + ": " + name, Subjects: subjects[name], Names: names,
			Actions: role.Actions, Lifetime: role.Lifetime, Origin: origin,
		})
	}
	if owners := subjects[Owner]; len(owners) > 0 {
		c.namespaceRules = append(c.namespaceRules, policy.Rule{
			Name: "namespace " + n.name + ": its owners manage it", Subjects: owners, Type: scope.TypeTidewaiter,
			Names: []string{admin.RightNamespace + n.name}, Actions: scope.Read | scope.Write, Origin: origin,
		})
	}
	return nil
}

// memberRole finds a member's role by its name. The role is a built-in role, a role of the
// namespace n, or a shared role from the list forAll. The result has only the role's actions on
// repositories. If there is no such role, or if the role has no actions on repositories,
// memberRole returns false.
func (n *namespace) memberRole(name string, forAll []Role) (Role, bool) {
	if actions := builtInRole(name); actions != 0 {
		return Role{Name: name, Actions: actions}, true
	}
	byName := func(r Role, name string) int { return strings.Compare(r.Name, name) }
	for _, list := range [][]Role{n.roles, forAll} {
		if i, ok := slices.BinarySearchFunc(list, name, byName); ok {
			r := list[i]
			r.Actions &= scope.Repository
			return r, r.Actions != 0
		}
	}
	return Role{}, false
}
