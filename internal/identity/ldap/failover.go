package ldap

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ask lets f ask a server: the first, and, as long as one does not answer, the next. What a server
// answers is final, whether f likes it or not. f may be called again, on another connection.
//
// ctx must have a deadline. Each server gets an equal share of what is left, so that one that is silent
// leaves time for the others.
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

// askOne asks one server, and tells its breaker how it went. left is the number of servers that are left,
// with this one.
func (d *Directory) askOne(ctx context.Context, s *server, left int, k kind, f func(*conn) error) error {
	deadline, _ := ctx.Deadline()
	share := time.Until(deadline) / time.Duration(left)
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	err := d.try(ctx, s, k, f)
	switch {
	case isAnswer(err):
		s.answered()
	case errors.Is(ctx.Err(), context.Canceled):
		s.abandoned() // nobody waits any more, and nothing is known
	case ctx.Err() != nil && share < d.o.Timeout/time.Duration(4*len(d.servers)):
		s.abandoned() // it had hardly any time: others before it took too long
	default:
		s.failed(err)
	}
	return err
}

// try asks one server on one connection. An idle one may have ended unnoticed, so that a failure there
// says nothing: it is tried once more on a new one.
func (d *Directory) try(ctx context.Context, s *server, k kind, f func(*conn) error) error {
	if c := d.pool.take(s, k); c != nil {
		err := d.use(ctx, c, f)
		if isAnswer(err) || ctx.Err() != nil {
			return err
		}
		d.pool.drop(s)
	}
	c, err := s.dial(ctx, k)
	if err != nil {
		return err
	}
	return d.use(ctx, c, f)
}

// use calls f, and keeps the connection if it is still good.
func (d *Directory) use(ctx context.Context, c *conn, f func(*conn) error) error {
	err := c.run(ctx, func() error { return f(c) })
	if isAnswer(err) {
		d.pool.put(c)
	} else {
		c.close()
	}
	return err
}
