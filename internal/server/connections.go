package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// DefaultConnections is how many connections a listener has open at most, unless it is said otherwise. One takes some 40 kB with TLS.
const DefaultConnections = 4000

// maxSurplus is how many connections more are told that there are too many. Beyond them a connection is closed at once.
const maxSurplus = 64

// ConnectionsOptions are the settings of Connections.
type ConnectionsOptions struct {
	Most           int                   // open at once; 0: DefaultConnections
	TrustedProxies func() []netip.Prefix // many clients have such an address; nil: there are none
}

// Connections bounds how many connections a listener has open, so that who opens thousands takes no memory and no
// file from everybody else.
//
// Where all are taken, a newcomer gets the place of one on which nobody is being answered: one that is kept for a next request,
// or whose first has not come; of the address that has the most, the one that has been waiting the longest. So who holds many
// makes room, and who has one keeps it. If all are being answered, the newcomer is told to come back: 503 with Retry-After.
// One address has half of the places at most, unless it is a proxy's, or of this machine.
//
// An address is an IPv4 address or the /64 of an IPv6 address. Each listener has Connections of its own, so that a flood at one
// is none at another. The methods may be called from any goroutine.
type Connections struct {
	o ConnectionsOptions

	clock           atomic.Uint64 // counts up
	closed, refused atomic.Uint64

	mu      sync.Mutex
	open    map[*connection]struct{}
	of      map[netip.Addr]int // by address
	surplus int
}

// connection is one of a listener's.
type connection struct {
	net.Conn
	of      *Connections
	from    netip.Addr
	surplus bool          // over the bound: to be told so, and closed
	waiting atomic.Uint64 // since when, by the clock, nobody is being answered on it; 0: somebody is
	gone    bool          // guarded by the mutex of Connections
}

// NewConnections returns Connections. There is nothing to close.
func NewConnections(o ConnectionsOptions) *Connections {
	if o.Most <= 0 {
		o.Most = DefaultConnections
	}
	if o.TrustedProxies == nil {
		o.TrustedProxies = func() []netip.Prefix { return nil }
	}
	return &Connections{o: o, open: make(map[*connection]struct{}), of: make(map[netip.Addr]int)}
}

// ConnectionsStats is what Connections has done since NewConnections.
type ConnectionsStats struct {
	Open    int
	Closed  uint64 // while nobody was being answered on them, for newcomers
	Refused uint64 // with a word, or without
}

// Stats may be called at any time.
func (c *Connections) Stats() ConnectionsStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ConnectionsStats{Open: len(c.open), Closed: c.closed.Load(), Refused: c.refused.Load()}
}

// Bound returns a listener whose connections are counted. They have to be served by a server that Watch was called with.
func (c *Connections) Bound(l net.Listener) net.Listener { return &bounded{l, c} }

type bounded struct {
	net.Listener
	connections *Connections
}

// Accept returns the next connection that is not closed at once.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := b.connections.admit(conn); admitted != nil {
			return admitted, nil
		}
		_ = conn.Close()
	}
}

// Watch lets a server say on which connections somebody is being answered.
func (c *Connections) Watch(s *http.Server) {
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if own := ours(conn); own != nil {
			c.note(own, state)
		}
	}
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if own := ours(conn); own != nil && own.surplus {
			return context.WithValue(ctx, surplusKey{}, true)
		}
		return ctx
	}
}

// surplusKey marks requests on connections that are over the bound.
type surplusKey struct{}

func surplus(r *http.Request) bool { return r.Context().Value(surplusKey{}) != nil }

func ours(conn net.Conn) *connection {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	own, _ := conn.(*connection)
	return own
}

// note remembers whether somebody is being answered on a connection.
func (c *Connections) note(own *connection, state http.ConnState) {
	switch state {
	case http.StateActive, http.StateHijacked:
		own.waiting.Store(0)
	case http.StateIdle:
		own.waiting.Store(c.clock.Add(1))
	case http.StateNew, http.StateClosed: // admit and Close know
	}
}

// admit makes a connection one of ours; nil if there is not even room to say no.
func (c *Connections) admit(conn net.Conn) *connection {
	own := &connection{Conn: conn, of: c, from: origin(conn)}
	own.waiting.Store(c.clock.Add(1)) // until its first request is there
	c.mu.Lock()
	var leaving *connection
	switch {
	case c.of[own.from] >= max(1, c.o.Most/2) && !c.shared(own.from):
		leaving = c.longestWaiting(own.from)
		own.surplus = leaving == nil
	case len(c.open) >= c.o.Most:
		leaving = c.longestWaiting(netip.Addr{})
		own.surplus = leaving == nil
	}
	if own.surplus {
		c.refused.Add(1)
		if c.surplus >= maxSurplus {
			c.mu.Unlock()
			return nil
		}
		c.surplus++
		c.mu.Unlock()
		return own
	}
	if leaving != nil {
		c.closed.Add(1)
		c.forget(leaving)
	}
	c.open[own] = struct{}{}
	c.of[own.from]++
	c.mu.Unlock()
	if leaving != nil {
		_ = leaving.Conn.Close()
	}
	return own
}

// longestWaiting returns the one that has been waiting the longest: of an address, or of that which has the most if it is the
// zero one. nil: none is waiting.
func (c *Connections) longestWaiting(from netip.Addr) (longest *connection) {
	var most int
	var since uint64
	for one := range c.open {
		waiting, n := one.waiting.Load(), c.of[one.from]
		if waiting == 0 || from.IsValid() && one.from != from {
			continue
		}
		if longest == nil || n > most || n == most && waiting < since {
			longest, most, since = one, n, waiting
		}
	}
	return longest
}

// forget takes a connection out of the count.
func (c *Connections) forget(own *connection) {
	if own.gone {
		return
	}
	own.gone = true
	if own.surplus {
		c.surplus--
		return
	}
	delete(c.open, own)
	if c.of[own.from]--; c.of[own.from] == 0 {
		delete(c.of, own.from)
	}
}

// Close closes it and takes it out of the count.
func (own *connection) Close() error {
	own.of.mu.Lock()
	own.of.forget(own)
	own.of.mu.Unlock()
	return own.Conn.Close()
}

// shared says whether an address is that of many clients.
func (c *Connections) shared(from netip.Addr) bool {
	if !from.IsValid() || from.IsLoopback() {
		return true
	}
	for _, p := range c.o.TrustedProxies() {
		if p.Contains(from) || from.Is6() && p.Overlaps(netip.PrefixFrom(from, 64)) {
			return true
		}
	}
	return false
}

// origin is the address that a connection is counted for.
func origin(conn net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	from := at.Addr().Unmap().WithZone("")
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil && !from.IsLoopback() {
			return p.Addr()
		}
	}
	return from
}
