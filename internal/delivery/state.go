package delivery

import (
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

const (
	// maxBacklogs is the maximum number of repositories whose entries wait because one of them was
	// not accepted. At the maximum, the whole webhook waits.
	maxBacklogs = 100
	// deadAfter is the number of failures in a row after which all entries of a webhook wait.
	deadAfter = 2
)

// state is the stored state of a webhook.
type state struct {
	Revision int64  // number of changes by administrators
	Off      string // why nothing is delivered; "": the webhook is on
	// Position is the position of the last examined entry. Each entry up to this position was
	// delivered, is not selected, or waits in a backlog.
	Position journal.Position
	Failures int64     // consecutive failures, of any entries
	Failing  time.Time // time of the first of these failures
	Next     time.Time // before this time, nothing is sent
	Backlogs []backlog

	load int64 // which load read it; not stored
}

// backlog is a repository whose entries wait, because one of them was not accepted.
type backlog struct {
	Key      string           `json:"key"`      // see orderKey
	Position journal.Position `json:"position"` // earlier entries of the key were delivered
	Failures int64            `json:"failures"` // failures of the first waiting entry
	Failing  time.Time        `json:"failing"`  // time of the first of these failures
	Next     time.Time        `json:"next"`     // before this time, the entry is not sent
}

// clone returns a copy that shares nothing with s.
func (s *state) clone() state {
	c := *s
	c.Backlogs = slices.Clone(s.Backlogs)
	return c
}

// backlog returns the backlog with a key, or nil.
func (s *state) backlog(key string) *backlog {
	i := slices.IndexFunc(s.Backlogs, func(l backlog) bool { return l.Key == key })
	if i < 0 {
		return nil
	}
	return &s.Backlogs[i]
}

// nextBacklog returns the backlog that can be retried first, or nil.
func (s *state) nextBacklog() (first *backlog) {
	for i := range s.Backlogs {
		if first == nil || s.Backlogs[i].Next.Before(first.Next) {
			first = &s.Backlogs[i]
		}
	}
	return first
}

// removeBacklog removes the backlog with a key, because none of its entries waits.
func (s *state) removeBacklog(key string) {
	s.Backlogs = slices.DeleteFunc(s.Backlogs, func(l backlog) bool { return l.Key == key })
}

// succeed records that an entry was accepted. If the endpoint had not accepted any entries for
// some time, all waiting entries are retried now.
func (s *state) succeed(now time.Time) {
	if s.Failures >= deadAfter {
		for i := range s.Backlogs {
			s.Backlogs[i].Next = now
		}
	}
	s.Failures, s.Failing, s.Next = 0, time.Time{}, time.Time{}
}

// fail records that an entry of a backlog was not accepted. The backlog is added if it is missing.
func (s *state) fail(key string, position journal.Position, r result, now time.Time, jitter float64) {
	l := s.backlog(key)
	if l == nil {
		s.Backlogs = append(s.Backlogs, backlog{Key: key, Position: position})
		l = &s.Backlogs[len(s.Backlogs)-1]
	}
	if l.Position != position {
		*l = backlog{Key: key, Position: position}
	}
	if l.Failures++; l.Failures == 1 {
		l.Failing = now
	}
	l.Next = now.Add(max(retryDelay(l.Failures, jitter), r.retryAfter))
	if s.Failures++; s.Failures == 1 {
		s.Failing = now
	}
	// After the first failure, an entry of another repository is sent at once. If that entry is
	// accepted, only the first repository waits.
	// The wait depends on the number of repositories, too, because a few entries that the endpoint
	// never accepts must not delay all others.
	s.Next = now.Add(max(retryDelay(min(s.Failures, int64(len(s.Backlogs)))-1, jitter), r.retryAfter))
	switch {
	case r.gone:
		s.Off = offGone
	case now.Sub(s.Failing) >= giveUp:
		s.Off = offFailing
	}
}

// lowest returns the position of the first entry that is possibly not delivered yet.
func (s *state) lowest() journal.Position {
	first := s.Position + 1
	for _, l := range s.Backlogs {
		first = min(first, l.Position)
	}
	return first
}

// retryNow allows all waiting entries to be sent now.
func (s *state) retryNow(now time.Time) {
	s.Failures, s.Failing, s.Next = 0, time.Time{}, time.Time{}
	for i := range s.Backlogs {
		s.Backlogs[i].Failures, s.Backlogs[i].Failing, s.Backlogs[i].Next = 0, time.Time{}, now
	}
}

// rewind causes all entries after a position to be sent again. It ignores a negative position, and
// never skips entries.
func (s *state) rewind(after journal.Position) {
	if after < 0 || after >= s.Position {
		return
	}
	s.Position = after
	s.Backlogs = slices.DeleteFunc(s.Backlogs, func(l backlog) bool { return l.Position > after })
}

// Reasons for which Tidewaiter switches a webhook off.
const (
	offGone    = "the endpoint answered with status 410, which means that it wants no more messages"
	offFailing = "nothing was accepted for five days"
)
