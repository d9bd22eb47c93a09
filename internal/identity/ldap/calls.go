package ldap

import (
	"context"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// flights lets those who ask the same at the same time share one answer: a client that pulls ten
// layers shows its password ten times at once.
type callGroup struct {
	mu      sync.Mutex
	running map[key]*call
}

// flight is one question under way. It belongs to all who wait for it: it ends when none is left.
type call struct {
	cancel   context.CancelFunc
	waiting  int
	done     chan struct{} // closed when what follows is set
	verified identity.Verified
	err      error
}

// share calls f, unless it is under way for k already, and waits for its answer no longer than ctx. f
// gets a context that lives as long as anybody waits, but no longer than limit.
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
		g.forgetLocked(k, c) // who comes now must not join what is being cancelled
		c.cancel()
	}
	return identity.Verified{}, ctx.Err()
}

func (g *callGroup) forgetLocked(k key, c *call) {
	if g.running[k] == c {
		delete(g.running, k)
	}
}
