package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day         = 24 * time.Hour
	maxLifetime = 100 * 365 * day // for a longer lifetime, users write never
)

// lifetime is the value of a flag: a duration that begins now. The zero lifetime never ends.
type lifetime time.Duration

// until returns the time at which a lifetime that begins now ends; the zero time means never.
func (l lifetime) until(now time.Time) time.Time {
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
	d, err := parseDuration(s)
	if err != nil {
		return err
	}
	if d < time.Minute || d > maxLifetime {
		return errors.New("must be between one minute and 100 years, or never")
	}
	*l = lifetime(d)
	return nil
}

// parseDuration parses 90d, 2w and the durations of time.ParseDuration.
func parseDuration(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && time.Duration(n) <= math.MaxInt64/unit {
			return time.Duration(n) * unit, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, errors.New("must be a duration such as 90d, 12h or 30m")
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

func (s *span) Set(text string) error {
	if text == "0" {
		*s = 0
		return nil
	}
	d, err := parseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("must not be negative")
	}
	*s = span(d)
	return err
}
