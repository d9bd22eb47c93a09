package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
)

// Attempt is an attempt to deliver an entry.
type Attempt struct {
	Time     time.Time
	Position journal.Position // position of the entry
	Entry    journal.ID
	Number   int64         // number of this attempt among those for the entry, from 1
	Status   int           // HTTP status of the response; 0: no response
	Problem  string        // why the message was not accepted; "": it was accepted
	Duration time.Duration // duration of the request

	number int64 // number among all attempts of the webhook
}

// log stores an attempt until it is written to the database.
func (w *worker) log(a Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	a.number = w.number
	w.attempts = append(w.attempts, a)
	if len(w.attempts) >= 2*maxLogged { // so that most attempts do not copy the list
		w.attempts = slices.Clone(lastAttempts(w.attempts))
	}
	w.changed = true
}

// reportSent logs a failure, and the first success after failures. It needs the number of failures
// in a row before this attempt.
func (w *worker) reportSent(ctx context.Context, e *journal.Entry, r result, failures int64, s *state) {
	now := w.d.o.Now()
	if r.problem == "" {
		if missed := w.failed.Reset(); failures > 0 {
			w.d.o.Log.InfoContext(ctx, "the webhook works again", "webhook", w.Name, loglimit.Missed, missed)
		}
		return
	}
	if missed, ok := w.failed.Allow(now); ok {
		w.d.o.Log.WarnContext(ctx, "an entry was not delivered to a webhook; it will be sent again", "webhook", w.Name,
			"entry", e.ID.String(), "reason", r.problem, "failures", s.Failures, loglimit.Missed, missed)
	}
}

// reportRead logs that the journal cannot be read, and returns how long to wait.
func (w *worker) reportRead(ctx context.Context, err error) time.Duration {
	if ctx.Err() == nil {
		if missed, ok := w.failed.Allow(w.d.o.Now()); ok {
			w.d.o.Log.WarnContext(ctx, "the entries for a webhook cannot be read", "webhook", w.Name, "error", err, loglimit.Missed, missed)
		}
	}
	return readAgain
}
