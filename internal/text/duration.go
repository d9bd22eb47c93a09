package text

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration parses a duration in days or weeks, such as 90d or 2w, and the durations of
// time.ParseDuration.
func ParseDuration(s string) (d time.Duration, ok bool) {
	const day = 24 * time.Hour
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && time.Duration(n) <= math.MaxInt64/unit {
			return time.Duration(n) * unit, true
		}
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// Duration returns d without units that are zero: 15m, not 15m0s.
func Duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MeantDuration returns the duration that an invalid duration probably stands for, or "". A number
// without a unit means seconds, as in other programs.
func MeantDuration(text string) string {
	text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	number, err := strconv.Atoi(text[:digits])
	if err != nil || number <= 0 || number > 1_000_000 {
		return ""
	}
	unit := time.Second
	switch rest := text[digits:]; {
	case rest == "" || strings.HasPrefix(rest, "s"):
	case strings.HasPrefix(rest, "m"):
		unit = time.Minute
	case strings.HasPrefix(rest, "h"):
		unit = time.Hour
	case strings.HasPrefix(rest, "d"):
		unit = 24 * time.Hour
	case strings.HasPrefix(rest, "w"):
		unit = 7 * 24 * time.Hour
	default:
		return ""
	}
	return Duration(time.Duration(number) * unit)
}
