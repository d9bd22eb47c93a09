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

// defaultConnections is the default of ConnectionsOptions.Max. A connection with TLS takes
// about 40 kB.
const defaultConnections = 4000

// maxOverLimit is the maximum number of connections over the limit that get an answer with the
// reason. Further connections are closed at once.
const maxOverLimit = 64

// ConnectionsOptions configures Connections.
type ConnectionsOptions struct {
	// Max is the limit of open connections; 0: defaultConnections.
	Max int
	// TrustedProxies returns addresses that many clients share. If it is nil, there are no such
	// addresses.
	TrustedProxies func() []netip.Prefix
	// Now returns the time; nil: time.Now.
	Now func() time.Time
}

// An answer is written in parts of 16 kB. If the client does not read a part within one second
// (patience), its connection counts as waiting.
const (
	patience = time.Second
	part     = 16 << 10 // bytes
)

// Connections limits the open connections of a listener, so that a client that opens thousands
// of connections does not use up the memory and file descriptors that other clients need.
//
// When the limit is reached, a new connection replaces a connection that is waiting for its
// client. A connection is waiting if no request is in progress, if the body of a request is
// incomplete, or if the client does not read its answer. Incomplete bodies count because a client
// that sends single bytes could otherwise occupy a connection for as long as the server waits for
// a body. Waiting connections are closed in the order of the classes below. In each class, the
// connection that has waited longest is closed first.
//
//  1. no request completed, and no request in progress
//  2. no request completed, and a body is incomplete
//  3. idle after a completed request
//  4. a later body is incomplete
//  5. the client does not read its answer
//
// So in a flood of connections that send nothing or send slowly, each new connection replaces
// another connection of the flood. Clients that send another request, and registries that post
// further events, keep their connections. If all connections are being answered, the new
// connection gets 503 with Retry-After. One address may have half of the limit, unless the
// address is a trusted proxy or this machine. When an address has half of the limit, its new
// connection replaces another connection of the same address.
//
// Admitting a connection takes a constant number of steps.
//
// An address is an IPv4 address or the /64 of an IPv6 address. Each listener has its own
// Connections, so a flood at one listener does not affect another listener. The methods may be
// called from any goroutine.
type Connections struct {
	o ConnectionsOptions

	closed, refused atomic.Uint64

	mu        sync.Mutex
	open      int
	waiting   waitingLists // of all addresses
	of        map[netip.Addr]*address
	overLimit int
	looked    uint64 // connections examined to find a connection to close
}

// address has the counts of a client address with open connections.
type address struct {
	open    int
	waiting waitingLists
}

// waitingLists has the connections that wait for their client, in a list for each class.
type waitingLists [classes]list

// class describes for what a connection waits. Lower classes are closed first.
type class int

const (
	silent    class = iota // waits for its first request
	slow                   // waits for a body; no request was completed before
	idle                   // waits for its next request
	sending                // waits for the body of a later request
	receiving              // waits until the client reads the answer
	classes
	answered class = -1 // does not wait: the server is answering a request
)

// list is a linked list of connections, in the order in which they began to wait. The links are
// fields of the connections, so a request allocates nothing.
type list struct{ first, last *connection }

// The two lists that a waiting connection is in.
const (
	all = iota
	ofAddress
)

type links struct{ previous, next *connection }

// connection is an accepted connection. The mutex of Connections guards the field address and all
// fields below it, except the field small.
type connection struct {
	net.Conn
	of        *Connections
	overLimit bool // over the limit: answered with the reason, and closed
	from      netip.Addr

	address   *address
	links     [2]links
	in        [2]*list // the lists that contain the connection; nil: it is not waiting
	class     class
	since     time.Time // when the connection began to wait, in class receiving
	resting   bool      // no request is in progress
	completed bool      // a request was completed
	// HTTP/1: the handler has returned, and the server reads the rest of the body before it
	// sends the answer.
	unread   bool
	handlers int  // number of running handlers; HTTP/2 may have several
	bodies   int  // number of bodies for which handlers wait
	writes   int  // number of writes in progress
	ended    bool // no handler is running, but its answer may not be sent yet
	gone     bool

	// The body of the current HTTP/1 request. It is a field, so that a small body allocates
	// nothing.
	small body
}

// NewConnections returns a Connections. It starts no goroutine.
func NewConnections(o ConnectionsOptions) *Connections {
	if o.Max <= 0 {
		o.Max = defaultConnections
	}
	if o.TrustedProxies == nil {
		o.TrustedProxies = func() []netip.Prefix { return nil }
	}
	o.Now = clock.Wall(o.Now)
	return &Connections{o: o, of: make(map[netip.Addr]*address)}
}

