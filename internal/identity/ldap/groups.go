package ldap

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// Nobody is let in with some of his groups, since those that are left out could be what a deny is for.
// Whatever may be missing is an identity.IncompleteError: beyond these bounds, cut by the directory, on another
// server, not shown to the service account, or without a name.
const (
	maxGroups = 1000 // of one person
	maxDepth  = 32   // of groups in groups
	atOnce    = 50   // groups that one search asks about
)

// none says whether there are no groups.
func (g *Groups) none() bool { return !g.MemberOf && len(g.Bases) == 0 }

// attributes are those of a member that the filter asks for.
func (g *Groups) attributes() (names []string) {
	for _, found := range memberPlaceholder.FindAllStringSubmatch(g.Filter, -1) {
		if strings.HasPrefix(found[0], "{attribute:") && !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}

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
		if !utf8.ValidString(one.name) {
			return nil, identity.Incomplete("the name of the group %s is not UTF-8", one.dn)
		}
		names = append(names, one.name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (d *Directory) directGroups(c *conn, u *user) ([]group, error) {
	g := &d.o.Groups
	if g.MemberOf {
		return d.groupsFromMemberOf(c, u.entry)
	}
	filter, err := g.memberFilter(u)
	if err != nil {
		return nil, err
	}
	return d.searchGroups(c, filter)
}

// memberFilter returns the filter for somebody's groups. Where an attribute has several values, it
// asks for the groups of each. Somebody without the attribute is refused: the service account may
// not see it, and groups would be missing.
func (g *Groups) memberFilter(u *user) (string, error) {
	members := []map[string]string{{"{dn}": u.entry.DN, "{name}": u.spelled}}
	for _, attribute := range g.attributes() {
		values := u.entry.GetEqualFoldRawAttributeValues(attribute)
		switch {
		case slices.ContainsFunc(u.entry.Attributes, func(a *ldap.EntryAttribute) bool { return isCut(a.Name, attribute) }):
			return "", identity.Incomplete("the list of values of %s, by which groups are found, is cut", attribute)
		case len(values) == 0 || slices.ContainsFunc(values, func(v []byte) bool { return len(v) == 0 }):
			return "", identity.Incomplete("the entry has no %s, by which groups are found, or the service account may not see it", attribute)
		case len(members)*len(values) > atOnce:
			return "", identity.Incomplete("the entry has %d values of %s, by which groups are found", len(values), attribute)
		}
		var more []map[string]string
		for _, m := range members {
			for _, v := range values {
				m = maps.Clone(m)
				m["{attribute:"+attribute+"}"] = string(v)
				more = append(more, m)
			}
		}
		members = more
	}
	filter := g.Filter
	if g.Nested == Chain {
		filter = inChain(filter)
	}
	var all strings.Builder
	for _, m := range members {
		all.WriteString(fill(filter, func(placeholder string) string { return m[placeholder] }))
	}
	if len(members) > 1 {
		return "(|" + all.String() + ")", nil
	}
	return all.String(), nil
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
			return nil, errManyGroups
		}
		if len(fresh) == 0 {
			return found, nil
		}
		var err error
		if level, err = d.parentGroups(c, fresh); err != nil {
			return nil, err
		}
	}
	return nil, identity.Incomplete("groups in groups are more than %d deep", maxDepth)
}

var errManyGroups = identity.Incomplete("there are more than %d groups", maxGroups)

