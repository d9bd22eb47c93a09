package server

import (
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

// Answer begins a request on a connection, and Complete ends it.
func (own *connection) Answer() { own.of.note(own, http.StateActive) }

// Complete ends a request.
func (own *connection) Complete() {
	own.completed.Store(true)
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

// Waiting is on how many connections nobody is being answered: those that never completed a request, and the others.
func (c *Connections) Waiting() (silent, idle int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting.silent.length(), c.waiting.idle.length()
}

func (l *list) length() (n int) {
	for own := l.first; own != nil; own = own.links[everywhere].next {
		n++
	}
	return n
}

var ShowsText = showsText
