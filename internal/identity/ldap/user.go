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
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// user is an entry, and who it says that somebody is.
type user struct {
	entry    *ldap.Entry
	name, id string
	spelled  string // the name as the directory spells it: queries use this, whatever rules are told
	bound    bool   // the directory has accepted his password just now
}

// dnOf puts a name into the template.
func (d *Directory) dnOf(name string) string {
	return strings.ReplaceAll(d.o.User.DN, "{name}", ldap.EscapeDN(name))
}

// find looks a name up. It is ErrUnknown if there is no such entry, ErrRejected if there are several, or one
// that cannot be told from others.
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
		return nil, fmt.Errorf("searching people: %w", err)
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
		d.log.Warn("refused: an entry does not say who it is", "dn", u.entry.DN, "error", err)
		return nil, identity.Rejected("the entry does not say who it is")
	}
	return u, nil
}

// match is an entry that has a name, and the base below which it was found.
type match struct {
	base  string
	entry *ldap.Entry
}

// searchUsers returns the entries that have a name, each once. All bases are searched, also after one
// has an entry: else who is found would depend on their order, and who adds an entry below another
// base could become somebody else.
func (d *Directory) searchUsers(c *conn, name string) ([]match, error) {
	o := &d.o.User
	request := ldap.SearchRequest{Scope: ldap.ScopeWholeSubtree, SizeLimit: 2, Attributes: d.attributes()}
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
			continue // a naming context that is empty, or that nobody here may see
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			at := canonicalDN(e.DN) // one base may be below another
			if !slices.ContainsFunc(found, func(m match) bool { return m.base != base && canonicalDN(m.entry.DN) == at }) {
				found = append(found, match{base, e})
			}
		}
	}
	return found, nil
}

// attributes are those of people that are asked for.
func (d *Directory) attributes() []string {
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
	list = slices.AppendSeq(append(list, d.o.Groups.attributes()...), maps.Keys(o.Attributes))
	slices.Sort(list)
	return slices.Compact(list) // some servers refuse a list that says something twice
}

// nameOf returns the one name of an entry. Of several values, the one in its DN counts, since only that
// is a choice that nobody changes by adding another.
func (d *Directory) nameOf(e *ldap.Entry) (string, error) {
	attribute := d.o.User.NameAttribute
	names := e.GetEqualFoldAttributeValues(attribute)
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("it has no %s", attribute)
	case len(names) > 1:
		own := valueInDN(e.DN, attribute)
		at := slices.IndexFunc(names, func(name string) bool { return own != "" && dn.Equal(attribute, name, own) })
		if at < 0 {
			return "", fmt.Errorf("it has %d values of %s", len(names), attribute)
		}
		names[0] = names[at]
	}
	if !identity.ValidName(names[0]) {
		return "", fmt.Errorf("its %s %q is no name", attribute, names[0])
	}
	return names[0], nil
}

// idOf returns what an entry keeps for ever, whatever it is called.
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

// principal makes u's principal, with the groups of now. It is ErrRejected if the entry says that it is no
// longer good. The connection is needed for groups alone.
func (d *Directory) principal(c *conn, u *user) (*policy.Principal, error) {
	if why := disabled(u, d.now()); why != "" {
		d.log.Info("refused: the entry is not in use", "dn", u.entry.DN, "because", why)
		return nil, &identity.DisabledError{Why: why}
	}
	claims, err := d.claims(u.entry)
	if incomplete, ok := errors.AsType[*identity.IncompleteError](err); ok {
		d.log.Warn("refused: not all claims are known", "dn", u.entry.DN, "because", incomplete.Reason)
		return nil, err
	}
	groups, err := d.groups(c, u)
	if incomplete, ok := errors.AsType[*identity.IncompleteError](err); ok {
		d.log.Warn("refused: not all groups are known", "dn", u.entry.DN, "because", incomplete.Reason)
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

// Bounds of a claim: it travels with each decision, into the journal too.
const (
	maxValues = 100
	maxValue  = 1 << 10 // bytes
)

// claims are the attributes that were asked for: text, or a list where there are several values.
// One with a value that is no text, or beyond the bounds, is an IncompleteError. It must not be left out: a deny for ${claims.x},
// or that asks has(claims.x) first, would be skipped, and some attributes people write themselves.
func (d *Directory) claims(e *ldap.Entry) (map[string]any, error) {
	var claims map[string]any
	for attribute, name := range d.o.User.Attributes {
		values := slices.Clone(e.GetEqualFoldAttributeValues(attribute))
		unusable := func(v string) bool {
			return len(v) > maxValue || !text.OneLine(v)
		}
		switch {
		case slices.ContainsFunc(e.Attributes, func(a *ldap.EntryAttribute) bool { return isCut(a.Name, attribute) }):
			return nil, identity.IncompleteClaims("the list of values of %s is cut", attribute)
		case len(values) > maxValues:
			return nil, identity.IncompleteClaims("the attribute %s has %d values, and the limit is %d", attribute, len(values), maxValues)
		case slices.ContainsFunc(values, unusable):
			return nil, identity.IncompleteClaims("the attribute %s has a value that is no text of one line, or has more than %d bytes", attribute, maxValue)
		case len(values) == 0:
			continue
		}
		if claims == nil {
			claims = make(map[string]any, len(d.o.User.Attributes))
		}
		if len(values) == 1 {
			claims[name] = values[0]
		} else {
			slices.Sort(values) // a directory returns them in any order
			claims[name], _ = policy.CanonicalClaim(values)
		}
	}
	return claims, nil
}

// valueInDN returns the value of an attribute in the first part of a DN; "" if it is not there.
func valueInDN(text, attribute string) string {
	name, err := dn.Parse(text)
	if err != nil {
		return ""
	}
	return name.Value(attribute)
}
