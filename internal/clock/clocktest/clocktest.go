// Package clocktest has a clock of which tests move the wall's time and the monotonic reading apart, as a suspended machine
// or an administrator who sets the clock does.
package clocktest

import (
	"sync"
	"time"
	"unsafe"
)

// Clock is a clock with both readings. Its methods may be called from any goroutine.
type Clock struct {
	mu        sync.Mutex
	wall      time.Time
	monotonic time.Duration
}

// New returns a Clock that shows a time.
func New(wall time.Time) *Clock { return &Clock{wall: wall.Round(0), monotonic: time.Hour} }

// Now returns a time with both readings, as time.Now does.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return withMonotonic(c.wall, c.monotonic)
}

// Pass lets time pass: both readings move.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.monotonic = c.wall.Add(d), c.monotonic+d
}

// Set moves the wall's time alone: by more than nothing, as while a machine sleeps; by less, when the clock is put back.
func (c *Clock) Set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// Parts of time.Time, which has no way to make one with a monotonic reading but time.Now. TestBothReadings fails where they
// become others.
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
