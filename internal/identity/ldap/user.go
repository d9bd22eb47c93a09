package ldap

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// user is an entry and the identity read from it.
type user struct {
	entry    *ldap.Entry
	name, id string
	// The name in the directory's spelling, for searches. If User.Lowercase is set, the field name
	// is in lower case.
	spelled string
	bound   bool // the directory has just accepted the password
}

// dnOf returns the DN template with the name filled in.
func (d *Directory) dnOf(name string) string {
	return strings.ReplaceAll(d.o.User.DN, "{name}", ldap.EscapeDN(name))
}

// find searches for a name. ErrUnknown means that no entry has the name. ErrRejected means that
// several entries have the name, or that the entry has no unambiguous name or id.
func (d *Directory) find(c *conn, name string) (*user, error) {
	found, err := d.searchUsers(c, name)
	switch {
	case d.o.User.DN != "" && ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax):
		return nil, identity.ErrUnknown
	case errors.Is(err, errTooMany) || err == nil && len(found) > 1:
		why := "more than one entry has the name"
		if len(found) > 1 && found[0].base != found[1].base {
			why = fmt.Sprintf("the name is found below two bases: %s and %s", found[0].base, found[1].base)
		}
		d.log.Warn("refused: "+why, "name", name)
		return nil, identity.Rejected(why)
	case err != nil:
		return nil, fmt.Errorf("searching users: %w", err)
	case len(found) == 0:
		return nil, identity.ErrUnknown
	}
	u := &user{entry: found[0].entry}
	if u.spelled, err = d.nameOf(u.entry); err == nil {
		u.id, err = d.idOf(u.entry)
	}
	if u.name = u.spelled; d.o.User.Lowercase {
		u.name = strings.ToLower(u.spelled)
	}
	if err != nil {
		d.log.Warn("refused: the entry has no unambiguous name or id", "dn", u.entry.DN, "error", err)
		return nil, identity.Rejected("the entry has no unambiguous name or id")
	}
	return u, nil
}

// match is an entry that was found by a name, with the base below which it was found.
type match struct {
	base  string
	entry *ldap.Entry
}

// searchUsers returns the entries with a name, each entry once. It always searches all bases.
// Otherwise the result would depend on the order of the bases, and a new entry below one base
// could take over the name of a user below another base.
func (d *Directory) searchUsers(c *conn, name string) ([]match, error) {
	o := &d.o.User
	request := ldap.SearchRequest{Scope: ldap.ScopeWholeSubtree, SizeLimit: 2, Attributes: d.userAttributes()}
	request.Filter = strings.ReplaceAll(o.Filter, "{name}", ldap.EscapeFilter(name))
	if o.Scope == One {
		request.Scope = ldap.ScopeSingleLevel
	}
	bases, err := c.searchBases(o.Bases)
	if err != nil {
		return nil, err
	}
	if o.DN != "" {
		bases, request.Scope, request.Filter = []string{d.dnOf(name)}, ldap.ScopeBaseObject, "(objectClass=*)"
	}
	var found []match
	for _, base := range bases {
		one := request
		one.BaseDN = base
		entries, err := c.search(&one)
		if isWhole(o.Bases) && ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject) {
			continue // an empty or hidden naming context
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			at := canonicalDN(e.DN) // bases may overlap
			if !slices.ContainsFunc(found, func(m match) bool { return m.base != base && canonicalDN(m.entry.DN) == at }) {
				found = append(found, match{base, e})
			}
		}
	}
	return found, nil
}

// userAttributes returns the attributes to read from the entries of users.
func (d *Directory) userAttributes() []string {
	o := &d.o.User
	list := slices.Concat([]string{o.NameAttribute}, statusAttributes, generationAttributes)
	if o.IDAttribute != "" {
		list = append(list, o.IDAttribute)
	} else {
		list = append(list, "entryUUID", "objectGUID")
	}
	if d.o.Groups.MemberOf {
		list = append(list, "memberOf")
	}
	if o.Bind != "" {
		list = append(list, loginAttribute, principalAttribute)
	}
	list = slices.AppendSeq(append(list, d.o.Groups.filterAttributes()...), maps.Keys(o.Attributes))
	slices.Sort(list)
	return slices.Compact(list) // some servers refuse duplicates
}

// nameOf returns the name of an entry.
func (d *Directory) nameOf(e *ldap.Entry) (string, error) {
	attribute := d.o.User.NameAttribute
	names := e.GetEqualFoldAttributeValues(attribute)
	at := preferredIndex(e, attribute, names)
	switch {
	case at < 0:
		return "", fmt.Errorf("it has %d values of %s", len(names), attribute)
	case !username.Valid(names[at]):
		return "", fmt.Errorf("its %s %q is not a valid name", attribute, names[at])
	}
	return names[at], nil
}

