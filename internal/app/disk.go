package app

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/loglimit"
)

// The disk of the database is nearly full if less than 1/diskPart of its size is free, or less
// than diskFree bytes. If more than diskEnough is free, the disk is never nearly full.
const (
	diskPart   = 10
	diskFree   = 200e6 // bytes
	diskEnough = 5e9   // bytes; room for more than ten million entries
)

// disk is the disk of the database.
type disk struct {
	space func() (free, size uint64, ok bool) // ok is false if the sizes are unknown
	lines loglimit.Limit
}

func newDisk(space func() (free, size uint64, ok bool)) *disk {
	return &disk{space: space, lines: loglimit.Limit{Period: time.Hour}}
}

// note returns a warning if the disk is nearly full, and "" otherwise.
func (d *disk) note() string {
	free, size, ok := d.space()
	if !ok || free >= diskFree && (free >= diskEnough || free >= size/diskPart) {
		return ""
	}
	return fmt.Sprintf("disk: only %d MB of %d MB are free on the disk of the database: make room before it is full",
		free/1e6, size/1e6)
}

// check logs a warning if the disk is nearly full, at most once an hour.
func (d *disk) check(now time.Time, log *slog.Logger) {
	note := d.note()
	if note == "" {
		return
	}
	if _, ok := d.lines.Allow(now); ok {
		log.Warn(note)
	}
}
