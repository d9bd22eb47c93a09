package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/fairqueue"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// idleTime is how long an unused connection stays open. Firewalls drop idle connections after
// some minutes.
const idleTime = time.Minute

// pool has the connections of a Directory. It limits the number of used and idle connections
// together.
type pool struct {
	size  int
	slots *fairqueue.Limiter // one slot for each connection in use
	now   func() time.Time

	mu     sync.Mutex
	idle   []*conn // the most recently used connection is last
	closed bool
}

// poolPlaces is the maximum number of requests that wait for a connection. The service accepts
// more client connections than poolPlaces. So in a flood of names, not all client connections wait
// for the directory.
const poolPlaces = 512

func newPool(size int, wait time.Duration, now func() time.Time) *pool {
	return &pool{
		size: size, now: now,
		slots: fairqueue.New(fairqueue.Options{All: fairqueue.Need{Slots: size}, Places: poolPlaces, Wait: wait}),
	}
}

// errFull means that no connection became free in time.
var errFull = errors.New("all connections to the directory are in use")

// oneSlot is the capacity that one request needs.
var oneSlot = fairqueue.Need{Slots: 1}

// enter waits for a connection slot, and leave releases the slot. The addresses of clients take
// turns, and known places are served first. So a flood of unknown names delays only requests from
// the addresses of the flood.
func (p *pool) enter(ctx context.Context) error {
	who, _ := ctx.Value(requesterKey{}).(fairqueue.Requester)
	err := p.slots.Enter(ctx, who, oneSlot)
	if err != nil {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return nil
}

func (p *pool) leave(took time.Duration) { p.slots.Leave(oneSlot, took) }

// requesterKey is the context key of the fairqueue.Requester.
type requesterKey struct{}

// onBehalf returns a context with the client that presented c. With this context, a request waits
// for a connection in the queue of this client.
func onBehalf(ctx context.Context, c identity.Presented) context.Context {
	return context.WithValue(ctx, requesterKey{}, fairqueue.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace})
}

// withoutPassword returns a context for requests that check no password, such as requests of
// administrators and lookups of token owners.
func withoutPassword(ctx context.Context) context.Context {
	return context.WithValue(ctx, requesterKey{}, fairqueue.Requester{KnownPlace: true})
}

// take returns an idle connection. If no connection is idle, it returns nil and makes sure that
// the pool has capacity for a new connection.
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
	// Each slot in use counts as a connection that is open or will be opened. One of these slots
	// is for the connection of this request.
	for len(p.idle) > 0 && len(p.idle)+p.slots.Taken() > p.size {
		p.idle[0].close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	return nil
}

// put returns a connection to the pool.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !c.isUsable() {
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
	p.keepLocked(func(c *conn) bool { return c.isUsable() && clock.For(c.idle, idleTime).Holds(now) })
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
