package ldap

import (
	"context"
	"math/rand/v2"
	"time"
)

// The time of a refusal must not reveal its reason, such as an unknown name, a wrong password, or
// a disabled or expired account. It must not reveal, either, whether the attempt is repeated, or
// whether the user is of this directory or of an earlier source. So every refusal sends the same
// two requests as a wrong password does, a search and a bind. It sends them on the same kinds of
// connections. If the password must not be sent to the directory, searchNothing replaces the
// bind, and a delay replaces the time in which the directory would hash the password.
//
// The search and the bind are real requests. A delay as long as earlier requests would not be
// sufficient, because a client could notice the difference when a connection has to be opened,
// the pool is full or the network becomes slow.

// dummyRefusal does the work of a refused password without sending a password. Any error that it
// returns is an outage.
func (d *Directory) dummyRefusal(ctx context.Context, name string) error {
	if d.bindsFirst() {
		var took time.Duration
		if err := d.ask(ctx, binder, func(c *conn) error {
			began := time.Now()
			if err := c.searchNothing(); err != nil {
				return err
			}
			took = time.Since(began)
			return c.searchNothing() // this search replaces the read of the user's entry
		}); err != nil {
			return err
		}
		return d.o.Sleep(ctx, d.binds.Draw(rand.IntN)-took)
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

// dummyBind does the work of a bind that follows a search.
func (d *Directory) dummyBind(ctx context.Context) error {
	if err := d.ask(ctx, binder, (*conn).searchNothing); err != nil {
		return err
	}
	return d.o.Sleep(ctx, d.binds.Draw(rand.IntN))
}

// searchNothing searches for the root DSE without requesting any attribute. If the server
// refuses this search, the refusal is an answer and not an error.
func (c *conn) searchNothing() error {
	if _, err := c.readEntry(rootDSE, "1.1"); !isAnswer(err) {
		return err
	}
	return nil
}
