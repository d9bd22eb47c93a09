package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
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

func newOutage() *outage { return &outage{now: clock.Now} }

// outage is a time during which the database cannot be used. Its methods may be called from any goroutine.
type outage struct {
	now func() time.Time // set before anything is logged

	mu     sync.Mutex
	told   time.Time // when a line about it was logged last; zero: none yet
	silent int       // lines that were left out since

	seeing  sync.Mutex // held by whoever looks at the database; what follows is its own
	since   time.Time  // zero: there is no outage
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
		if silent, _ := o.tell(time.Time{}, true); !o.since.IsZero() {
			a.log.Info("the database can be used again", "for", now.Sub(o.since).Round(time.Second).String(), "entries_lost", lost-o.lost, "lines_not_logged", silent)
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
	silent, due := o.tell(now, first || saved)
	if !due {
		return
	}
	// Not as an error value: this is the line that stands for those with one.
	a.log.Error("the database cannot be used", "reason", err.Error(), "what_to_do", advice(err, o.rescued)+failed,
		"for", now.Sub(o.since).Round(time.Second).String(), "entries_lost", lost-o.lost, "lines_not_logged", silent)
}

// tell reports whether a line about the outage is due, or must be logged anyway, and how many were left out before it.
func (o *outage) tell(now time.Time, must bool) (silent int, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !must && clock.For(o.told, tellAgain).Holds(now) {
		return 0, false
	}
	silent = o.silent
	o.told, o.silent = now, 0
	return silent, true
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

// admit reports whether a line about the database may be logged, and counts it if not. Whatever fails for want of the database
// fails alike, a thousand times a second: the first one is told, then the outage is, once a minute.
func (o *outage) admit() bool {
	now := o.now().Round(0)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.told.IsZero() && now.Sub(o.told).Abs() < 2*tellAgain {
		o.silent++
		return false
	}
	o.told = now
	return true
}

// quieted leaves out of a log what an outage of the database has said already.
type quieted struct {
	slog.Handler
	outage *outage
}

func (q quieted) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && aboutDatabase(r) && !q.outage.admit() {
		return nil
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
