package policyfile

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // containers have no zones of their own

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// ParseTime parses a time: 2026-11-28T23:00:00Z, 2026-11-28 23:00 or 2026-11-28. In the last two
// forms, a time zone can follow: 2026-11-28 23:00 Europe/Paris. If the text has no zone, the
// time is in the given zone.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	day, rest, _ := strings.Cut(s, " ")
	clock, name, both := strings.Cut(rest, " ")
	if !both && rest != "" && (rest[0] < '0' || rest[0] > '9') {
		clock, name = "", rest
	}
	if name != "" {
		var err error
		if zone, err = parseZone(name); err != nil {
			if _, notDay := time.Parse(time.DateOnly, day); notDay != nil {
				return time.Time{}, errNotTime(s)
			}
			return time.Time{}, err
		}
	}
	written := strings.TrimSuffix(day+" "+clock, " ")
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		t, err := time.ParseInLocation(layout, written, zone)
		if err != nil {
			continue
		}
		if t.Format(layout) != written {
			return time.Time{}, fmt.Errorf("the time %s does not exist in %s, because clocks are put forward at that time: use a later time", text.QuoteShort(written), zone)
		}
		return t, nil
	}
	return time.Time{}, errNotTime(s)
}

func errNotTime(s string) error {
	return fmt.Errorf(`%s is not a time like 2026-11-28T23:00:00Z, 2026-11-28 or "2026-11-28 23:00 Europe/Paris"`, text.QuoteShort(s))
}

// parseZone parses the name of a zone, or its offset in hours and minutes.
func parseZone(name string) (*time.Location, error) {
	if t, err := time.Parse("-07:00", name); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(name, offset), nil
	}
	if name != "Local" { // the local zone differs between machines
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("%s is not a time zone such as Europe/Paris, UTC or +02:00", text.QuoteShort(name))
}
