package explain

import (
	"context"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Period is the JSON form of a rulebook.Period.
type Period struct {
	Version string    `json:"version" doc:"The hash of the policy, which decisions record" example:"1f2e3d4c5b6a7988"`
	Since   time.Time `json:"since,omitzero" doc:"When the policy took effect; absent if this is not recorded"`
	Until   time.Time `json:"until,omitzero" doc:"When the next policy took effect; absent if the policy is still in force"`
	Changed string    `json:"changed,omitempty" enum:"first,files,database" doc:"In the history: the part that differs from the previous policy"`
}

// NewPeriod returns the JSON form of the period p.
func NewPeriod(p *rulebook.Period) Period {
	return Period{p.Policy, p.Since, p.Until, p.Changed}
}

// Past is the policy for a query about a time in the past.
type Past struct {
	Policy *policy.Policy
	Period *rulebook.Period // nil: the policy is the current policy
	Note   string           // set if the policy at that time is not recorded
}

// PolicyAt returns the policy that was in force at the given time. The zero time stands for now.
// If nothing is recorded for the time, the error is a rulebook.NotRecordedError. But if orCurrent
// is true, PolicyAt returns the current policy with a note instead of this error.
func PolicyAt(ctx context.Context, b *rulebook.Rulebook, at time.Time, orCurrent bool) (Past, error) {
	current := Past{Policy: b.Policy()}
	if at.IsZero() {
		return current, nil
	}
	past, err := b.At(ctx, at)
	missing, ok := errors.AsType[*rulebook.NotRecordedError](err)
	switch {
	case ok && orCurrent:
		// If the history is empty, no service has run yet.
		if missing.Policy != "" || !missing.Begins.IsZero() {
			current.Note = missing.Error() + "; the current policy was used"
		}
		return current, nil
	case err != nil:
		return Past{}, err
	case past.Policy == current.Policy.ID():
		return current, nil
	}
	return Past{past.Compiled, &past, ""}, nil
}

// period returns the JSON form of the period, or nil if the policy is the current policy.
func (p *Past) period() *Period {
	if p.Period == nil {
		return nil
	}
	return new(NewPeriod(p.Period))
}
