// Package clocktest has a clock whose wall time and monotonic reading can differ. This happens on
// a real machine when it sleeps, or when an administrator sets the clock.
package clocktest

import (
	"sync"
	"time"
	"unsafe"
)

// Clock is a clock with a wall time and a monotonic reading. Its methods may be called from any
// goroutine.
type Clock struct {
	mu        sync.Mutex
	wall      time.Time
	monotonic time.Duration
}

// New returns a Clock with the given wall time.
func New(wall time.Time) *Clock { return &Clock{wall: wall.Round(0), monotonic: time.Hour} }

// Noon returns a Clock at noon of a fixed day, for tests in which the time does not matter.
func Noon() *Clock { return New(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) }

// Now returns a time with both readings, as time.Now does.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return withMonotonic(c.wall, c.monotonic)
}

// Pass advances both readings.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.monotonic = c.wall.Add(d), c.monotonic+d
}

// Set moves only the wall time. Moving it forward imitates a machine that has slept. Moving it
// back imitates an administrator who sets the clock.
func (c *Clock) Set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// The internals of time.Time. Only time.Now can create a time with a monotonic reading, so
// withMonotonic writes the fields. TestBothReadings fails if a new version of Go changes the
// fields.
const (
	hasMonotonic = 1 << 63
	nsecShift    = 30
	unixToYear1  = (1969*365 + 1969/4 - 1969/100 + 1969/400) * 86400
	year1To1885  = (1884*365 + 1884/4 - 1884/100 + 1884/400) * 86400
)

type parts struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

func withMonotonic(wall time.Time, monotonic time.Duration) time.Time {
	var t time.Time
	p := (*parts)(unsafe.Pointer(&t))
	seconds := wall.Unix() + unixToYear1 - year1To1885
	p.wall = hasMonotonic | uint64(seconds)<<nsecShift | uint64(wall.Nanosecond())
	p.ext = int64(monotonic)
	p.loc = time.Local
	return t
}
