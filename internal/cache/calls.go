package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Calls lets callers that need the result of one key at the same time share one call. For example,
// a client that pulls ten layers sends its password ten times at once. A result is returned to the
// waiting callers, and is not stored. The zero value is ready to use. Its methods may be called
// from any goroutine.
//
// Unlike golang.org/x/sync/singleflight, Calls cancels a call when no caller is left. Otherwise
// clients that connect and disconnect could fill the hashing queue, or keep a directory busy, with
// work whose result nobody needs.
type Calls[K comparable, V any] struct {
	Timeout time.Duration // time limit of each call; 0: no limit

	mu       sync.Mutex
	inFlight map[K]*call[V]
	shared   atomic.Uint64
}

type call[V any] struct {
	cancel  context.CancelFunc
	callers int // guarded by the mutex of Calls
	done    chan struct{}
	value   V // value and err are valid after done is closed
	err     error
}

// Do begins a call of f, or waits for the call for the key that is already running. If ctx ends
// first, Do returns the error of ctx. The context of f has the values of the first caller's
// context. The context of f ends after Timeout, or when no caller is left. So a caller that leaves
// does not affect the others.
func (c *Calls[K, V]) Do(ctx context.Context, key K, f func(context.Context) (V, error)) (value V, err error) {
	if err := ctx.Err(); err != nil {
		return value, err
	}
	c.mu.Lock()
	one, shared := c.inFlight[key]
	if shared {
		c.shared.Add(1)
	} else {
		one = &call[V]{done: make(chan struct{})}
		own := context.WithoutCancel(ctx)
		if c.Timeout > 0 {
			own, one.cancel = context.WithTimeout(own, c.Timeout)
		} else {
			own, one.cancel = context.WithCancel(own)
		}
		if c.inFlight == nil {
			c.inFlight = make(map[K]*call[V])
		}
		c.inFlight[key] = one
		go func() {
			defer one.cancel()
			one.value, one.err = f(own)
			c.mu.Lock()
			c.endLocked(key, one)
			c.mu.Unlock()
			close(one.done)
		}()
	}
	one.callers++
	c.mu.Unlock()

	select {
	case <-one.done:
		return one.value, one.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.callers--; one.callers == 0 {
		c.endLocked(key, one) // a new caller must not join a canceled call
		one.cancel()
	}
	return value, ctx.Err()
}

// endLocked removes a call. It does nothing if the call was canceled and a new call for the key
// has begun.
func (c *Calls[K, V]) endLocked(key K, one *call[V]) {
	if c.inFlight[key] == one {
		delete(c.inFlight, key)
	}
}

// Shared returns how many callers have joined a call that another caller had begun.
func (c *Calls[K, V]) Shared() uint64 { return c.shared.Load() }

// Count returns the number of running calls, and of the callers that wait for them.
func (c *Calls[K, V]) Count() (calls, callers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.inFlight {
		callers += one.callers
	}
	return len(c.inFlight), callers
}
