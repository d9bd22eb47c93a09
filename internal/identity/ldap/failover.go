package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ask calls f with a connection to the first server that answers. An answer is final, even if f
// returns it as an error. ask can call f several times, with different connections.
//
// ctx must have a deadline. Each server gets an equal share of the remaining time. So if a server
// does not respond, there is time for the other servers.
func (d *Directory) ask(ctx context.Context, k kind, f func(*conn) error) error {
	if err := d.pool.enter(ctx); err != nil {
		return err
	}
	began := time.Now()
	defer func() { d.pool.leave(time.Since(began)) }()
	var failures []error
	for i, s := range d.servers {
		err := s.allow()
		if err == nil {
			err = d.askOne(ctx, s, len(d.servers)-i, k, f)
			if isAnswer(err) || errors.Is(ctx.Err(), context.Canceled) {
				return err
			}
		}
		failures = append(failures, fmt.Errorf("%s: %w", s.url, err))
	}
	return fmt.Errorf("no server of the directory answers: %w", errors.Join(failures...))
}

// askOne asks one server and reports the result to the circuit breaker of the server. The
// parameter remaining is the number of servers that were not asked yet, including this server.
func (d *Directory) askOne(ctx context.Context, s *server, remaining int, k kind, f func(*conn) error) error {
	deadline, _ := ctx.Deadline()
	share := time.Until(deadline) / time.Duration(remaining)
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	err := d.try(ctx, s, k, f)
	switch {
	case isAnswer(err):
		s.endAnswered()
	case errors.Is(ctx.Err(), context.Canceled):
		// The caller has disconnected, and the state of the server is unknown.
		s.endUnknown()
	case ctx.Err() != nil && share < d.o.Timeout/time.Duration(4*len(d.servers)):
		// The remaining time is too short to conclude that this server is down.
		s.endUnknown()
	default:
		s.endFailed(err)
	}
	return err
}

// try sends a request to one server. The server can have closed an idle connection. So after a
// failure on an idle connection, try sends the request again on a new connection.
func (d *Directory) try(ctx context.Context, s *server, k kind, f func(*conn) error) error {
	if c := d.pool.take(s, k); c != nil {
		err := d.useConn(ctx, c, f)
		if isAnswer(err) || ctx.Err() != nil {
			return err
		}
		d.pool.drop(s)
	}
	c, err := s.dial(ctx, k)
	if err != nil {
		return err
	}
	return d.useConn(ctx, c, f)
}

// useConn calls f and returns the connection to the pool if it is still usable.
func (d *Directory) useConn(ctx context.Context, c *conn, f func(*conn) error) error {
	err := c.run(ctx, func() error { return f(c) })
	if isAnswer(err) {
		d.pool.put(c)
	} else {
		c.close()
	}
	return err
}
