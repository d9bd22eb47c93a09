// Package retention describes the limits of the journal: how long the entries of each kind are
// kept, and how many bytes they may take.
package retention

import (
	"fmt"
	"strings"
	"time"
)

// Limit limits the age of the entries of a kind, and their total size.
type Limit struct {
	Age  time.Duration // 0: forever
	Size int64         // in bytes on disk; 0: no limit
}

// Limits has a limit for each kind of entries.
type Limits struct {
	Decisions Limit // decisions that granted something
	Refused   Limit // decisions that granted nothing
	Events    Limit // events, and posted bodies that are not events
	Changes   Limit
	Service   Limit // restarts, reloads, sign-ins to the API
}

// String returns the limits for people: "decisions 90d up to 1 GB, events forever".
func (l Limits) String() string {
	var all []string
	for _, kind := range []struct {
		name  string
		limit Limit
	}{{"decisions", l.Decisions}, {"refused", l.Refused}, {"events", l.Events}, {"changes", l.Changes}, {"service", l.Service}} {
		all = append(all, kind.name+" "+kind.limit.String())
	}
	return strings.Join(all, ", ")
}

// String returns the limit for people: "90d up to 1 GB".
func (l Limit) String() string {
	const day = 24 * time.Hour
	s := "forever"
	switch {
	case l.Age > 0 && l.Age%day == 0:
		s = fmt.Sprintf("%dd", l.Age/day)
	case l.Age > 0:
		s = l.Age.String()
	}
	switch {
	case l.Size >= 1e9:
		s += fmt.Sprintf(" up to %.3g GB", float64(l.Size)/1e9)
	case l.Size > 0:
		s += fmt.Sprintf(" up to %.3g MB", float64(l.Size)/1e6)
	}
	return s
}
