package ldap

import (
	"context"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Refusals must not be told apart by the time they take: unknown, wrong, disabled and expired, tried for
// the first time and again, by somebody of this directory or of a source that is asked before it. So each costs
// the requests of a wrong password, on the same kinds of connections: a search, and a bind. Where a password
// must not be sent, a search for nothing takes the place of the bind, and a delay that of the directory's own hash.
//
// The requests are real, because a delay drawn from earlier ones would tell: of a connection that had to
// be opened, of a pool that is full, of a network that has become slow.

// dummy spends what a refused password costs, and shows the directory no password. Its error is an outage.
func (d *Directory) dummy(ctx context.Context, name string) error {
	if d.bindsFirst() {
		var took time.Duration
		if err := d.ask(ctx, binder, func(c *conn) error {
			began := time.Now()
			if err := c.searchNothing(); err != nil {
				return err
			}
			took = time.Since(began)
			return c.searchNothing() // in place of reading one's own entry
		}); err != nil {
			return err
		}
		return d.o.Sleep(ctx, d.binds.Draw()-took)
	}
	if err := d.ask(ctx, reader, func(c *conn) error {
		if _, err := d.searchUsers(c, name); !isAnswer(err) {
			return err
		}
		return nil
	}); err != nil {
		return err
	}
	return d.dummyBind(ctx)
}

// dummyBind spends what a bind costs that follows a search.
func (d *Directory) dummyBind(ctx context.Context) error {
	if err := d.ask(ctx, binder, (*conn).searchNothing); err != nil {
		return err
	}
	return d.o.Sleep(ctx, d.binds.Draw())
}

// searchNothing reads no attribute of the root DSE, which every directory shows to everybody (RFC 4512,
// section 5.1). One that refuses has answered, too.
func (c *conn) searchNothing() error {
	_, err := c.search(&ldap.SearchRequest{
		Scope: ldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{"1.1"},
	})
	if isAnswer(err) {
		return nil
	}
	return err
}
