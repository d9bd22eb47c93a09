package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// DefaultConnections is how many connections a listener has open at most, unless it is said otherwise. One takes some 40 kB with TLS.
const DefaultConnections = 4000

// maxSurplus is how many connections more are told that there are too many. Beyond them a connection is closed at once.
const maxSurplus = 64

// ConnectionsOptions are the settings of Connections.
type ConnectionsOptions struct {
	Most           int                   // open at once; 0: DefaultConnections
	TrustedProxies func() []netip.Prefix // many clients have such an address; nil: there are none
	Now            func() time.Time      // nil: time.Now
}

// A client may take so long to read the next part of an answer before its place goes to others, where all are taken: whoever
// reads 16 kB a second keeps it.
const (
	patience = time.Second
	part     = 16 << 10 // bytes
)

// Connections bounds how many connections a listener has open, so that who opens thousands takes no memory and no
// file from everybody else.
//
// Where all are taken, a newcomer gets the place of one on which nobody is being answered. Nobody is while a request's
// body has not come in full: a byte of it would otherwise hold a place for as long as a body may take. Nor is who has
// not read the next part of an answer for a second: an answer that nobody reads would otherwise hold a place for as long as
// it may take. The one that has waited the longest makes room, of the first of these that there are: those that never
// completed a request and send none, those that never completed one and send the body of one, those that are idle,
// those that send one more body, those that do not read.
// So a flood of connections that ask for nothing, or take their time to ask, makes room for itself, and who comes
// back for a next request, or is a registry that sends its next events, keeps his. If all are being answered, the
// newcomer is told to come back: 503 with Retry-After. One address has half of the places at most, unless it is a
// proxy's, or of this machine; beyond that it makes room itself.
//
// To admit a connection takes the same few steps, however many there are.
//
// An address is an IPv4 address or the /64 of an IPv6 address. Each listener has Connections of its own, so that a flood at one
// is none at another. The methods may be called from any goroutine.
type Connections struct {
	o ConnectionsOptions

	closed, refused atomic.Uint64

	mu      sync.Mutex
	open    int
	waiting waiting // of all addresses
	of      map[netip.Addr]*address
	surplus int
	looked  uint64 // connections that were looked at to make room
}

// address is one of which connections are open.
type address struct {
	open    int
	waiting waiting
}

// waiting is connections on which nobody is being answered, by what they wait for.
type waiting [classes]list

// class is what a connection waits for. They make room in this order.
type class int

const (
	silent    class = iota // its first request
	slow                   // the body of a request, and none was ever completed
	idle                   // its next request
	sending                // the body of a request that is not its first
	receiving              // that the client reads what it is answered
	classes
	answered class = -1 // it does not wait: somebody is being answered
)

// list is connections in the order in which they began to wait. It has its links in them: a request allocates nothing.
type list struct{ first, last *connection }

// The lists that a connection is in: one of all, and one of its address.
const (
	everywhere = iota
	ofAddress
)

type links struct{ previous, next *connection }

// connection is one of a listener's. What is below from is guarded by the mutex of Connections, but for small.
type connection struct {
	net.Conn
	of      *Connections
	surplus bool // over the bound: to be told so, and closed
	from    netip.Addr

	address   *address
	links     [2]links
	in        [2]*list // nil: somebody is being answered
	class     class
	since     time.Time // when it began to wait, if it is receiving
	resting   bool      // no request has begun
	completed bool      // a request
	unread    bool      // with HTTP/1: the handler is done, and the server reads the rest of the body before it answers
	handlers  int       // that run: with HTTP/2, several
	bodies    int       // that they wait for
	writes    int       // that have not ended
	ended     bool      // no handler runs, and what they wrote may not all be sent
	gone      bool

	small body // of the request of HTTP/1 that is being handled: a small body allocates nothing
}