// parentGroups returns the groups that some groups are in.
func (d *Directory) parentGroups(c *conn, groups []group) ([]group, error) {
	var found []group
	if d.o.Groups.MemberOf {
		entries, err := d.read(c, groups, "memberOf")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			more, err := d.groupsFromMemberOf(c, e)
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
			// The others are for people: a group called bob must not be in the groups of bob. No
			// person's name is a DN.
			asked.WriteString(fill(d.o.Groups.Filter, func(string) string { return one.dn }))
		}
		more, err := d.searchGroups(c, "(|"+asked.String()+")")
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// searchGroups returns the groups that a filter finds, each once.
func (d *Directory) searchGroups(c *conn, filter string) ([]group, error) {
	g := &d.o.Groups
	bases, err := c.searchBases(g.Bases)
	if err != nil {
		return nil, err
	}
	var groups []group
	seen := make(map[string]bool)
	for _, base := range bases {
		all, err := d.searchParts(c, base, filter)
		switch {
		case errors.Is(err, errTooMany):
			return nil, errManyGroups
		case isWhole(g.Bases) && ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights):
			return nil, identity.Incomplete("the directory does not show %s, which is one of its naming contexts: let the service account see it, or write in groups.base where groups are", base)
		case err != nil:
			return nil, err
		}
		for _, to := range all.references {
			if !isPartitionWithoutGroups(to) {
				return nil, identity.Incomplete("a part of %s is on another server (%.200s), and referrals are not followed", base, to)
			}
		}
		for _, e := range all.entries {
			name, err := g.nameOf(e)
			if err != nil {
				return nil, err
			}
			if at := canonicalDN(e.DN); !seen[at] { // one base may be below another
				seen[at] = true
				groups = append(groups, group{e.DN, name})
			}
		}
	}
	if len(groups) > maxGroups {
		return nil, errManyGroups
	}
	return groups, nil
}

// maxParts bounds into how many parts a search is divided: each has about half of what a directory sends at once.
const maxParts = 64

// searchParts searches groups. Where the directory stops at a limit of its own, which pages do not get around in OpenLDAP, the
// search is divided by the entryUUID in the middle of what was found, and each part is searched.
func (d *Directory) searchParts(c *conn, base, filter string) (found, error) {
	attributes := []string{entryUUID}
	if wanted := d.o.Groups.requestedAttribute(); wanted != "1.1" { // which stands alone
		attributes = append(attributes, wanted)
	}
	search := func(bounds string) (found, error) {
		if bounds != "" {
			bounds = "(&" + filter + bounds + ")"
		} else {
			bounds = filter
		}
		return c.searchAll(&ldap.SearchRequest{BaseDN: base, Scope: ldap.ScopeWholeSubtree, Filter: bounds, Attributes: attributes}, maxGroups)
	}
	whole, err := search("")
	if !ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded) {
		return whole, err
	}
	stops := identity.Incomplete("the directory stops at a size limit of its own, after %d groups", len(whole.entries))
	var all found
	parts := 0
	var divide func(some found, from, to string) error
	divide = func(some found, from, to string) error {
		ids := make([]string, 0, len(some.entries))
		for _, e := range some.entries {
			if id := e.GetEqualFoldAttributeValue(entryUUID); id != "" {
				ids = append(ids, id)
			}
		}
		if parts += 2; len(ids) < 2 || parts > maxParts {
			return stops
		}
		slices.Sort(ids)
		middle := ids[len(ids)/2]
		for _, ends := range [][2]string{{from, middle}, {middle, to}} {
			part, err := search(between(ends[0], ends[1]))
			if ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded) {
				err = divide(part, ends[0], ends[1])
			} else if err == nil {
				all.entries, all.references = append(all.entries, part.entries...), append(all.references, part.references...)
			}
			if err == nil && len(all.entries) > maxGroups {
				err = errTooMany
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := divide(whole, "", ""); err != nil {
		return found{}, err
	}
	// A directory that cannot compare entryUUID finds nothing, and says so without an error.
	seen := make(map[string]bool, len(all.entries))
	for _, e := range all.entries {
		seen[canonicalDN(e.DN)] = true
	}
	for _, e := range whole.entries {
		if !seen[canonicalDN(e.DN)] {
			return found{}, stops
		}
	}
	// An entry whose entryUUID nobody here may see is in no part, and may be none of the first. It
	// is found by its name.
	var others strings.Builder
	for _, e := range all.entries {
		name, err := d.o.Groups.nameOf(e)
		if err != nil {
			return found{}, err
		}
		attribute := d.o.Groups.NameAttribute
		if attribute == "dn" {
			attribute, name = byDN[0], e.DN
		}
		others.WriteString("(!(" + attribute + "=" + ldap.EscapeFilter(name) + "))")
	}
	rest, err := search(others.String())
	if err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded) {
		return found{}, err
	}
	if len(rest.entries) > 0 {
		return found{}, identity.Incomplete("the directory stops at a size limit of its own, and does not show the entryUUID of %s, by which the others are found", rest.entries[0].DN)
	}
	return all, nil
}

