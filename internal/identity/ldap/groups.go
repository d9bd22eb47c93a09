package ldap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// Bounds of groups. Beyond them somebody is not let in with some of his groups, since those that are
// left out could be what a deny is for: it is an error.
const (
	maxGroups = 1000 // of one person
	maxDepth  = 32   // of groups in groups
	atOnce    = 50   // groups that one search asks about
)

// none says whether there are no groups.
func (g *Groups) none() bool { return !g.MemberOf && g.Base == "" }

// group is one that somebody is in.
type group struct{ dn, name string }

// groups returns the names of u's groups, sorted, each once.
func (d *Directory) groups(c *conn, u *user) ([]string, error) {
	g := &d.o.Groups
	if g.none() {
		return nil, nil
	}
	found, err := d.directGroups(c, u)
	if err != nil {
		return nil, err
	}
	if g.Nested == Walk {
		if found, err = d.walk(c, found); err != nil {
			return nil, err
		}
	}
	names := make([]string, 0, len(found))
	for _, one := range found {
		if utf8.ValidString(one.name) && one.name != "" {
			names = append(names, one.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (d *Directory) directGroups(c *conn, u *user) ([]group, error) {
	g := &d.o.Groups
	if g.MemberOf {
		return d.named(c, u.entry)
	}
	filter := g.Filter
	if g.Nested == Chain {
		filter = inChain(filter)
	}
	return d.searchGroups(c, fill(filter, u.entry.DN, u.name))
}

// walk adds the groups that groups are in, level by level, until there are no new ones: so a circle ends.
func (d *Directory) walk(c *conn, level []group) ([]group, error) {
	found, seen := []group(nil), make(map[string]bool)
	for range maxDepth {
		var fresh []group
		for _, one := range level {
			if at := canonicalDN(one.dn); !seen[at] {
				seen[at] = true
				fresh = append(fresh, one)
			}
		}
		found = append(found, fresh...)
		if len(found) > maxGroups {
			return nil, fmt.Errorf("%w: more than %d groups", errTooMany, maxGroups)
		}
		if len(fresh) == 0 {
			return found, nil
		}
		var err error
		if level, err = d.above(c, fresh); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: groups in groups more than %d deep", errTooMany, maxDepth)
}

// above returns the groups that some groups are in.
func (d *Directory) above(c *conn, groups []group) ([]group, error) {
	var found []group
	if d.o.Groups.MemberOf {
		for _, one := range groups {
			e, err := d.read(c, one.dn, "memberOf")
			if err != nil {
				return nil, err
			}
			more, err := d.named(c, e)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		return found, nil
	}
	for some := range slices.Chunk(groups, atOnce) {
		var asked strings.Builder
		for _, one := range some {
			asked.WriteString(fill(d.o.Groups.Filter, one.dn, one.name))
		}
		more, err := d.searchGroups(c, "(|"+asked.String()+")")
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// searchGroups returns the groups that a filter finds.
func (d *Directory) searchGroups(c *conn, filter string) ([]group, error) {
	g := &d.o.Groups
	entries, err := c.search(&ldap.SearchRequest{
		BaseDN: g.Base, Scope: ldap.ScopeWholeSubtree, SizeLimit: maxGroups,
		Filter: filter, Attributes: []string{g.wanted()},
	})
	if err != nil {
		return nil, err
	}
	found := make([]group, 0, len(entries))
	for _, e := range entries {
		found = append(found, group{e.DN, g.nameOf(e)})
	}
	return found, nil
}

// named returns the groups that an entry names, those below the base if there is one. A name that is
// part of the DN needs no search.
func (d *Directory) named(c *conn, e *ldap.Entry) ([]group, error) {
	g := &d.o.Groups
	dns, err := memberOf(e)
	if err != nil {
		return nil, err
	}
	if len(dns) > maxGroups {
		return nil, fmt.Errorf("%w: more than %d groups", errTooMany, maxGroups)
	}
	found := make([]group, 0, len(dns))
	for _, dn := range dns {
		if g.Base != "" && !below(g.Base, dn) {
			continue
		}
		name := dn
		if g.NameAttribute != "dn" {
			name = valueInDN(dn, g.NameAttribute)
		}
		if name == "" {
			e, err := d.read(c, dn, g.NameAttribute)
			if err != nil {
				return nil, err
			}
			name = g.nameOf(e)
		}
		found = append(found, group{dn, name})
	}
	return found, nil
}

// read returns one attribute of an entry; an entry that is not there, or not shown, has none.
func (d *Directory) read(c *conn, dn, attribute string) (*ldap.Entry, error) {
	entries, err := c.search(&ldap.SearchRequest{
		BaseDN: dn, Scope: ldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{attribute},
	})
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject) || err == nil && len(entries) == 0:
		return &ldap.Entry{DN: dn}, nil
	case err != nil:
		return nil, err
	}
	return entries[0], nil
}

// wanted is the attribute to ask for: "1.1" is none.
func (g *Groups) wanted() string {
	if g.NameAttribute == "dn" {
		return "1.1"
	}
	return g.NameAttribute
}

// nameOf returns the name of a group: of several, the one in its DN.
func (g *Groups) nameOf(e *ldap.Entry) string {
	if g.NameAttribute == "dn" {
		return e.DN
	}
	names := e.GetEqualFoldAttributeValues(g.NameAttribute)
	if len(names) == 1 {
		return names[0]
	}
	if own := valueInDN(e.DN, g.NameAttribute); slices.Contains(names, own) {
		return own
	}
	return ""
}

// memberOf returns the groups that an entry names. Active Directory cuts long lists, and calls what is left
// "memberOf;range=0-1499": that is beyond our bounds, too.
func memberOf(e *ldap.Entry) ([]string, error) {
	for _, a := range e.Attributes {
		if len(a.Name) > len("memberOf;") && strings.EqualFold(a.Name[:len("memberOf;")], "memberOf;") {
			return nil, fmt.Errorf("%w: the list of groups is cut (%s)", errTooMany, a.Name)
		}
	}
	return e.GetEqualFoldAttributeValues("memberOf"), nil
}

// below says whether dn is below base.
func below(base, dn string) bool {
	a, err := ldap.ParseDN(base)
	b, err2 := ldap.ParseDN(dn)
	return err == nil && err2 == nil && a.AncestorOfFold(b)
}

// canonicalDN is the same for every way to write one DN.
func canonicalDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return dn
	}
	return strings.ToLower(parsed.String())
}

// fill puts a member into a filter, in one pass: a name that reads "{dn}" is a name.
func fill(filter, dn, name string) string {
	return strings.NewReplacer("{dn}", ldap.EscapeFilter(dn), "{name}", ldap.EscapeFilter(name)).Replace(filter)
}

// direct is the part of a filter that asks for a member.
var direct = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)=\{dn\}\)`)

// inChain lets the directory follow groups in groups: by Active Directory's rule
// LDAP_MATCHING_RULE_IN_CHAIN.
func inChain(filter string) string {
	return direct.ReplaceAllString(filter, "(${1}:1.2.840.113556.1.4.1941:={dn})")
}
