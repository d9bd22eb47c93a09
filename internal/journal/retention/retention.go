// Package retention describes how much of the journal is kept: for each kind of entries, for
// how long and how many bytes.
package retention

import (
	"fmt"
	"strings"
	"time"
)

// Limit is how long the entries of a kind are kept, and how many bytes of them.
type Limit struct {
	Age  time.Duration // 0: forever
	Size int64         // in bytes on disk; 0: any
}

// Limits has a limit for each kind of entries.
type Limits struct {
	Decisions Limit // that granted something
	Refused   Limit // decisions that granted nothing
	Events    Limit // and bodies that are not events
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
