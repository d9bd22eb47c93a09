// Package replay compares recorded decisions with another policy. It answers: which requests of
// the past would this policy refuse, and which would it newly allow?
//
// The other policy decides a request with the principal that the journal recorded. The principal
// has the groups, claims and restrictions of that time. The policy decides each distinct
// combination of principal, registry and scope once, unless the result depends on the time, the
// address or the client.
//
// The journal does not have everything that a condition can read. If the result depends on such an
// input, the decision is not judged. The report has the number of these decisions and the reasons.
// See missingInputs and authorizerActions.
package replay

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Report is the result of a replay. If an entry of the journal stands for several refusals, the
// numbers count each of them.
type Report struct {
	Decisions int64 // number of added decisions, not counting SignIns
	Same      int64
	Refused   int64 // decisions where the policy refuses something that was granted
	Allowed   int64 // decisions where the policy grants something that was refused
	// decisions without a known difference, of which at least a part was not judged
	NotJudged int64
	SignIns   int64 // failed sign-ins, for which no policy was asked

	First, Last time.Time // times of the first and the last decision; zero: none

	// Differences are groups of equal differences, the most frequent first.
	Differences []Difference
	// More counts the differences that are not in Differences, because there are more than
	// maxGroups groups.
	More int64
	// Reasons are the reasons why scopes were not judged, the most frequent first.
	Reasons []Reason
}

// Different returns the number of decisions with a difference. A decision can be in both
// Report.Refused and Report.Allowed.
func (r *Report) Different() int64 { return r.Decisions - r.Same - r.NotJudged }

// Effect describes how a judgement differs from the recorded decision.
type Effect string

// The effects.
const (
	Refused Effect = "refused" // something that was granted
	Allowed Effect = "allowed" // something that was refused
)

// Difference stands for scopes of a principal that are judged differently for the same reason.
type Difference struct {
	Effect    Effect
	Principal string        // "user:ann"
	Actions   scope.Actions // the actions whose result differs
	Type      string        // of the resources
	Now       policy.Cause  // the cause in the other policy
	Then      policy.Cause  // the recorded cause, whose rule has only a name and a place
	Scopes    int64         // number of recorded scopes
	Names     []string      // of resources, at most maxNames
	MoreNames bool          // there are other names
	First     time.Time
	Last      time.Time
	ID        journal.ID // id of the last decision
}

// SameCauses reports whether two differences have the same effect and the same causes.
func (d *Difference) SameCauses(other *Difference) bool {
	return d.Effect == other.Effect && keyOf(d.Now) == keyOf(other.Now) && keyOf(d.Then) == keyOf(other.Then)
}

// Reason is a reason why scopes were not judged.
type Reason struct {
	Text   string
	Scopes int64
	ID     journal.ID // id of the last decision
}

// Limits of a report. They bound the memory, because clients choose names of repositories, and
// each job can have its own principal.
const (
	maxGroups  = 10_000
	maxNames   = 3
	maxReasons = 1000
)

// Replay judges decisions by a policy. Only one goroutine may use it.
type Replay struct {
	judge
	report  Report
	groups  map[groupKey]*Difference
	reasons map[string]*Reason
}

// New returns a Replay that judges by a policy.
func New(candidate *policy.Policy) (*Replay, error) {
	r := &Replay{groups: make(map[groupKey]*Difference), reasons: make(map[string]*Reason)}
	return r, r.judge.init(candidate)
}

// Add judges the decision of an entry. It ignores other entries.
func (r *Replay) Add(e *journal.Entry) {
	d := e.Decision
	if d == nil {
		return
	}
	count := int64(1)
	if d.Repeats != nil {
		count = d.Repeats.Count
	}
	if d.Principal == nil {
		r.report.SignIns += count
		return
	}
	r.report.Decisions += count
	if r.report.First.IsZero() {
		r.report.First = e.Time
	}
	r.report.Last = e.Time
	var refused, allowed, open bool
	for i := range d.Results {
		v := r.judge.result(e, &d.Results[i])
		r.add(Refused, v.refused, &v, e, i, count)
		r.add(Allowed, v.allowed, &v, e, i, count)
		for _, why := range v.notJudged {
			r.addReason(why, e, count)
		}
		refused, allowed, open = refused || v.refused != 0, allowed || v.allowed != 0, open || len(v.notJudged) > 0
	}
	if refused {
		r.report.Refused += count
	}
	if allowed {
		r.report.Allowed += count
	}
	switch {
	case refused || allowed:
	case open:
		r.report.NotJudged += count
	default:
		r.report.Same += count
	}
}
