package ldap

import (
	"context"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// flights lets those who ask the same at the same time share one answer: a client that pulls ten
// layers shows its password ten times at once.
type flights struct {
	mu    sync.Mutex
	under map[key]*flight
}

// flight is one question under way. It belongs to all who wait for it: it ends when none is left.
type flight struct {
	cancel   context.CancelFunc
	waiting  int
	done     chan struct{} // closed when what follows is set
	verified identity.Verified
	err      error
}

// share calls f, unless it is under way for k already, and waits for its answer no longer than ctx. f
// gets a context that lives as long as anybody waits, but no longer than limit.
func (fs *flights) share(ctx context.Context, k key, limit time.Duration, f func(context.Context) (identity.Verified, error)) (identity.Verified, error) {
	fs.mu.Lock()
	fl := fs.under[k]
	if fl == nil {
		fl = &flight{done: make(chan struct{})}
		var own context.Context
		own, fl.cancel = context.WithTimeout(context.WithoutCancel(ctx), limit)
		if fs.under == nil {
			fs.under = make(map[key]*flight)
		}
		fs.under[k] = fl
		go func() {
			defer fl.cancel()
			fl.verified, fl.err = f(own)
			fs.mu.Lock()
			fs.landLocked(k, fl)
			fs.mu.Unlock()
			close(fl.done)
		}()
	}
	fl.waiting++
	fs.mu.Unlock()

	select {
	case <-fl.done:
		return fl.verified, fl.err
	case <-ctx.Done():
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fl.waiting--; fl.waiting == 0 {
		fs.landLocked(k, fl) // who comes now must not join what is being cancelled
		fl.cancel()
	}
	return identity.Verified{}, ctx.Err()
}

func (fs *flights) landLocked(k key, fl *flight) {
	if fs.under[k] == fl {
		delete(fs.under, k)
	}
}
