package ldap

import (
	"context"
	"math/rand/v2"
	"sync"
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
		return d.o.Sleep(ctx, d.binds.draw()-took)
	}
	if err := d.ask(ctx, reader, func(c *conn) error {
		if _, err := c.search(d.lookup(name)); !settled(err) {
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
	return d.o.Sleep(ctx, d.binds.draw())
}

// searchNothing reads no attribute of the root DSE, which every directory shows to everybody (RFC 4512,
// section 5.1). One that refuses has answered, too.
func (c *conn) searchNothing() error {
	_, err := c.search(&ldap.SearchRequest{
		Scope: ldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{"1.1"},
	})
	if settled(err) {
		return nil
	}
	return err
}

// binds is how much longer than a search the last binds took; where nothing is searched before, how
// long they took.
type binds struct {
	mu   sync.Mutex
	took [16]time.Duration
	n    int // noted so far
}

func (b *binds) note(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took[b.n%len(b.took)] = d
	b.n++
}

// draw returns one of the times; 0 if there is none.
func (b *binds) draw() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == 0 {
		return 0
	}
	return b.took[rand.IntN(min(b.n, len(b.took)))]
}

// sleep waits for d, which may be less than nothing, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
