// Package clock answers: what time is it, on the wall?
//
// What time.Now returns has two readings: the wall's time, and a monotonic one, which Go prefers whenever two times are
// compared. The monotonic one stands still while a machine sleeps, and does not move when the clock is set. Whatever
// is kept and compared later means the wall's time: when a token expires, a certificate begins, an answer is too old.
// With the monotonic reading an identical request got a token that had ended while the machine slept.
//
// So every clock that is passed in goes through Wall, and whatever holds for a while is a Span. Where a duration
// is measured from one moment to the next, time.Now stays; a test of the whole repository lists those places.
package clock

import "time"

// Wall returns a clock without monotonic readings; nil is time.Now.
func Wall(now func() time.Time) func() time.Time {
	if now == nil {
		return Now
	}
	return func() time.Time { return now().Round(0) }
}

// Now is the time on the wall.
func Now() time.Time { return time.Now().Round(0) }

// Span is some time, from a moment on. It holds neither after its end nor before its beginning: when the clock is put
// back, nothing that was kept is taken for something that has yet to begin, and no waiting becomes longer.
type Span struct{ from, until int64 } // nanoseconds since 1970

// For returns the span of a length that begins now.
func For(now time.Time, length time.Duration) Span {
	from := now.UnixNano()
	if length < 0 {
		length = 0
	}
	until := from + int64(length)
	if until < from { // 292 years at most
		until = 1<<63 - 1
	}
	return Span{from, until}
}

// Holds reports whether a moment is in the span. None is in the zero Span.
func (s Span) Holds(now time.Time) bool {
	at := now.UnixNano()
	return s.from <= at && at < s.until
}

// Over reports that a span has ended, or that the clock was put back to before its beginning.
func (s Span) Over(now time.Time) bool { return !s.Holds(now) }
