package server

import (
	"context"
	"net"
	"net/http"
)

// Connection is one that a listener has admitted.
type Connection = connection

// Admit admits a connection; nil: there is no room.
func (c *Connections) Admit(conn net.Conn) *Connection {
	own := c.admit(conn)
	if own == nil || own.surplus {
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

// Body is one of a request.
type Body = body

// Answer begins a request on a connection.
func (own *connection) Answer() { own.of.note(own, http.StateActive) }

// Send begins a request on a connection whose body is to come.
func (own *connection) Send() *Body {
	own.Answer()
	b := &body{own: own, missing: 1}
	own.of.begin(own, b)
	return b
}

// Arrive is the rest of a body.
func (b *body) Arrive() {
	b.there = true
	b.own.of.await(b, false)
}

// Complete ends a request. Its body is nil if it has none.
func (own *connection) Complete(b *Body) {
	if b == nil {
		own.of.begin(own, nil)
	} else {
		b.there = true
	}
	own.of.end(own, b, 1)
	own.of.note(own, http.StateIdle)
}

// Gone says whether a connection made room, or was closed.
func (own *connection) Gone() bool {
	own.of.mu.Lock()
	defer own.of.mu.Unlock()
	return own.gone
}

// Looked is how many connections were looked at to make room.
func (c *Connections) Looked() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looked
}

// Waiting is on how many connections nobody is being answered: those that never completed a request, those of them that
// send a body, those that rest, and those that send one more body.
func (c *Connections) Waiting() (waiting [4]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range waiting {
		waiting[i] = c.waiting[i].length()
	}
	return waiting
}

func (l *list) length() (n int) {
	for own := l.first; own != nil; own = own.links[everywhere].next {
		n++
	}
	return n
}

var ShowsText = showsText