// idOf returns an id that does not change when the entry is renamed.
func (d *Directory) idOf(e *ldap.Entry) (string, error) {
	attribute := d.o.User.IDAttribute
	if attribute == "" {
		if id := e.GetEqualFoldAttributeValue("entryUUID"); id != "" {
			return id, nil
		}
		attribute = "objectGUID"
	}
	values := e.GetEqualFoldRawAttributeValues(attribute)
	switch {
	case len(values) == 0 && d.o.User.IDAttribute == "":
		return e.DN, nil
	case len(values) != 1 || len(values[0]) == 0:
		return "", fmt.Errorf("it has %d values of %s", len(values), attribute)
	case strings.EqualFold(attribute, "objectGUID") && len(values[0]) == 16:
		return guid(values[0]), nil
	case !utf8.Valid(values[0]):
		return fmt.Sprintf("%x", values[0]), nil
	}
	return string(values[0]), nil
}

// principal returns the principal of u with its current groups. It returns ErrRejected if the
// account is not usable. The connection c is used only for groups.
func (d *Directory) principal(c *conn, u *user) (*policy.Principal, error) {
	if why := disabledReason(u, d.now()); why != "" {
		d.log.Info("refused: the account is not usable", "dn", u.entry.DN, "reason", why)
		return nil, &identity.DisabledError{Why: why}
	}
	claims, err := d.readClaims(u.entry)
	if incomplete, ok := errors.AsType[*identity.IncompleteError](err); ok {
		d.log.Warn("refused: not all claims are known", "dn", u.entry.DN, "reason", incomplete.Reason)
		return nil, err
	}
	groups, err := d.groupNames(c, u)
	if incomplete, ok := errors.AsType[*identity.IncompleteError](err); ok {
		d.log.Warn("refused: not all groups are known", "dn", u.entry.DN, "reason", incomplete.Reason)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("searching groups of %s: %w", u.entry.DN, err)
	}
	who := policy.Principal{
		Kind: policy.User, Name: u.name, Source: d.source, ID: u.id, Groups: groups, Claims: claims,
	}
	return who.Indexed(), nil
}

// Bounds of a claim. Claims have maximum sizes because they are part of each decision and of
// its journal entry.
const (
	maxValues = 100
	maxValue  = 1 << 10 // bytes
)

// readClaims returns the claims from the configured attributes. A claim is a string, or a list if
// the attribute has several values. If a value is not text or is too long, the error is an
// IncompleteError. The reason is that without the claim, a deny rule that uses ${claims.x} or
// tests has(claims.x) would not apply, and users can edit some attributes themselves.
func (d *Directory) readClaims(e *ldap.Entry) (map[string]any, error) {
	var claims map[string]any
	incomplete := func(format string, args ...any) error {
		return &identity.IncompleteError{Claims: true, Reason: fmt.Sprintf(format, args...)}
	}
	for attribute, name := range d.o.User.Attributes {
		values := slices.Clone(e.GetEqualFoldAttributeValues(attribute))
		unusable := func(v string) bool {
			return len(v) > maxValue || !text.OneLine(v)
		}
		switch {
		case isCut(e, attribute):
			return nil, incomplete("the directory cut the values of %s", attribute)
		case len(values) > maxValues:
			return nil, incomplete("the attribute %s has %d values, and the limit is %d", attribute, len(values), maxValues)
		case slices.ContainsFunc(values, unusable):
			return nil, incomplete("the attribute %s has a value that is not a single line of text or is longer than %d bytes", attribute, maxValue)
		case len(values) == 0:
			continue
		}
		if claims == nil {
			claims = make(map[string]any, len(d.o.User.Attributes))
		}
		if len(values) == 1 {
			claims[name] = values[0]
		} else {
			slices.Sort(values) // the order of a directory is arbitrary
			claims[name], _ = policy.CanonicalClaim(values)
		}
	}
	return claims, nil
}

// preferredIndex returns the index of the only value of an attribute. If there are several values,
// it returns the index of the value in the DN, because the DN does not change when a value is
// added. If no value is in the DN, it returns -1.
func preferredIndex(e *ldap.Entry, attribute string, values []string) int {
	if len(values) == 1 {
		return 0
	}
	name, err := dn.Parse(e.DN)
	if err != nil {
		return -1
	}
	own := name.Value(attribute)
	return slices.IndexFunc(values, func(v string) bool { return own != "" && dn.Equal(attribute, v, own) })
}