// NewConnections returns Connections. There is nothing to close.
func NewConnections(o ConnectionsOptions) *Connections {
	if o.Most <= 0 {
		o.Most = DefaultConnections
	}
	if o.TrustedProxies == nil {
		o.TrustedProxies = func() []netip.Prefix { return nil }
	}
	o.Now = clock.Wall(o.Now)
	return &Connections{o: o, of: make(map[netip.Addr]*address)}
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
	return ConnectionsStats{Open: c.open, Closed: c.closed.Load(), Refused: c.refused.Load()}
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

// Watch lets a server say on which connections somebody is being answered, and on which a request was completed.
func (c *Connections) Watch(s *http.Server) {
	s.ConnState = func(conn net.Conn, state http.ConnState) {
		if own := ours(conn); own != nil {
			c.note(own, state)
		}
	}
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if own := ours(conn); own != nil {
			return context.WithValue(ctx, connectionKey{}, own)
		}
		return ctx
	}
	handler := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := connectionOf(r)
		if own == nil {
			handler.ServeHTTP(w, r)
			return
		}
		b, r, restore := own.watchBody(r)
		if r.ProtoMajor > 1 { // the client says when more may be sent: Write of the connection does not wait for it
			w = &writer{w, own}
		}
		c.begin(own, b)
		defer func() {
			if restore != nil {
				r.Body = restore
			}
			c.end(own, b, r.ProtoMajor)
		}()
		handler.ServeHTTP(w, r)
	})
}

// writer is an answer of HTTP/2. It tells its connection while it waits for the client.
type writer struct {
	http.ResponseWriter
	own *connection
}

func (w *writer) Write(p []byte) (int, error) { return w.own.write(w.ResponseWriter, p) }

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write writes, and notes that it waits for the client meanwhile.
func (own *connection) Write(p []byte) (int, error) { return own.write(own.Conn, p) }

