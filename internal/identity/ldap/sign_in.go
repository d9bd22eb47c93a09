package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// authenticate asks the directory. The password generation is "" if Find would not see the
// entry.
func (d *Directory) authenticate(ctx context.Context, name, secret string, knownPlace bool) (who *policy.Principal, passwordGeneration string, err error) {
	if d.bindsFirst() {
		if who, err = d.bindFirst(ctx, name, secret, knownPlace); err != nil {
			return nil, "", err
		}
		return who, d.generationSeen(ctx, name), nil
	}
	var u *user
	var searched time.Duration
	if err := d.ask(ctx, reader, func(c *conn) (err error) {
		began := time.Now()
		u, err = d.find(c, name)
		searched = time.Since(began)
		return err
	}); err != nil {
		return nil, "", d.refuse(ctx, err)
	}
	if err := d.spend(ctx, u.entry.DN, secret, knownPlace, searched, func(bind func(*conn) error) error {
		return d.ask(ctx, binder, bind)
	}); err != nil {
		// No password was sent. A refusal must take the same time for an unknown name and for an
		// attempt over the limit. For an unknown name, a bind follows, so a bind must follow
		// here, too.
		if errors.Is(err, ratelimit.ErrLimited) {
			if outage := d.dummyBind(ctx); outage != nil {
				return nil, "", outage
			}
		}
		return nil, "", err
	}
	u.bound = true
	who, err = d.admit(ctx, u)
	// The generation was read before the bind, so a later change of the password is noticed.
	return who, generation(u.entry), err
}

// generationSeen returns the generation of a user's password. If Find cannot see the generation,
// it returns "". Find searches anonymously, so it can see less than the user. The result is cached
// with the password. Otherwise a token that is issued for a cached password would be bound to a
// newer generation.
func (d *Directory) generationSeen(ctx context.Context, name string) (of string) {
	if d.o.User.Bind != "" {
		return ""
	}
	if err := d.ask(ctx, reader, func(c *conn) error {
		found, err := d.searchUsers(c, name)
		if err == nil && len(found) == 1 {
			of = generation(found[0].entry)
		}
		return err
	}); err != nil {
		return "" // Find also fails, so no token is issued
	}
	return of
}

// bindsFirst reports whether the bind comes before the search, because there is no account that
// can search.
func (d *Directory) bindsFirst() bool {
	return d.o.User.Bind != "" || d.o.User.DN != "" && d.o.BindDN == ""
}

// withoutDomain removes user.domain from the front of a name: CORP\ann becomes ann.
func (d *Directory) withoutDomain(name string) string {
	if n := len(d.o.User.Domain); n > 0 && len(name) > n && name[n] == '\\' && strings.EqualFold(name[:n], d.o.User.Domain) {
		return name[n+1:]
	}
	return name
}

// bindName returns the name with which a user binds if no search precedes the bind. It returns
// "" for names that would mean another user in the template: OTHER\ann in CORP\{name}, or
// ann@other in {name}@corp.
func (d *Directory) bindName(name string) string {
	if d.o.User.Bind == "" {
		return d.dnOf(name)
	}
	if strings.ContainsAny(name, `\@/"`) {
		return ""
	}
	return strings.ReplaceAll(d.o.User.Bind, "{name}", name)
}

// checkBound asks the directory which user is bound. If this user is not the entry u, it returns
// ErrRejected. The bind uses userPrincipalName, and the search uses sAMAccountName. So without
// this check, ann@corp could be one user for the bind, and another user for the search.
func (d *Directory) checkBound(c *conn, u *user) error {
	if d.o.User.Bind == "" {
		return nil // both use the same DN
	}
	answer, err := c.ldap.WhoAmI(nil)
	if err != nil {
		return fmt.Errorf("reading the bound identity: %w", err)
	}
	if text, ok := strings.CutPrefix(answer.AuthzID, "dn:"); ok && canonicalDN(text) == canonicalDN(u.entry.DN) {
		return nil
	}
	why := "the user who was bound is not the entry with that name"
	if login, ok := strings.CutPrefix(answer.AuthzID, "u:"); ok {
		is, known := d.isLogin(u.entry, login)
		if is {
			return nil
		}
		if !known {
			why = "the directory returns DOMAIN\\login, and the domain of the entry is unknown: set user.domain"
		}
	}
	d.log.Warn("refused: "+why, "dn", u.entry.DN, "bound", fmt.Sprintf("%.200q", answer.AuthzID))
	return identity.Rejected(why)
}

// loginAttribute and principalAttribute identify the bound user in Active Directory. Active
// Directory answers WhoAmI with the domain, a backslash and the value of loginAttribute. The
// value of principalAttribute is the whole answer, such as CORP\ann.
const (
	loginAttribute     = "sAMAccountName"
	principalAttribute = "msDS-PrincipalName"
)

