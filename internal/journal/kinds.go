package journal

import "github.com/tidewaiter/tidewaiter/internal/journal/retention"

// retentionKind is a kind of entry that has limits of its own. The text of each kind is stored in
// the database.
type retentionKind string

const (
	limitDecisions retentionKind = "decision"
	limitRefused   retentionKind = "refused"
	limitEvents    retentionKind = "event"
	limitChanges   retentionKind = "change"
	limitService   retentionKind = "service"
)

var allKinds = []retentionKind{limitDecisions, limitRefused, limitEvents, limitChanges, limitService}

// limitsByKind returns the kinds and their limits.
func limitsByKind(l retention.Limits) map[retentionKind]retention.Limit {
	return map[retentionKind]retention.Limit{
		limitDecisions: l.Decisions, limitRefused: l.Refused, limitEvents: l.Events, limitChanges: l.Changes,
		limitService: l.Service,
	}
}

// retentionKind returns the kind of an entry.
func (e *Entry) retentionKind() retentionKind {
	switch {
	case e.Outcome() == Refused:
		return limitRefused
	case e.Decision != nil:
		return limitDecisions
	case e.Change != nil:
		return limitChanges
	case e.Service != nil:
		return limitService
	}
	return limitEvents
}
