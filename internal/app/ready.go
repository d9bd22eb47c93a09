package app

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

const (
	// tryWriting is how often it is tried at most whether the state can be written.
	tryWriting = time.Second
	// writingTakes is how long that may take: it is the asker's time, but not the asker's to cut short.
	writingTakes = 2 * time.Second
)

// ready says whether the state can be read, and, after a write of the journal failed, whether it can be
// written again: nobody sends requests, and so entries, to who is not ready.
func (a *App) ready(ctx context.Context) error {
	if a.journal.Stats().LastError == nil {
		return a.db.Ping(ctx)
	}
	return a.writable.ask(a.now, func() error {
		ctx, end := context.WithTimeout(context.WithoutCancel(ctx), writingTakes)
		defer end()
		return a.db.Write(ctx, "ready", func(*sql.Tx) error { return nil })
	})
}

// answered is an answer that holds for a moment. Anybody may ask whether we are ready, as often as they
// like, and each write stands before those of the journal.
type answered struct {
	mu  sync.Mutex
	at  time.Time // zero: never
	err error
}

// ask returns the answer of a moment ago, or a new one. Those who ask meanwhile wait for that one.
func (a *answered) ask(now func() time.Time, try func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && now().Sub(a.at).Abs() < tryWriting {
		return a.err
	}
	a.err = try()
	a.at = now()
	return a.err
}
