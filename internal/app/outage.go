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
	lookAtDatabase = time.Second
	// tellAgain is how often an outage of the database is logged: everything that needs the database fails meanwhile,
	// with the same reason.
	tellAgain = time.Minute
	// rescueAfter is how many looks in a row find the file gone before what it held is written into a new one. Whoever moves a
	// file away often moves it back.
	rescueAfter = 3
)

// watchDatabase looks whether the database can be used, and is still the one that was opened, until ctx ends.
func (a *App) watchDatabase(ctx context.Context) {
	ticker := time.NewTicker(lookAtDatabase)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.lookAtDatabase(ctx)
		}
	}
}

func (a *App) lookAtDatabase(ctx context.Context) {
	look, cancel := context.WithTimeout(ctx, 5*lookAtDatabase)
	err := a.db.Look(look)
	cancel()
	if err == nil && a.journal.Stats().LastError != nil {
		err = a.ready(ctx) // it can be read: can it be written?
	}
	if ctx.Err() != nil {
		return
	}
	a.outage.see(ctx, a, err)
}

// newOutage allows other lines about the database only every two periods. During an outage they are
// left out, because the line about the outage comes once per period.
func newOutage() *outage {
	return &outage{now: clock.Now, lines: loglimit.Limit{Period: 2 * tellAgain}}
}

// outage is a time during which the database cannot be used. Its methods may be called from any goroutine.
type outage struct {
	now   func() time.Time // set before anything is logged
	lines loglimit.Limit

	seeing  sync.Mutex // guards the fields below
	since   time.Time  // zero: there is no outage
	told    clock.Span // holds for tellAgain after the last line about the outage
	looks   int        // in a row that found it
	lost    int64      // entries that the journal had lost when it began
	rescued string     // the file that holds what was kept; "": none
}

// see takes the result of a look: nil, or why the database cannot be used.
func (o *outage) see(ctx context.Context, a *App, err error) {
	o.seeing.Lock() // a reload has two that look, for a moment
	defer o.seeing.Unlock()
	now, lost := o.now().Round(0), a.journal.Stats().Lost
	if err == nil {
		if missed := o.lines.Reset(); !o.since.IsZero() {
			a.log.Info("the database can be used again", "for", now.Sub(o.since).Round(time.Second).String(), "entries_lost", lost-o.lost, loglimit.Missed, missed)
		}
		o.since, o.looks = time.Time{}, 0
		return
	}
	first := o.since.IsZero()
	if first {
		o.since, o.lost = now, lost
	}
	o.looks++
	failed := ""
	saved := o.looks == rescueAfter && errors.Is(err, store.ErrReplaced) && a.db.Gone()
	if saved {
		var rescueErr error
		if o.rescued, rescueErr = a.db.Rescue(ctx, now); rescueErr != nil {
			failed = "; " + rescueErr.Error()
		}
	}
	if !first && !saved && o.told.Holds(now) {
		return
	}
	o.told = clock.For(now, tellAgain)
	missed := o.lines.Reset()
	o.lines.Allow(now)
	// Not as an error value: this is the line that stands for those with one.
	a.log.Error("the database cannot be used", "reason", err.Error(), "what_to_do", advice(err, o.rescued)+failed,
		"for", now.Sub(o.since).Round(time.Second).String(), "entries_lost", lost-o.lost, loglimit.Missed, missed)
}

// advice is what somebody can do about an outage.
func advice(err error, rescued string) string {
	switch {
	case rescued != "":
		return "nothing more is written; all that was kept is in " + rescued + ": stop Tidewaiter, move that file to the database's place, and start it again"
	case errors.Is(err, store.ErrReplaced):
		return "nothing more is written; put the file back as it was, or, if the other one is meant, restart Tidewaiter"
	case errors.Is(err, store.ErrDamaged):
		return "stop Tidewaiter, move the database's files away, restore a backup with `tidewaiter database restore FILE`, and start it again"
	case errors.Is(err, store.ErrNoSpace):
		return "make room on its disk; it goes on by itself"
	}
	return "it goes on by itself when the database answers"
}

// rescueAtEnd saves what a file held that is gone, before the process ends, and with it the last one who can read it.
func (a *App) rescueAtEnd(ctx context.Context) {
	if a.outage.rescued != "" || !a.db.Gone() {
		return
	}
	file, err := a.db.Rescue(ctx, a.now())
	if err != nil {
		a.log.Error("the database's file is gone, and what it held could not be saved", "reason", err.Error())
	} else if file != "" {
		a.log.Error("the database's file is gone; what it held was saved", "file", file)
	}
}

// quieted leaves log lines out that repeat what the line about an outage of the database reports.
// During an outage everything that needs the database fails, perhaps a thousand times a second.
type quieted struct {
	slog.Handler
	outage *outage
}

func (q quieted) Handle(ctx context.Context, r slog.Record) error {
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

func (q quieted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieted{q.Handler.WithAttrs(attrs), q.outage}
}

func (q quieted) WithGroup(name string) slog.Handler {
	return quieted{q.Handler.WithGroup(name), q.outage}
}

// aboutDatabase reports whether a line has an error in it that says that the database cannot be used.
func aboutDatabase(r slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		found = ok && store.Unavailable(err)
		return !found
	})
	return found
}
