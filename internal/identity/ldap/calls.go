package ldap

import (
	"context"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// callGroup lets concurrent callers with the same key share one call. A client that pulls ten
// layers presents its password ten times at once.
type callGroup struct {
	mu      sync.Mutex
	running map[key]*call
}

// call is a call in flight. It is cancelled when its last waiter leaves.
type call struct {
	cancel   context.CancelFunc
	waiting  int
	done     chan struct{} // closed when verified and err are set
	verified identity.Verified
	err      error
}

// do calls f, or joins the call for k that is in flight, and waits until it ends or ctx does.
// The context of f ends when no one waits for the call, and after limit at the latest.
func (g *callGroup) do(ctx context.Context, k key, limit time.Duration, f func(context.Context) (identity.Verified, error)) (identity.Verified, error) {
	g.mu.Lock()
	c := g.running[k]
	if c == nil {
		c = &call{done: make(chan struct{})}
		var own context.Context
		own, c.cancel = context.WithTimeout(context.WithoutCancel(ctx), limit)
		if g.running == nil {
			g.running = make(map[key]*call)
		}
		g.running[k] = c
		go func() {
			defer c.cancel()
			c.verified, c.err = f(own)
			g.mu.Lock()
			g.forgetLocked(k, c)
			g.mu.Unlock()
			close(c.done)
		}()
	}
	c.waiting++
	g.mu.Unlock()

	select {
	case <-c.done:
		return c.verified, c.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		g.forgetLocked(k, c) // later callers must not join a call that is being cancelled
		c.cancel()
	}
	return identity.Verified{}, ctx.Err()
}

func (g *callGroup) forgetLocked(k key, c *call) {
	if g.running[k] == c {
		delete(g.running, k)
	}
}