// ConnectionsStats counts connections since NewConnections.
type ConnectionsStats struct {
	Open    int
	Closed  uint64 // closed for new connections
	Refused uint64 // over the limit, with an answer or without
}

// Stats returns the current counts.
func (c *Connections) Stats() ConnectionsStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ConnectionsStats{Open: c.open, Closed: c.closed.Load(), Refused: c.refused.Load()}
}

// Bound returns a listener that limits its connections. The server that serves this listener
// must be passed to Watch.
func (c *Connections) Bound(l net.Listener) net.Listener { return &bounded{l, c} }

type bounded struct {
	net.Listener
	connections *Connections
}

// Accept returns the next connection that may be served. It closes the connections over the
// limit.
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

// Watch sets hooks in a server. The hooks record which connections are being answered, and which
// connections have completed a request.
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
		// HTTP/2: the client controls the flow, so Write of the connection does not block.
		if r.ProtoMajor > 1 {
			w = &writer{w, own}
		}
		c.beginHandler(own, b)
		defer func() {
			if restore != nil {
				r.Body = restore
			}
			c.endHandler(own, b, r.ProtoMajor)
		}()
		handler.ServeHTTP(w, r)
	})
}

// writer is the ResponseWriter of HTTP/2. It records in its connection when a write waits for the
// client.
type writer struct {
	http.ResponseWriter
	own *connection
}

func (w *writer) Write(p []byte) (int, error) { return w.own.write(w.ResponseWriter, p) }

// Unwrap supports http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements net.Conn. It records that the connection waits for the client.
func (own *connection) Write(p []byte) (int, error) { return own.write(own.Conn, p) }

