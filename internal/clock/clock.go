// Package clock provides the wall time, and spans of it.
//
// A time.Time from time.Now has two readings: the wall time and a monotonic one, and Go prefers
// the monotonic one whenever it compares two times. The monotonic reading stops while a machine
// sleeps, and ignores that the clock is set. Times that are stored and compared later mean the
// wall time: when a token expires, when a certificate becomes valid, when a result is too old.
// Before, with the monotonic reading, a repeated request got a token that had expired while the
// machine slept.
//
// So every clock that is passed in goes through Wall, and everything that is valid for a while
// is a Span. time.Now is for measuring a duration within one process. A test of the whole
// repository lists the places that call time.Now.
package clock

import "time"

// Wall returns a clock without monotonic readings. A nil now means time.Now.
func Wall(now func() time.Time) func() time.Time {
	if now == nil {
		return Now
	}
	return func() time.Time { return now().Round(0) }
}

// Now returns the wall time.
func Now() time.Time { return time.Now().Round(0) }

// Span is a span of time. A time before its beginning is outside the span, just as a time after
// its end is. So when the clock is set back, a stored span counts as over, and no wait becomes
// longer.
type Span struct{ from, until int64 } // Unix nanoseconds

// For returns the span that begins now and lasts for length.
func For(now time.Time, length time.Duration) Span {
	from := now.UnixNano()
	if length < 0 {
		length = 0
	}
	until := from + int64(length)
	if until < from { // 292 years is the maximum
		until = 1<<63 - 1
	}
	return Span{from, until}
}

// Holds reports whether now is in the span. The zero Span is empty.
func (s Span) Holds(now time.Time) bool {
	at := now.UnixNano()
	return s.from <= at && at < s.until
}

// Over reports whether the span has ended, or the clock was set back to before its beginning.
func (s Span) Over(now time.Time) bool { return !s.Holds(now) }
