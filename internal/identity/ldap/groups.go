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

// If some of the user's groups were missing at a sign-in, deny rules for these groups would not
// apply. So if groups are possibly missing, the sign-in is refused with identity.IncompleteError.
// Groups are possibly missing if there are more groups than these limits, or if the directory
// truncates the list. They are also possibly missing if a group is on another server, is hidden
// from the service account, or has no name.
const (
	maxGroups = 1000 // of one user
	maxDepth  = 32   // levels of groups in groups
	atOnce    = 50   // groups in the filter of one search
)

// isUnset reports whether no groups are configured, so that users have no groups.
func (g *Groups) isUnset() bool { return !g.MemberOf && len(g.Bases) == 0 }

// filterAttributes returns the names of the user attributes in the filter, such as uidNumber for
// {attribute:uidNumber}.
func (g *Groups) filterAttributes() (names []string) {
	for _, found := range memberPlaceholder.FindAllStringSubmatch(g.Filter, -1) {
		if strings.HasPrefix(found[0], "{attribute:") && !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}

// group is a group of a user.
type group struct{ dn, name string }

// groupNames returns the names of u's groups, sorted and without duplicates.
func (d *Directory) groupNames(c *conn, u *user) ([]string, error) {
	g := &d.o.Groups
	if g.isUnset() {
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

// memberFilter returns the filter for a user's groups. If an attribute has several values, the
// filter finds the groups of each value. A user without the attribute is refused. The reason is
// that the service account possibly has no permission to see the attribute, and groups would then
// be missing.
func (g *Groups) memberFilter(u *user) (string, error) {
	members := []map[string]string{{"{dn}": u.entry.DN, "{name}": u.spelled}}
	for _, attribute := range g.filterAttributes() {
		values := u.entry.GetEqualFoldRawAttributeValues(attribute)
		switch {
		case isCut(u.entry, attribute):
			return "", identity.Incomplete("the directory cut the values of %s, which groups.filter uses", attribute)
		case len(values) == 0 || slices.ContainsFunc(values, func(v []byte) bool { return len(v) == 0 }):
			return "", identity.Incomplete("the entry has no %s, which groups.filter uses, or the service account may not see it", attribute)
		case len(members)*len(values) > atOnce:
			return "", identity.Incomplete("the entry has %d values of %s, too many for groups.filter", len(values), attribute)
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

// walk returns the groups of the given level and all their parent groups. It adds parents level
// by level until a level has no new groups. So it ends even if groups contain each other in a
// cycle.
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
	return nil, identity.Incomplete("groups are nested more than %d levels deep", maxDepth)
}

var errManyGroups = identity.Incomplete("there are more than %d groups", maxGroups)

// parentGroups returns the groups that contain at least one of the given groups.
func (d *Directory) parentGroups(c *conn, groups []group) ([]group, error) {
	var found []group
	if d.o.Groups.MemberOf {
		entries, err := d.readGroups(c, groups, "memberOf")
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
			// Replace all placeholders by the DN of the group, even {name} and {attribute:NAME},
			// which are for users. If {name} were replaced by the name of the group, a group
			// called bob would get the groups of the user bob. A DN is neither the name of a user
			// nor an attribute of a user, so the search does not find groups of a user.
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

// searchGroups returns the groups that match the given filter, without duplicates.
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
			return nil, identity.Incomplete("the directory does not show %s, which is one of its naming contexts: allow the service account to read it, or set groups.base to where the groups are", base)
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
			if at := canonicalDN(e.DN); !seen[at] { // bases may overlap
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

// maxParts is the maximum number of parts into which one search is split. Each part has about
// half as many entries as the size limit of the directory.
const maxParts = 64

// searchParts searches groups. A directory can stop at its own size limit. In OpenLDAP, paging
// does not avoid this limit. If the directory stops, the search is split at the middle entryUUID
// of the entries that were found, and each part is searched.
func (d *Directory) searchParts(c *conn, base, filter string) (searchResult, error) {
	attributes := []string{entryUUID}
	// If "1.1" is requested, it must be the only attribute.
	if wanted := d.o.Groups.requestedAttribute(); wanted != "1.1" {
		attributes = append(attributes, wanted)
	}
	search := func(bounds string) (searchResult, error) {
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
	stops := identity.Incomplete("the directory stops at its own size limit after %d groups", len(whole.entries))
	var all searchResult
	parts := 0
	var divide func(some searchResult, from, to string) error
	divide = func(some searchResult, from, to string) error {
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
			part, err := search(rangeFilter(ends[0], ends[1]))
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
		return searchResult{}, err
	}
	// If a directory cannot order entryUUID, it finds nothing and reports no error.
	seen := make(map[string]bool, len(all.entries))
	for _, e := range all.entries {
		seen[canonicalDN(e.DN)] = true
	}
	for _, e := range whole.entries {
		if !seen[canonicalDN(e.DN)] {
			return searchResult{}, stops
		}
	}
	// If the entryUUID of an entry is hidden, the entry is in no part, and can also be missing in
	// the result of the first search. A search that excludes the known groups finds such an entry.
	var others strings.Builder
	for _, e := range all.entries {
		name, err := d.o.Groups.nameOf(e)
		if err != nil {
			return searchResult{}, err
		}
		attribute := d.o.Groups.NameAttribute
		if attribute == "dn" {
			attribute, name = byDN[0], e.DN
		}
		others.WriteString("(!(" + attribute + "=" + ldap.EscapeFilter(name) + "))")
	}
	rest, err := search(others.String())
	if err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded) {
		return searchResult{}, err
	}
	if len(rest.entries) > 0 {
		return searchResult{}, identity.Incomplete("the directory stops at its own size limit and does not show the entryUUID of %s, which is needed to find the other groups", rest.entries[0].DN)
	}
	return all, nil
}

// entryUUID is unique (RFC 4530), and OpenLDAP can order it.
const entryUUID = "entryUUID"

// rangeFilter returns a filter for entries with from <= entryUUID < to. The text "" means no
// bound.
func rangeFilter(from, to string) (filter string) {
	if from != "" {
		filter = "(" + entryUUID + ">=" + ldap.EscapeFilter(from) + ")"
	}
	if to != "" {
		filter += "(!(" + entryUUID + ">=" + ldap.EscapeFilter(to) + "))"
	}
	return filter
}

// isPartitionWithoutGroups reports whether a referral leads to a part of Active Directory that
// has no groups. Every search from the top of a domain returns such referrals.
func isPartitionWithoutGroups(to string) bool {
	u, err := url.Parse(to)
	if err != nil {
		return false
	}
	at, err := dn.Parse(strings.TrimPrefix(u.Path, "/"))
	return err == nil && isInfrastructurePartition(at)
}

// isInfrastructurePartition reports whether a part of Active Directory has neither users nor
// groups.
func isInfrastructurePartition(at dn.DN) bool {
	domain, name := strings.ToLower(at.Value("dc")), strings.ToLower(at.Value("cn"))
	return domain == "domaindnszones" || domain == "forestdnszones" || name == "configuration" || name == "schema"
}

// groupsFromMemberOf returns the groups in memberOf, without the groups outside of groups.base.
// If the name of a group is in its DN, no search is needed.
func (d *Directory) groupsFromMemberOf(c *conn, e *ldap.Entry) ([]group, error) {
	g := &d.o.Groups
	if isCut(e, "memberOf") {
		return nil, identity.Incomplete("the directory cut the list of groups (memberOf)")
	}
	dns := e.GetEqualFoldAttributeValues("memberOf")
	if len(dns) > maxGroups {
		return nil, errManyGroups
	}
	bases := make([]dn.DN, len(g.Bases))
	for i, base := range g.Bases {
		var err error
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
	entries, err := d.readGroups(c, nameless, g.NameAttribute)
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

// readGroups reads one attribute of each of the given groups. It returns the entries in the order
// of the given groups. It first reads many groups in one search. Some directories cannot find
// entries by DN in a search, so readGroups then reads the missing groups one by one.
func (d *Directory) readGroups(c *conn, groups []group, attribute string) ([]*ldap.Entry, error) {
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
		alone, err := c.readEntry(one.dn, attribute)
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

// byDN are the attributes that find entries by their DN: entryDN in OpenLDAP and 389,
// distinguishedName in Active Directory. distinguishedName is second, because in OpenLDAP a
// filter with distinguishedName matches every attribute that has the DN as its value. So such a
// filter also finds other entries.
var byDN = [...]string{"entryDN", "distinguishedName"}

// readTogether reads groups in one search and adds their entries to the map. The keys of the map
// are canonical DNs.
func (d *Directory) readTogether(c *conn, groups []group, attribute string, found map[string]*ldap.Entry) error {
	if len(groups) < 2 {
		return nil
	}
	asked := make(map[string]bool, len(groups))
	var top dn.DN
	for i, one := range groups {
		at, err := dn.Parse(one.dn)
		if err != nil {
			return nil // readGroups then reads each group alone
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
		by := (int(d.byDN.Load()) + try) % len(byDN) // begin with the attribute that worked before
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

// requestedAttribute returns the attribute to request. "1.1" means no attribute.
func (g *Groups) requestedAttribute() string {
	if g.NameAttribute == "dn" {
		return "1.1"
	}
	return g.NameAttribute
}

// nameOf returns the name of a group. If the group has no name, any deny rule could be for this
// group, so the error is an IncompleteError.
func (g *Groups) nameOf(e *ldap.Entry) (string, error) {
	if g.NameAttribute == "dn" {
		return dn.Canonical(e.DN), nil
	}
	names := e.GetEqualFoldAttributeValues(g.NameAttribute)
	at := preferredIndex(e, g.NameAttribute, names)
	if at < 0 || names[at] == "" {
		return "", identity.Incomplete("the group %s has %d values of %s, and none of them is in its DN", e.DN, len(names), g.NameAttribute)
	}
	return names[at], nil
}

// isCut reports whether an entry has only a part of a long attribute. Active Directory renames
// such an attribute, as in member;range=0-1499. The complete list of values is longer than
// maxGroups. If memberOf has any option, isCut returns true, because groups could be missing.
func isCut(e *ldap.Entry, attribute string) bool {
	return slices.ContainsFunc(e.Attributes, func(a *ldap.EntryAttribute) bool {
		before, options, _ := strings.Cut(a.Name, ";")
		return strings.EqualFold(before, attribute) &&
			(strings.HasPrefix(strings.ToLower(options), "range=") || options != "" && attribute == "memberOf")
	})
}

// canonicalDN returns the same text for all spellings of a DN.
func canonicalDN(text string) string {
	at, err := dn.Parse(text)
	if err != nil {
		return text
	}
	return at.String()
}

// fill replaces each placeholder of a filter by its value. It replaces all placeholders in one
// pass, so a name that contains "{dn}" is not changed.
func fill(filter string, valueOf func(placeholder string) string) string {
	return memberPlaceholder.ReplaceAllStringFunc(filter, func(p string) string { return ldap.EscapeFilter(valueOf(p)) })
}

// memberCondition matches a condition on the member's DN in a filter, such as (member={dn}).
var memberCondition = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)=\{dn\}\)`)

// inChain adds Active Directory's rule LDAP_MATCHING_RULE_IN_CHAIN to each condition on {dn}.
// The filter then also finds groups that contain the member through other groups.
func inChain(filter string) string {
	return memberCondition.ReplaceAllString(filter, "(${1}:1.2.840.113556.1.4.1941:={dn})")
}