// write writes part by part: from each to the next, nobody waits.
func (own *connection) write(to io.Writer, p []byte) (written int, err error) {
	for {
		own.of.writing(own, 1)
		n, err := to.Write(p[written:min(len(p), written+part)])
		own.of.writing(own, -1)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// writing notes that a write begins or ends.
func (c *Connections) writing(own *connection, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own.writes += n
	c.place(own)
}

// body is a request's. It tells its connection whether it is waited for.
type body struct {
	io.ReadCloser
	own     *connection
	missing int64 // bytes that are to come; negative: that is not known
	awaited bool  // guarded by the mutex of Connections, as over is
	over    bool  // the handler is done
	there   bool  // all of it
	ended   bool  // that was read, too
}

// watchBody returns a request whose body tells whether it is waited for, and that body; nil if there is none. If restore
// is not nil, it has to be the request's body again after the handler.
func (own *connection) watchBody(r *http.Request) (b *body, watched *http.Request, restore io.ReadCloser) {
	// With HTTP/2 a request may say that its body is empty, and leave it open.
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 && r.Header["Content-Length"] == nil {
		return nil, r, nil
	}
	if r.ProtoMajor == 1 && 0 < r.ContentLength && r.ContentLength <= tokenserver.SmallForm && r.Header["Expect"] == nil {
		// The server looks at a body's type to find out whether it is large, or was told to come: this one is
		// neither, and HTTP/1 has one request at a time.
		restore = r.Body
		own.small = body{ReadCloser: restore, own: own, missing: r.ContentLength}
		r.Body = &own.small
		return &own.small, r, restore
	}
	b = &body{ReadCloser: r.Body, own: own, missing: r.ContentLength}
	other := *r
	other.Body = b
	return b, &other, nil
}

// Read reads, and notes when there is nothing more to wait for.
func (b *body) Read(p []byte) (int, error) {
	if !b.ended { // what has come in full may have no end: with HTTP/2 that is a message of its own
		b.own.of.await(b, true)
	}
	n, err := b.ReadCloser.Read(p)
	if b.missing > 0 {
		b.missing = max(0, b.missing-int64(n))
	}
	b.ended = b.ended || errors.Is(err, io.EOF)
	b.there = b.ended || n > 0 && b.missing == 0
	if b.there || err != nil {
		b.own.of.await(b, false)
	}
	return n, err
}

// begin notes that a handler begins. A body that may have to come is waited for from now on: the server
// itself may read it, before it answers.
func (c *Connections) begin(own *connection, b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own.handlers, own.ended = own.handlers+1, false
	if b != nil && b.missing != 0 {
		b.awaited = true
		own.bodies++
	}
	c.place(own)
}

// await notes whether a body is waited for.
func (c *Connections) await(b *body, awaited bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.awaited == awaited || b.over {
		return
	}
	b.awaited = awaited
	if awaited {
		b.own.bodies++
	} else {
		b.own.bodies--
	}
	c.place(b.own)
}

// end notes that a handler ends.
func (c *Connections) end(own *connection, b *body, major int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own.handlers--
	own.ended = own.handlers == 0
	if b != nil {
		b.over = true
		if b.awaited {
			own.bodies--
		}
	}
	switch {
	// A state of the server says less: with HTTP/2 a connection is idle before it has asked for anything.
	case b == nil, b.there:
		own.completed = true
	case major == 1:
		own.unread = true
	}
	c.place(own)
}

// connectionKey is that of a request's connection.
type connectionKey struct{}

func connectionOf(r *http.Request) *connection {
	own, _ := r.Context().Value(connectionKey{}).(*connection)
	return own
}

// surplus says whether a request came on a connection that is over the bound.
func surplus(r *http.Request) bool {
	own := connectionOf(r)
	return own != nil && own.surplus
}

func ours(conn net.Conn) *connection {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	own, _ := conn.(*connection)
	return own
}

// note remembers whether somebody is being answered on a connection.
func (c *Connections) note(own *connection, state http.ConnState) {
	if state == http.StateNew || state == http.StateClosed { // admit and Close know
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if own.gone || own.surplus {
		return
	}
	own.leave() // who begins to wait again waits from now on
	own.resting, own.ended = state == http.StateIdle, false
	if own.unread { // the server has read the rest
		own.unread, own.completed = false, own.completed || own.resting
	}
	c.place(own)
}

// admit makes a connection one of ours; nil if there is not even room to say no.
func (c *Connections) admit(conn net.Conn) *connection {
	own := &connection{Conn: conn, of: c, from: origin(conn)}
	c.mu.Lock()
	var leaving *connection
	at := c.of[own.from]
	switch {
	case at != nil && at.open >= max(1, c.o.Most/2) && !c.shared(own.from):
		leaving = c.longest(&at.waiting)
		own.surplus = leaving == nil
	case c.open >= c.o.Most:
		leaving = c.longest(&c.waiting)
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
	if own.address = c.of[own.from]; own.address == nil {
		own.address = &address{}
		c.of[own.from] = own.address
	}
	own.address.open++
	c.open++
	own.resting = true // until its first request is there
	c.place(own)
	c.mu.Unlock()
	if leaving != nil {
		_ = leaving.Conn.Close()
	}
	return own
}

// longest returns the one that makes room. nil: somebody is being answered on all.
func (c *Connections) longest(w *waiting) *connection {
	for i := range w {
		l := &w[i]
		if l.first == nil {
			continue
		}
		c.looked++
		if class(i) == receiving && c.o.Now().Sub(l.first.since) < patience {
			return nil // it was only just written to
		}
		return l.first
	}
	return nil
}

// place puts a connection among those that wait for the same, at the end, unless it is there.
func (c *Connections) place(own *connection) {
	if own.gone || own.surplus {
		return
	}
	to := answered
	switch {
	case own.resting && own.completed:
		to = idle
	case own.resting:
		to = silent
	case !own.unread && (own.bodies+own.writes < own.handlers || own.handlers == 0 && !own.ended): // somebody waits for nothing but us
	case !own.unread && (own.writes > 0 || own.ended):
		to = receiving
	case own.completed:
		to = sending
	default:
		to = slow
	}
	if own.in[everywhere] != nil {
		if own.class == to {
			return
		}
		own.leave()
	}
	if to == answered {
		return
	}
	if own.class = to; to == receiving {
		own.since = c.o.Now()
	}
	for i, w := range [...]*waiting{everywhere: &c.waiting, ofAddress: &own.address.waiting} {
		l := &w[to]
		own.in[i], own.links[i] = l, links{previous: l.last}
		if l.last == nil {
			l.first = own
		} else {
			l.last.links[i].next = own
		}
		l.last = own
	}
}

// leave takes a connection out of those on which nobody is being answered.
func (own *connection) leave() {
	for i, l := range own.in {
		if l == nil {
			continue
		}
		at := &own.links[i]
		if at.previous == nil {
			l.first = at.next
		} else {
			at.previous.links[i].next = at.next
		}
		if at.next == nil {
			l.last = at.previous
		} else {
			at.next.links[i].previous = at.previous
		}
		own.in[i], *at = nil, links{}
	}
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
	own.leave()
	c.open--
	if own.address.open--; own.address.open == 0 {
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
