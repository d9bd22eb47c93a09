package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	checkEvery = time.Second
	// logEvery is the time between two log lines about an outage of the database. During an
	// outage, all operations that need the database fail for the same reason.
	logEvery = time.Minute
	// If rescueAfter checks in a row do not find the database file, its content is saved to a new
	// file. The first checks do not save it, because a file that is moved away is often moved
	// back.
	rescueAfter = 3
)

// watchDatabase checks until ctx ends whether the database can be used and is still the
// database that was opened.
func (a *App) watchDatabase(ctx context.Context) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.checkDatabase(ctx)
			a.disk.check(a.now(), a.log)
		}
	}
}

func (a *App) checkDatabase(ctx context.Context) {
	look, cancel := context.WithTimeout(ctx, 5*checkEvery)
	err := a.db.Look(look)
	cancel()
	if err == nil && a.journal.Stats().LastError != nil {
		err = a.checkReady(ctx) // the database can be read, but possibly not written
	}
	if ctx.Err() != nil {
		return
	}
	a.outage.update(ctx, a, err)
}

// newOutage returns an outage whose limit permits one log line about the database in 2 ×
// logEvery. During an outage, the method update logs one line in each logEvery. These lines use
// up the limit, so all other lines about the database are dropped.
func newOutage(now func() time.Time) *outage {
	return &outage{now: now, lines: loglimit.Limit{Period: 2 * logEvery}}
}

// outage is a period in which the database cannot be used. Its methods may be called from any
// goroutine.
type outage struct {
	now   func() time.Time
	lines loglimit.Limit

	mu      sync.Mutex // guards the fields below
	since   time.Time  // zero: there is no outage
	logged  clock.Span // holds for logEvery after the last line about the outage
	failed  int        // failed checks in a row
	lost    int64      // entries that the journal had lost when the outage began
	rescued string     // the file with the saved content, or ""
}

// update handles the result of a check. The error is the reason why the database cannot be used,
// or nil.
func (o *outage) update(ctx context.Context, a *App, err error) {
	o.mu.Lock() // during a reload two goroutines check
	defer o.mu.Unlock()
	now, lost := o.now().Round(0), a.journal.Stats().Lost
	if err == nil {
		if missed := o.lines.Reset(); !o.since.IsZero() {
			a.log.Info("the database can be used again", "for", now.Sub(o.since).Round(time.Second).String(), "entries_lost", lost-o.lost, loglimit.Missed, missed)
		}
		o.since, o.failed = time.Time{}, 0
		return
	}
	first := o.since.IsZero()
	if first {
		o.since, o.lost = now, lost
	}
	o.failed++
	failed := ""
	saved := o.failed == rescueAfter && errors.Is(err, store.ErrReplaced) && a.db.Gone()
	if saved {
		var rescueErr error
		if o.rescued, rescueErr = a.db.Rescue(ctx, now); rescueErr != nil {
			failed = "; " + rescueErr.Error()
		}
	}
	if !first && !saved && o.logged.Holds(now) {
		return
	}
	o.logged = clock.For(now, logEvery)
	missed := o.lines.Reset()
	o.lines.Allow(now)
	// The reason is a text and not an error, because outageFilter would drop this line if it
	// had an error of the database.
	a.log.Error("the database cannot be used", "reason", err.Error(), "what_to_do", advice(err, o.rescued)+failed,
		"for", now.Sub(o.since).Round(time.Second).String(), "entries_lost", lost-o.lost, loglimit.Missed, missed)
}

// advice returns the instructions for the operator about an outage.
func advice(err error, rescued string) string {
	switch {
	case rescued != "":
		return "nothing more is written; the content is saved in " + rescued + ": stop Tidewaiter, move that file to the path of the database, and start it again"
	case errors.Is(err, store.ErrReplaced):
		return "nothing more is written; put the original file back, or restart Tidewaiter to use the new file"
	case errors.Is(err, store.ErrDamaged):
		return "stop Tidewaiter, move the database's files away, restore a backup with `tidewaiter database restore FILE`, and start it again"
	case errors.Is(err, store.ErrNoSpace):
		return "free space on the database's disk; then Tidewaiter recovers by itself"
	}
	return "Tidewaiter recovers by itself when the database answers"
}

// rescueAtEnd saves the content of a deleted file before the process ends, because only this
// process can still read it.
func (a *App) rescueAtEnd(ctx context.Context) {
	if a.outage.rescued != "" || !a.db.Gone() {
		return
	}
	file, err := a.db.Rescue(ctx, a.now())
	if err != nil {
		a.log.Error("the database file is missing, and saving its content failed", "reason", err.Error())
	} else if file != "" {
		a.log.Error("the database file is missing; its content was saved", "file", file)
	}
}

// outageFilter drops log lines that only repeat the line about an outage of the database. During
// an outage, thousands of operations can fail each second.
type outageFilter struct {
	slog.Handler
	outage *outage
}

func (q outageFilter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && aboutDatabase(r) {
		missed, ok := q.outage.lines.Allow(q.outage.now().Round(0))
		if !ok {
			return nil
		}
		if missed > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int(loglimit.Missed, missed))
		}
	}
	return q.Handler.Handle(ctx, r)
}

func (q outageFilter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return outageFilter{q.Handler.WithAttrs(attrs), q.outage}
}

func (q outageFilter) WithGroup(name string) slog.Handler {
	return outageFilter{q.Handler.WithGroup(name), q.outage}
}

// aboutDatabase reports whether a line has an error that means that the database cannot be used.
func aboutDatabase(r slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		found = ok && store.Unavailable(err)
		return !found
	})
	return found
}
