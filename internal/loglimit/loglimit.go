// Package loglimit decides whether a line is logged or only counted.
//
// Requests that anyone can send, and errors that occur a thousand times a second, must not fill
// the log. The first line of a kind is logged immediately. Later lines are logged at a limited
// rate. Each logged line has the number of lines that were left out before it.
package loglimit

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Missed is the name of the log attribute that holds the number of lines that were left out.
const Missed = "lines_not_logged"

// Limit allows at most Max lines in each period. A period begins with its first line. The
// methods of a Limit may be called from any goroutine. A Limit must not be copied after its first
// use.
type Limit struct {
	Period time.Duration
	Max    int // lines in a period; 0 means 1

	mu     sync.Mutex
	period clock.Span
	logged int // lines in this period
	missed int // lines left out since the last logged line
}

// Allow reports whether a line may be logged now. If it may, Allow also returns the number of
// lines that were left out since the last logged line. If it may not, the line is counted as left
// out.
func (l *Limit) Allow(now time.Time) (missed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.period.Over(now) {
		l.period, l.logged = clock.For(now, l.Period), 0
	}
	if l.logged >= max(1, l.Max) {
		l.missed++
		return 0, false
	}
	l.logged++
	missed, l.missed = l.missed, 0
	return missed, true
}

// Reset ends the period, so that the next line is allowed. It returns the number of lines that
// were left out since the last logged line.
func (l *Limit) Reset() (missed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missed, l.missed, l.period = l.missed, 0, clock.Span{}
	return missed
}