// write writes p in parts. The connection stops waiting after each part.
func (own *connection) write(to io.Writer, p []byte) (written int, err error) {
	for {
		own.of.countWrite(own, 1)
		n, err := to.Write(p[written:min(len(p), written+part)])
		own.of.countWrite(own, -1)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// countWrite records the beginning (n = 1) or the end (n = -1) of a write.
func (c *Connections) countWrite(own *connection, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own.writes += n
	c.addToLists(own)
}

// body is the body of a request. It records in its connection whether the server waits for more
// data.
type body struct {
	io.ReadCloser
	own     *connection
	missing int64 // bytes still to come; negative: unknown
	awaited bool  // guarded by the mutex of Connections, like the next field
	over    bool  // the handler has returned
	there   bool  // the whole body has arrived
	ended   bool  // Read returned io.EOF
}

// watchBody returns a request whose body records whether the server waits for the body. It also
// returns this body, or nil if the request has no body. If the third result is not nil, the
// caller must set it as the request's body when the handler has returned.
func (own *connection) watchBody(r *http.Request) (b *body, watched *http.Request, restore io.ReadCloser) {
	// In HTTP/2 a request may declare an empty body and leave it open.
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 && r.Header["Content-Length"] == nil {
		return nil, r, nil
	}
	if r.ProtoMajor == 1 && 0 < r.ContentLength && r.ContentLength <= tokenserver.SmallForm && r.Header["Expect"] == nil {
		// http.Server uses the Go type of a body to find out whether the body is large, and
		// whether the client waits for "100 Continue". This body is small and its client does not
		// wait, so another type changes nothing. HTTP/1 has one request at a time, so one body
		// for each connection is enough.
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

// Read records in the connection whether the server still waits for the body.
func (b *body) Read(p []byte) (int, error) {
	if !b.ended { // HTTP/2 can send the end in a separate frame after all bytes
		b.own.of.setAwaited(b, true)
	}
	n, err := b.ReadCloser.Read(p)
	if b.missing > 0 {
		b.missing = max(0, b.missing-int64(n))
	}
	b.ended = b.ended || errors.Is(err, io.EOF)
	b.there = b.ended || n > 0 && b.missing == 0
	if b.there || err != nil {
		b.own.of.setAwaited(b, false)
	}
	return n, err
}

// beginHandler records that a handler begins. If the body is not empty, the connection now counts
// as waiting for the body. It counts as waiting even if the handler does not read the body,
// because the server can read the body before it sends the answer.
func (c *Connections) beginHandler(own *connection, b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own.handlers, own.ended = own.handlers+1, false
	if b != nil && b.missing != 0 {
		b.awaited = true
		own.bodies++
	}
	c.addToLists(own)
}

// setAwaited records whether the server waits for a body.
func (c *Connections) setAwaited(b *body, awaited bool) {
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
	c.addToLists(b.own)
}

// endHandler records that a handler ends.
func (c *Connections) endHandler(own *connection, b *body, major int) {
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
	// The states of http.Server are not enough, because an HTTP/2 connection has the state idle
	// even before its first request.
	case b == nil, b.there:
		own.completed = true
	case major == 1:
		own.unread = true
	}
	c.addToLists(own)
}

// connectionKey is the context key of the connection of a request.
type connectionKey struct{}

func connectionOf(r *http.Request) *connection {
	own, _ := r.Context().Value(connectionKey{}).(*connection)
	return own
}

// overLimit reports whether the connection of a request is over the limit.
func overLimit(r *http.Request) bool {
	own := connectionOf(r)
	return own != nil && own.overLimit
}

func ours(conn net.Conn) *connection {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	own, _ := conn.(*connection)
	return own
}

// note records a state change of a connection.
func (c *Connections) note(own *connection, state http.ConnState) {
	if state == http.StateNew || state == http.StateClosed { // admit and Close handle these states
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if own.gone || own.overLimit {
		return
	}
	own.removeFromLists() // its waiting time starts again
	own.resting, own.ended = state == http.StateIdle, false
	if own.unread { // the server has now read the whole body
		own.unread, own.completed = false, own.completed || own.resting
	}
	c.addToLists(own)
}

// admit counts a new connection. It returns nil if all places are taken, including the
// maxOverLimit places over the limit.
func (c *Connections) admit(conn net.Conn) *connection {
	own := &connection{Conn: conn, of: c, from: origin(conn)}
	c.mu.Lock()
	var leaving *connection
	at := c.of[own.from]
	switch {
	case at != nil && at.open >= max(1, c.o.Max/2) && !c.isShared(own.from):
		leaving = c.longestWaiting(&at.waiting)
		own.overLimit = leaving == nil
	case c.open >= c.o.Max:
		leaving = c.longestWaiting(&c.waiting)
		own.overLimit = leaving == nil
	}
	if own.overLimit {
		c.refused.Add(1)
		if c.overLimit >= maxOverLimit {
			c.mu.Unlock()
			return nil
		}
		c.overLimit++
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
	own.resting = true // true until its first request
	c.addToLists(own)
	c.mu.Unlock()
	if leaving != nil {
		_ = leaving.Conn.Close()
	}
	return own
}

// longestWaiting returns the connection to close first. It returns nil if no connection may be
// closed.
func (c *Connections) longestWaiting(w *waitingLists) *connection {
	for i := range w {
		l := &w[i]
		if l.first == nil {
			continue
		}
		c.looked++
		if class(i) == receiving && c.o.Now().Sub(l.first.since) < patience {
			return nil // the server has written to it within the time patience
		}
		return l.first
	}
	return nil
}

// addToLists appends a connection to the lists of its class. If the connection is in these lists
// already, addToLists does nothing.
func (c *Connections) addToLists(own *connection) {
	if own.gone || own.overLimit {
		return
	}
	to := answered
	switch {
	case own.resting && own.completed:
		to = idle
	case own.resting:
		to = silent
	// A handler runs and does not wait for its client, or a request has just arrived.
	case !own.unread && (own.bodies+own.writes < own.handlers || own.handlers == 0 && !own.ended):
	case !own.unread && (own.writes > 0 || own.ended):
		to = receiving
	case own.completed:
		to = sending
	default:
		to = slow
	}
	if own.in[all] != nil {
		if own.class == to {
			return
		}
		own.removeFromLists()
	}
	if to == answered {
		return
	}
	if own.class = to; to == receiving {
		own.since = c.o.Now()
	}
	for i, w := range [...]*waitingLists{all: &c.waiting, ofAddress: &own.address.waiting} {
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

// removeFromLists removes a connection from its lists.
func (own *connection) removeFromLists() {
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

// forget removes a connection from the counts.
func (c *Connections) forget(own *connection) {
	if own.gone {
		return
	}
	own.gone = true
	if own.overLimit {
		c.overLimit--
		return
	}
	own.removeFromLists()
	c.open--
	if own.address.open--; own.address.open == 0 {
		delete(c.of, own.from)
	}
}

// Close closes the connection and removes it from the counts.
func (own *connection) Close() error {
	own.of.mu.Lock()
	own.of.forget(own)
	own.of.mu.Unlock()
	return own.Conn.Close()
}

// isShared reports whether many clients may use an address.
func (c *Connections) isShared(from netip.Addr) bool {
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

// origin returns the address whose limit counts the connection.
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
