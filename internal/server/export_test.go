package server

import (
	"context"
	"net"
	"net/http"
)

// Connection is an admitted connection.
type Connection = connection

// Admit admits a connection. It returns nil if the connection is over the limit.
func (c *Connections) Admit(conn net.Conn) *Connection {
	own := c.admit(conn)
	if own == nil || own.overLimit {
		if own != nil {
			_ = own.Close()
		}
		return nil
	}
	return own
}

// Asks returns a request on a connection.
func (own *connection) Asks(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), connectionKey{}, own))
}

// Body exports body, the body of a request.
type Body = body

// Answer begins a request on a connection.
func (own *connection) Answer() { own.of.note(own, http.StateActive) }

// Send begins a request on a connection. The body of the request has not arrived yet.
func (own *connection) Send() *Body {
	own.Answer()
	b := &body{own: own, missing: 1}
	own.of.beginHandler(own, b)
	return b
}

// Arrive completes a body.
func (b *body) Arrive() {
	b.there = true
	b.own.of.setAwaited(b, false)
}

// Complete ends a request. The argument is nil if the request has no body.
func (own *connection) Complete(b *Body) {
	if b == nil {
		own.of.beginHandler(own, nil)
	} else {
		b.there = true
	}
	own.of.endHandler(own, b, 1)
	own.of.note(own, http.StateIdle)
}

// Gone reports whether a connection was closed, for a new connection or for another reason.
func (own *connection) Gone() bool {
	own.of.mu.Lock()
	defer own.of.mu.Unlock()
	return own.gone
}

// Looked returns how many connections were examined to find the connection to close.
func (c *Connections) Looked() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looked
}

// Waiting returns the lengths of the classes: silent, slow, idle, sending.
func (c *Connections) Waiting() (waiting [4]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range waiting {
		waiting[i] = c.waiting[i].length()
	}
	return waiting
}

func (l *list) length() (n int) {
	for own := l.first; own != nil; own = own.links[all].next {
		n++
	}
	return n
}

var ShowsText = showsText