// entryUUID is ordered in OpenLDAP, and every entry has another (RFC 4530).
const entryUUID = "entryUUID"

// between is a filter for entries whose entryUUID is from one on, and below another; "": no bound.
func between(from, to string) (filter string) {
	if from != "" {
		filter = "(" + entryUUID + ">=" + ldap.EscapeFilter(from) + ")"
	}
	if to != "" {
		filter += "(!(" + entryUUID + ">=" + ldap.EscapeFilter(to) + "))"
	}
	return filter
}

// isPartitionWithoutGroups says whether a referral leads to a part of Active Directory that has no groups: each search from a
// domain's top has these.
func isPartitionWithoutGroups(to string) bool {
	u, err := url.Parse(to)
	if err != nil {
		return false
	}
	at, err := dn.Parse(strings.TrimPrefix(u.Path, "/"))
	return err == nil && isInfrastructurePartition(at)
}

// isInfrastructurePartition says whether a part of Active Directory has neither people nor groups.
func isInfrastructurePartition(at dn.DN) bool {
	domain, name := strings.ToLower(at.Value("dc")), strings.ToLower(at.Value("cn"))
	return domain == "domaindnszones" || domain == "forestdnszones" || name == "configuration" || name == "schema"
}

// groupsFromMemberOf returns the groups that an entry names, those below a base if there are any. A name that
// is part of the DN needs no search.
func (d *Directory) groupsFromMemberOf(c *conn, e *ldap.Entry) ([]group, error) {
	g := &d.o.Groups
	dns, err := memberOf(e)
	if err != nil {
		return nil, err
	}
	if len(dns) > maxGroups {
		return nil, errManyGroups
	}
	bases := make([]dn.DN, len(g.Bases))
	for i, base := range g.Bases {
		if bases[i], err = dn.Parse(base); err != nil {
			return nil, fmt.Errorf("reading groups.base: %w", err)
		}
	}
	var known, nameless []group
	for _, text := range dns {
		at, err := dn.Parse(text)
		if err != nil {
			return nil, identity.Incomplete("the DN of the group %q cannot be read: %s", text, err)
		}
		if len(bases) > 0 && !slices.ContainsFunc(bases, at.Below) {
			continue
		}
		one := group{text, at.Value(g.NameAttribute)}
		if g.NameAttribute == "dn" {
			one.name = dn.Canonical(text)
		}
		if one.name == "" {
			nameless = append(nameless, one)
		} else {
			known = append(known, one)
		}
	}
	if len(nameless) == 0 {
		return known, nil
	}
	entries, err := d.read(c, nameless, g.NameAttribute)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if nameless[i].name, err = g.nameOf(e); err != nil {
			return nil, err
		}
	}
	return append(known, nameless...), nil
}

// read returns the entries of groups, in the same order, each with one attribute. Many are read by one search; whether a directory
// finds entries by their DN is not certain, so that those that are not found are read one by one.
func (d *Directory) read(c *conn, groups []group, attribute string) ([]*ldap.Entry, error) {
	entries := make([]*ldap.Entry, len(groups))
	found := make(map[string]*ldap.Entry, len(groups))
	for some := range slices.Chunk(groups, atOnce) {
		if err := d.readTogether(c, some, attribute, found); err != nil {
			return nil, err
		}
	}
	for i, one := range groups {
		if entries[i] = found[canonicalDN(one.dn)]; entries[i] != nil {
			continue
		}
		alone, err := c.search(&ldap.SearchRequest{
			BaseDN: one.dn, Scope: ldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{attribute},
		})
		switch {
		case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultReferral) || err == nil && len(alone) == 0:
			return nil, identity.Incomplete("the directory does not show the group %s", one.dn)
		case err != nil:
			return nil, err
		}
		entries[i] = alone[0]
	}
	return entries, nil
}

// The attributes by which directories find entries by their DN: the first OpenLDAP and 389, the other Active Directory. In
// OpenLDAP distinguishedName stands for all attributes that hold DNs, so that it finds others, too, and comes last.
var byDN = [...]string{"entryDN", "distinguishedName"}

