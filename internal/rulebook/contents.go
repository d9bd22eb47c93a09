package rulebook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// contents is what the database held at one moment.
type contents struct {
	counters // as they were

	written    []Rule // by name
	named      []Role // for all
	namespaces []*namespace

	roles      roles         // named, as policy knows them
	rules      []policy.Rule // written, as policy knows them
	namespaced []policy.Rule // of namespaces, by their names
}

// namespace is one with all that is in it.
type namespace struct {
	id, name   string
	visibility Visibility
	roles      []Role
	members    []Member // by subject
}

// compile turns what was read into roles and rules. An error means that another version of Tidewaiter wrote something that this
// one does not know: it cannot be left out, since it could be a deny. A condition that cannot be read is one that fails.
func (c *contents) compile(when func(string) (policy.Condition, error)) error {
	c.roles = make(roles, len(c.named))
	for i := range c.named {
		c.roles[c.named[i].Name] = c.named[i].compiled()
	}
	c.rules = make([]policy.Rule, len(c.written))
	for i := range c.written {
		r, err := stored(&c.written[i].Content, when)
		if err != nil {
			return fmt.Errorf("reading the rule %q of the database: %w", c.written[i].Name, err)
		}
		r.Origin.Database = true
		c.rules[i] = r
	}
	c.namespaced = make([]policy.Rule, 0, 3*len(c.namespaces))
	for _, n := range c.namespaces {
		if err := c.namespace(n); err != nil {
			return fmt.Errorf("reading the namespace %s: %w", n.name, err)
		}
	}
	return nil
}

// namespace adds the rules of a namespace.
func (c *contents) namespace(n *namespace) error {
	origin := policy.Origin{Namespace: n.name}
	names := []string{n.name + "/**"}
	switch n.visibility {
	case Private:
	case Internal, Public:
		subject := "signed-in"
		if n.visibility == Public {
			subject = "anyone"
		}
		c.namespaced = append(c.namespaced, policy.Rule{
			Name: "namespace " + n.name + ": " + string(n.visibility), Subjects: []string{subject}, Names: names, Actions: scope.Pull, Origin: origin,
		})
	default:
		return fmt.Errorf("its visibility %.40q is unknown", string(n.visibility))
	}
	// The members of each role. Few roles are used in a namespace.
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
		role, ok := n.role(name, c.named)
		if !ok {
			return fmt.Errorf("the role %q of a member is unknown", name)
		}
		c.namespaced = append(c.namespaced, policy.Rule{
			Name: "namespace " + n.name + ": " + name, Subjects: subjects[name], Names: names,
			Actions: role.Actions, Lifetime: role.Lifetime, Origin: origin,
		})
	}
	if owners := subjects[Owner]; len(owners) > 0 {
		c.namespaced = append(c.namespaced, policy.Rule{
			Name: "namespace " + n.name + ": its owners look after it", Subjects: owners, Type: scope.TypeTidewaiter,
			Names: []string{RightNamespace + n.name}, Actions: scope.Read | scope.Write, Origin: origin,
		})
	}
	return nil
}

// role finds the role of a member: one that every namespace has, one of its own, or one for all. What it gives is for repositories.
func (n *namespace) role(name string, forAll []Role) (Role, bool) {
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
