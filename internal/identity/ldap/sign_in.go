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

// authenticate asks the directory itself. The generation is "" where the entry is not seen as Find sees it.
func (d *Directory) authenticate(ctx context.Context, name, secret string, knownPlace bool) (who *policy.Principal, of string, err error) {
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
		if errors.Is(err, ratelimit.ErrLimited) { // nothing was sent, and a name that nobody has costs a bind
			if outage := d.dummyBind(ctx); outage != nil {
				return nil, "", outage
			}
		}
		return nil, "", err
	}
	u.bound = true
	who, err = d.admit(ctx, u)
	return who, generation(u.entry), err // of before the bind: a password that was changed meanwhile is another
}

// generationSeen is the generation of somebody's password as Find sees it, who reads as nobody and so may see less than
// he does himself; "" where Find sees nothing. It is kept with a password that is remembered: else what is exchanged for that
// would be bound to the password of then.
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
		return "" // then Find does not see it either, and nothing is exchanged
	}
	return of
}

// bindsFirst says whether there is nobody to look somebody up as, but himself.
func (d *Directory) bindsFirst() bool {
	return d.o.User.Bind != "" || d.o.User.DN != "" && d.o.BindDN == ""
}

// withoutDomain returns a name without the domain that may stand before it: CORP\ann is ann.
func (d *Directory) withoutDomain(name string) string {
	if n := len(d.o.User.Domain); n > 0 && len(name) > n && name[n] == '\\' && strings.EqualFold(name[:n], d.o.User.Domain) {
		return name[n+1:]
	}
	return name
}

// bindName is what somebody binds as who is not looked up before. It is "" for a name that would be
// another's in the template: OTHER\ann in CORP\{name}, or ann@other in {name}@corp.
func (d *Directory) bindName(name string) string {
	if d.o.User.Bind == "" {
		return d.dnOf(name)
	}
	if strings.ContainsAny(name, `\@/"`) {
		return ""
	}
	return strings.ReplaceAll(d.o.User.Bind, "{name}", name)
}

// checkBound is ErrRejected unless the directory says that who is bound is the entry that was found by his name. Else ann@corp could be
// one person to a bind, by userPrincipalName, and another to the filter, by sAMAccountName.
func (d *Directory) checkBound(c *conn, u *user) error {
	if d.o.User.Bind == "" {
		return nil // the template is the DN of both
	}
	answer, err := c.ldap.WhoAmI(nil)
	if err != nil {
		return fmt.Errorf("asking who is bound: %w", err)
	}
	if text, ok := strings.CutPrefix(answer.AuthzID, "dn:"); ok && canonicalDN(text) == canonicalDN(u.entry.DN) {
		return nil
	}
	why := "who bound is not the entry that has the name"
	if login, ok := strings.CutPrefix(answer.AuthzID, "u:"); ok {
		is, known := d.isLogin(u.entry, login)
		if is {
			return nil
		}
		if !known {
			why = "the directory says who bound as DOMAIN\\login, and it is not known of which domain the entry is: set user.domain"
		}
	}
	d.log.Warn("refused: "+why, "dn", u.entry.DN, "bound", fmt.Sprintf("%.200q", answer.AuthzID))
	return identity.Rejected(why)
}

// What Active Directory answers who is bound with: the domain, a backslash and loginAttribute.
// principalAttribute is both.
const (
	loginAttribute     = "sAMAccountName"
	principalAttribute = "msDS-PrincipalName"
)

// isLogin reports whether a login, as CORP\ann, is an entry's. The domain counts: in another one
// of the forest somebody else may be called ann. It is not known where neither the entry nor the
// settings tell the domain.
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

