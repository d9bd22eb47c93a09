package issuer

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// DeniedError says what was refused and why, for the person who waits for it. It wraps ErrDenied.
type DeniedError struct {
	ID        journal.ID // of the decision
	Principal *policy.Principal
	Result    policy.Result
}

func (e *DeniedError) Unwrap() error { return ErrDenied }

// Error is a sentence for the client's user: what, who, why, and by which id to ask. Who is not signed
// in is told to, and of no rule.
func (e *DeniedError) Error() string {
	asked, refused := e.Result.Asked, e.Result.Asked.Actions&^e.Result.Granted
	if e.Principal.Kind == policy.Anonymous {
		return fmt.Sprintf("%s on %s is not for everybody: sign in (decision %s)", refused, asked.Name, e.ID)
	}
	why := "no rule allows it"
	for _, c := range e.Result.Causes {
		if c.Actions&refused == 0 || c.Rule == nil {
			continue
		}
		switch c.Reason {
		case policy.Denied:
			why = fmt.Sprintf("rule %q denies it", c.Rule.Name)
		case policy.Narrowed:
			why = "your credential is narrowed to less"
		case policy.ConditionFailed:
			why = fmt.Sprintf("the condition of rule %q does not hold", c.Rule.Name)
		}
	}
	return fmt.Sprintf("%s may not %s %s: %s (decision %s)", e.Principal.Name, refused, asked.Name, why, e.ID)
}

// futile says whether a client cannot do what it is about to with what was granted: one repository, to
// pull from or to push to, and something of that refused. More than one is a mount, which works
// without its source; who asks for a deletion asks for more than it takes (crane asks for push, too).
func futile(results []policy.Result) bool {
	return len(results) == 1 &&
		results[0].Asked.Type == scope.TypeRepository &&
		(scope.Pull | scope.Push).Has(results[0].Asked.Actions) &&
		results[0].Granted != results[0].Asked.Actions
}
