package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

var errNotDuration = errors.New("must be a duration such as 90d, 12h or 30m")

const (
	day         = 24 * time.Hour
	maxLifetime = 100 * 365 * day // for a longer lifetime, users give "never"
)

// lifetime is the value of a flag: a duration that begins now. The value 0 means that the lifetime
// never ends.
type lifetime time.Duration

// endTime returns the end of a lifetime that begins at the given time. The zero time means that
// the lifetime never ends.
func (l lifetime) endTime(now time.Time) time.Time {
	if l == 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(l))
}

func (l *lifetime) String() string {
	switch d := time.Duration(*l); {
	case d == 0:
		return "never"
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	default:
		return d.String()
	}
}

func (l *lifetime) Type() string { return "duration" }

func (l *lifetime) Set(s string) error {
	if s == "never" {
		*l = 0
		return nil
	}
	d, ok := text.ParseDuration(s)
	if !ok {
		return errNotDuration
	}
	if d < time.Minute || d > maxLifetime {
		return errors.New("must be between one minute and 100 years, or never")
	}
	*l = lifetime(d)
	return nil
}

// span is the value of a flag: a duration, which may be 0.
type span time.Duration

func (s *span) String() string {
	if *s == 0 {
		return "0"
	}
	return (*lifetime)(s).String()
}

func (s *span) Type() string { return "duration" }

func (s *span) Set(value string) error {
	if value == "0" {
		*s = 0
		return nil
	}
	d, ok := text.ParseDuration(value)
	switch {
	case !ok:
		return errNotDuration
	case d < 0:
		return errors.New("must not be negative")
	}
	*s = span(d)
	return nil
}