// bindDomain is the domain of a template like CORP\{name}; "" if it has none, or has its long
// name, which the directory does not call it by.
func (u *User) bindDomain() string {
	domain, _, ok := strings.Cut(u.Bind, `\`)
	if !ok || strings.Contains(domain, ".") {
		return ""
	}
	return domain
}

// refuse returns err, the answer of a search for somebody. If it is a refusal, it spends the bind that a
// wrong password would have needed.
func (d *Directory) refuse(ctx context.Context, err error) error {
	if !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
		return err
	}
	if outage := d.dummyBind(ctx); outage != nil {
		return outage
	}
	return err
}

// spend calls ask, which tries a password on a connection by bind, within the budget of the entry. The budget is claimed first:
// that may take a while, in which others need the connections.
//
// A bind that is sent again, since there was no answer, may have been counted by the directory, and so counts for itself.
// One that did not leave this process, as on a connection that had ended unnoticed, does not count.
func (d *Directory) spend(ctx context.Context, dn, secret string, knownPlace bool, searched time.Duration, ask func(bind func(*conn) error) error) error {
	within := d.o.Budget.Spend
	if d.bindsFirst() { // nobody has looked whether there is such an entry
		within = d.o.Budget.SpendUnproven
	}
	began := time.Now()
	return within(ctx, ratelimit.Fold(dn), knownPlace, func(more func() error) (ratelimit.Verdict, error) {
		claimed := time.Since(began)
		verdict := ratelimit.Unasked
		err := ask(func(c *conn) error {
			if verdict == ratelimit.Refused {
				if err := more(); err != nil {
					return err
				}
				verdict = ratelimit.Unasked
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

// SpendUnknown counts a password for a name that nobody has as Authenticate counts one for a name that
// this directory has: the same one again within a minute does not count, nor does it at the same moment. One that
// was refused for the budget is not remembered: it would be answered otherwise the next time.
func (d *Directory) SpendUnknown(ctx context.Context, c identity.Credentials) error {
	if d.o.Budget == nil {
		return nil
	}
	k := d.cache.key(c.Name, c.Secret.Reveal())
	_, err := d.unknownCalls.do(ctx, k, d.o.Timeout, func(ctx context.Context) (identity.Verified, error) {
		if d.cache.unknownCounted(k) {
			return identity.Verified{}, nil
		}
		err := d.o.Budget.Pretend(ctx, ratelimit.Fold(c.Name), c.KnownPlace)
		if err == nil {
			d.cache.storeUnknown(k)
		}
		return identity.Verified{}, err
	})
	return err
}

// bindFirst binds as whom the template names, and lets him read his own entry and groups.
func (d *Directory) bindFirst(ctx context.Context, name, secret string, knownPlace bool) (who *policy.Principal, err error) {
	read := func(c *conn, err error) error {
		if errors.Is(err, identity.ErrRejected) { // as long as somebody who is disabled takes to read his own entry
			if outage := c.searchNothing(); outage != nil {
				return outage
			}
		}
		if err != nil {
			return err
		}
		u, err := d.find(c, name)
		if errors.Is(err, identity.ErrUnknown) {
			return fmt.Errorf("reading %s as itself: %w", d.bindName(name), errUnreadable)
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

// errUnreadable means that somebody may bind, and not read his own entry.
var errUnreadable = errors.New("the directory does not show it: let people read their own entries, or set a service account")

// admit makes the principal of somebody who is known to be u.
func (d *Directory) admit(ctx context.Context, u *user) (who *policy.Principal, err error) {
	if d.o.Groups.none() {
		return d.principal(nil, u)
	}
	err = d.ask(ctx, reader, func(c *conn) (err error) {
		who, err = d.principal(c, u)
		return err
	})
	return who, err
}

// checkNotTaken is ErrRejected if a name belongs to another source: with a local alice, the directory's alice must not
// become her by typing ALICE, or her address.
func (d *Directory) checkNotTaken(ctx context.Context, name string) error {
	if d.o.Taken == nil {
		return nil
	}
	taken, err := d.o.Taken(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("looking whose name %q is: %w", name, err)
	case taken:
		d.log.Warn("refused: the name belongs to another source", "name", name)
		return identity.Rejected("the name belongs to another source")
	}
	return nil
}