// readTogether adds entries of groups that one search finds to found, by DN.
func (d *Directory) readTogether(c *conn, groups []group, attribute string, found map[string]*ldap.Entry) error {
	if len(groups) < 2 {
		return nil
	}
	asked := make(map[string]bool, len(groups))
	var top dn.DN
	for i, one := range groups {
		at, err := dn.Parse(one.dn)
		if err != nil {
			return nil // it is read alone, if at all
		}
		if i == 0 {
			top = at
		}
		top = top.Common(at)
		asked[at.String()] = true
	}
	if top.Len() == 0 {
		return nil
	}
	for try := range len(byDN) {
		by := (int(d.byDN.Load()) + try) % len(byDN) // what was good the last time is tried first
		var filter strings.Builder
		for _, one := range groups {
			filter.WriteString("(" + byDN[by] + "=" + ldap.EscapeFilter(one.dn) + ")")
		}
		all, err := c.searchAll(&ldap.SearchRequest{
			BaseDN: top.String(), Scope: ldap.ScopeWholeSubtree, Filter: "(|" + filter.String() + ")", Attributes: []string{attribute},
		}, maxGroups)
		if err != nil && (!isAnswer(err) || errors.Is(err, errTooMany)) {
			return err
		}
		some := false
		for _, e := range all.entries {
			if at := canonicalDN(e.DN); asked[at] {
				found[at], some = e, true
			}
		}
		if some {
			d.byDN.Store(int32(by))
			return nil
		}
	}
	return nil
}

// requestedAttribute is the attribute to ask for: "1.1" is none.
func (g *Groups) requestedAttribute() string {
	if g.NameAttribute == "dn" {
		return "1.1"
	}
	return g.NameAttribute
}

// nameOf returns the name of a group: of several, the one in its DN. A group without a name could be any: the error is an
// IncompleteError.
func (g *Groups) nameOf(e *ldap.Entry) (string, error) {
	if g.NameAttribute == "dn" {
		return dn.Canonical(e.DN), nil
	}
	names := e.GetEqualFoldAttributeValues(g.NameAttribute)
	at := 0
	if len(names) > 1 {
		own := valueInDN(e.DN, g.NameAttribute)
		at = slices.IndexFunc(names, func(name string) bool { return own != "" && dn.Equal(g.NameAttribute, name, own) })
	}
	if at < 0 || len(names) == 0 || names[at] == "" {
		return "", identity.Incomplete("the group %s has %d values of %s, of which none is its name", e.DN, len(names), g.NameAttribute)
	}
	return names[at], nil
}

// memberOf returns the groups that an entry names. Active Directory cuts long lists, and calls what is left
// "memberOf;range=0-1499": that is beyond our bounds, too.
func memberOf(e *ldap.Entry) ([]string, error) {
	for _, a := range e.Attributes {
		if len(a.Name) > len("memberOf;") && strings.EqualFold(a.Name[:len("memberOf;")], "memberOf;") {
			return nil, identity.Incomplete("the list of groups is cut (%s)", a.Name)
		}
	}
	return e.GetEqualFoldAttributeValues("memberOf"), nil
}

// isCut reports whether the name is that of a part of an attribute with many values.
func isCut(name, attribute string) bool {
	before, options, _ := strings.Cut(name, ";")
	return strings.EqualFold(before, attribute) && strings.HasPrefix(strings.ToLower(options), "range=")
}

// canonicalDN is the same for every way to write one DN.
func canonicalDN(text string) string {
	at, err := dn.Parse(text)
	if err != nil {
		return text
	}
	return at.String()
}

// fill puts a member into a filter, in one pass: a name that reads "{dn}" is a name.
func fill(filter string, value func(placeholder string) string) string {
	return memberPlaceholder.ReplaceAllStringFunc(filter, func(p string) string { return ldap.EscapeFilter(value(p)) })
}

// direct is the part of a filter that asks for a member.
var direct = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)=\{dn\}\)`)

// inChain lets the directory follow groups in groups: by Active Directory's rule
// LDAP_MATCHING_RULE_IN_CHAIN.
func inChain(filter string) string {
	return direct.ReplaceAllString(filter, "(${1}:1.2.840.113556.1.4.1941:={dn})")
}
