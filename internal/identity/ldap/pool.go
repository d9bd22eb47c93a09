package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// idleTime is how long a connection is kept that nobody uses. Firewalls forget one after some minutes.
const idleTime = time.Minute

// pool holds the connections of a Directory: at most so many, in use and idle together.
type pool struct {
	slots chan struct{} // one for each that is in use
	now   func() time.Time

	mu     sync.Mutex
	idle   []*conn // the one that was used last is at the end
	closed bool
}

func newPool(size int, now func() time.Time) *pool {
	return &pool{slots: make(chan struct{}, size), now: now}
}

// errFull means that all connections were in use for too long.
var errFull = errors.New("all connections to the directory are in use")

// enter waits for the right to one connection; leave gives it back.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errFull, ctx.Err())
	}
}

func (p *pool) leave() { <-p.slots }

// take returns an idle connection, if there is one that may be good. If not, there is room for a new one.
func (p *pool) take(s *server, k kind) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if c := p.idle[i]; c.server == s && c.kind == k {
			p.idle = slices.Delete(p.idle, i, i+1)
			return c
		}
	}
	// Each slot that is taken stands for a connection, or, like ours, is about to.
	for len(p.idle) > 0 && len(p.idle)+len(p.slots) > cap(p.slots) {
		p.idle[0].close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	return nil
}

// put keeps a connection for later.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !c.usable() {
		c.close()
		return
	}
	c.idle = p.now()
	p.idle = append(p.idle, c)
}

// drop closes the idle connections to a server.
func (p *pool) drop(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keepLocked(func(c *conn) bool { return c.server != s })
}

// sweep closes connections that were idle for too long.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked()
}

func (p *pool) sweepLocked() {
	now := p.now()
	p.keepLocked(func(c *conn) bool { return c.usable() && clock.For(c.idle, idleTime).Holds(now) })
}

func (p *pool) keepLocked(keep func(*conn) bool) {
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if keep(c) {
			return false
		}
		c.close()
		return true
	})
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.keepLocked(func(*conn) bool { return false })
}
