package app

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

const (
	// tryWriting is the minimum time between two attempts to write to the database.
	tryWriting = time.Second
	// writingTakes is the time limit of an attempt. An attempt continues even if the request that
	// started the attempt ends.
	writingTakes = 2 * time.Second
)

// checkReady returns nil if the database can be read and, after a failed write of the journal, can
// also be written. checkReady tries to write by itself. The reason is that an instance that is not
// ready gets no requests, and without requests it has no entries to write.
func (a *App) checkReady(ctx context.Context) error {
	if a.journal.Stats().LastError == nil {
		return a.db.Ping(ctx)
	}
	return a.writable.ask(a.now, func() error {
		ctx, end := context.WithTimeout(context.WithoutCancel(ctx), writingTakes)
		defer end()
		return a.db.Write(ctx, "ready", func(*sql.Tx) error { return nil })
	})
}

// cachedCheck stores the result of a check for a short time. Anyone can request /readyz at any
// rate, and each attempt to write delays the journal's own writes.
type cachedCheck struct {
	mu  sync.Mutex
	at  time.Time // zero: never
	err error
}

// ask returns the result of the previous check if this result is recent. Otherwise it calls the
// function check. Concurrent callers wait for the same result.
func (a *cachedCheck) ask(now func() time.Time, check func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && now().Sub(a.at).Abs() < tryWriting {
		return a.err
	}
	a.err = check()
	a.at = now()
	return a.err
}
