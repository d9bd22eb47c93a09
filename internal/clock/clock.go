// Package clock provides the wall time, and spans of wall time.
//
// A time.Time from time.Now has two readings: the wall time, and a monotonic reading. Go compares
// two times by their monotonic readings if both have one. The monotonic reading stops while a
// machine sleeps, and does not change when the clock is set. But times that are stored and
// compared later mean the wall time: when a token expires, when a certificate becomes valid, when
// a result is too old. In an earlier version, which compared monotonic readings, a repeated
// request got a token that had expired while the machine slept.
//
// So every package passes its clock through Wall, and uses a Span for anything that is valid for
// some time. time.Now is only for measuring a duration within one process. A test of the whole
// repository lists the places that call time.Now.
package clock

import "time"

// Wall returns the given clock without monotonic readings. If the given clock is nil, Wall uses
// time.Now.
func Wall(clock func() time.Time) func() time.Time {
	if clock == nil {
		return Now
	}
	return func() time.Time { return clock().Round(0) }
}

// Now returns the wall time.
func Now() time.Time { return time.Now().Round(0) }

// Span is a span of time, with a beginning and an end. A time before the beginning is outside the
// span. So a stored span counts as over if the clock is set back to a time before the span's
// beginning. A wait can never be longer than the span.
type Span struct{ from, until int64 } // Unix nanoseconds

// For returns the span that begins at the given time and has the given length.
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

// Holds reports whether the time is in the span. The zero Span is empty.
func (s Span) Holds(now time.Time) bool {
	at := now.UnixNano()
	return s.from <= at && at < s.until
}

// Over reports whether the span has ended, or the clock was set back to before its beginning.
func (s Span) Over(now time.Time) bool { return !s.Holds(now) }