// isLogin reports whether a login, such as CORP\ann, belongs to the entry. The domain must also
// match, because another domain of the forest can have a different ann. If the domain is neither
// in the entry nor in the settings, the second result is false.
func (d *Directory) isLogin(e *ldap.Entry, login string) (is, known bool) {
	if own := e.GetEqualFoldAttributeValue(principalAttribute); own != "" {
		return strings.EqualFold(login, own), true
	}
	domain := cmp.Or(d.o.User.Domain, d.o.User.bindDomain())
	name := e.GetEqualFoldAttributeValue(loginAttribute)
	if domain == "" || name == "" {
		return false, false
	}
	return strings.EqualFold(login, domain+`\`+name), true
}

// bindDomain returns the domain of a template such as CORP\{name}. It returns "" if the
// template has no domain. It also returns "" if the domain is a DNS name, because the directory
// does not use DNS names in WhoAmI answers.
func (u *User) bindDomain() string {
	domain, _, ok := strings.Cut(u.Bind, `\`)
	if !ok || strings.Contains(domain, ".") {
		return ""
	}
	return domain
}

// refuse returns err, the result of a search for a user. If err is a refusal, refuse first does
// the work of a bind, because a wrong password would have caused a bind.
func (d *Directory) refuse(ctx context.Context, err error) error {
	if !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
		return err
	}
	if outage := d.dummyBind(ctx); outage != nil {
		return outage
	}
	return err
}

// spend calls the function ask if the budget of the entry allows another attempt. The argument of
// ask is the function bind, with which ask checks a password. spend claims the attempt before a
// connection is used, because a claim can take a while.
//
// If there was no answer, the bind is sent again and counts again, because the directory possibly
// counted the first bind. If no byte of a bind was sent, for example on a closed connection, the
// bind does not count.
func (d *Directory) spend(ctx context.Context, dn, secret string, knownPlace bool, searched time.Duration, ask func(bind func(*conn) error) error) error {
	within := d.o.Budget.Spend
	if d.bindsFirst() { // it is unknown whether the entry exists
		within = d.o.Budget.SpendUnproven
	}
	began := time.Now()
	return within(ctx, ratelimit.Fold(dn), knownPlace, func(more func() error) (ratelimit.Verdict, error) {
		claimed := time.Since(began)
		verdict := ratelimit.NotSent
		err := ask(func(c *conn) error {
			if verdict == ratelimit.Refused {
				if err := more(); err != nil {
					return err
				}
				verdict = ratelimit.NotSent
			}
			began, sent := time.Now(), c.wire.sent.Load()
			err := c.bind(dn, secret)
			switch {
			case err == nil:
				verdict = ratelimit.Accepted
			case c.wire.sent.Load() != sent:
				verdict = ratelimit.Refused
			}
			if err == nil || errors.Is(err, identity.ErrRejected) {
				d.binds.Note(claimed + time.Since(began) - searched)
			}
			return err
		})
		return verdict, err
	})
}

// SpendUnknown counts a password for an unknown name in the same way as Authenticate counts a
// password for a known name. The same password does not count again within refusedFor, and
// concurrent attempts with the same password count as one attempt. A refusal by the budget is not
// cached, because the budget can allow the next attempt.
func (d *Directory) SpendUnknown(ctx context.Context, c identity.Presented) error {
	if d.o.Budget == nil {
		return nil
	}
	k := d.cache.key(spendUnknown, c)
	_, err := d.calls.Do(ctx, k, func(ctx context.Context) (none identity.Verified, err error) {
		if _, counted := d.cache.unknown.Get(k); counted {
			return none, nil
		}
		err = d.o.Budget.SpendUnknown(ctx, ratelimit.Fold(d.withoutDomain(c.Name)), c.KnownPlace)
		if err == nil {
			d.cache.unknown.Put(k, struct{}{}, refusedFor)
		}
		return none, err
	})
	return err
}

// bindFirst binds with the template, and then reads the entry and groups with the rights of the
// bound user.
func (d *Directory) bindFirst(ctx context.Context, name, secret string, knownPlace bool) (who *policy.Principal, err error) {
	read := func(c *conn, err error) error {
		// For a disabled user, the entry is read after the bind. With this search, the refusal of
		// a wrong password takes the same time.
		if errors.Is(err, identity.ErrRejected) {
			if outage := c.searchNothing(); outage != nil {
				return outage
			}
		}
		if err != nil {
			return err
		}
		u, err := d.find(c, name)
		if errors.Is(err, identity.ErrUnknown) {
			return fmt.Errorf("reading the own entry of %s: %w", d.bindName(name), errUnreadable)
		}
		if err == nil {
			err = d.checkBound(c, u)
		}
		if err != nil {
			return err
		}
		u.bound = true
		who, err = d.principal(c, u)
		return err
	}
	err = d.spend(ctx, d.bindName(name), secret, knownPlace, 0, func(bind func(*conn) error) error {
		return d.ask(ctx, binder, func(c *conn) error { return read(c, bind(c)) })
	})
	return who, err
}

// errUnreadable means that a user can bind but cannot read their own entry.
var errUnreadable = errors.New("the directory does not show it: allow users to read their own entries, or configure a service account")

// admit returns the principal of the authenticated user u.
func (d *Directory) admit(ctx context.Context, u *user) (who *policy.Principal, err error) {
	if d.o.Groups.isUnset() {
		return d.principal(nil, u)
	}
	err = d.ask(ctx, reader, func(c *conn) (err error) {
		who, err = d.principal(c, u)
		return err
	})
	return who, err
}

// checkNotTaken returns ErrRejected if name belongs to another source. For example, if there is a
// local user alice, the directory's alice must not get the same name by typing ALICE or an email
// address.
func (d *Directory) checkNotTaken(ctx context.Context, name string) error {
	if d.o.Taken == nil {
		return nil
	}
	taken, err := d.o.Taken(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("checking the owner of the name %q: %w", name, err)
	case taken:
		d.log.Warn("refused: the name belongs to another source", "name", name)
		return identity.Rejected("the name belongs to another source")
	}
	return nil
}
