package replay

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Beside returns the policy that would be in force if the files had the rules of the source. It
// has these rules, and those rules of the policy in force that are not in files.
func Beside(source policy.Source, inForce *policy.Policy) (*policy.Policy, error) {
	all := policy.Source{Roles: source.Roles, Rules: append([]policy.Rule(nil), source.Rules...)}
	for r, has := range inForce.Effective() {
		if r.Origin.File != "" {
			continue
		}
		own := *r // replace the role by its actions, because the role can be defined in a file
		own.Role, own.Actions, own.Lifetime = "", has.Actions, has.Lifetime
		all.Rules = append(all.Rules, own)
	}
	return policy.Compile(all)
}

// Shadow compares decisions of the policy in force with the decisions of a shadow policy, which has
// no effect. Its methods may be called from any goroutine.
type Shadow struct {
	log                            *slog.Logger
	now                            func() time.Time
	same, refused, allowed, failed atomic.Int64
	lines                          loglimit.Limit
}

// NewShadow returns a Shadow that logs some of the differences.
func NewShadow(log *slog.Logger, now func() time.Time) *Shadow {
	return &Shadow{log: log, now: now, lines: loglimit.Limit{Period: time.Minute, Max: 10}}
}

// ShadowStats counts requests.
type ShadowStats struct {
	Same    int64
	Refused int64 // the shadow policy refuses something that the policy in force grants
	// the shadow policy grants something that the policy in force refuses, and is not in Refused
	Allowed int64
	Failed  int64 // the shadow policy did not decide, because of an error in Tidewaiter
}

// Stats returns the counts since NewShadow.
func (s *Shadow) Stats() ShadowStats {
	return ShadowStats{s.same.Load(), s.refused.Load(), s.allowed.Load(), s.failed.Load()}
}

// Judge decides a request by the shadow policy. It compares the result with the results of the
// policy in force. A panic is only counted, because a shadow policy must not affect any answer.
func (s *Shadow) Judge(shadow *policy.Policy, id journal.ID, r *policy.Request, inForce []policy.Result) {
	defer func() {
		if p := recover(); p != nil {
			s.failed.Add(1)
			s.logDifference("the shadow policy failed", "decision", id.String(), "error", fmt.Sprint(p))
		}
	}()
	var refused, allowed []string
	judged := shadow.Decide(r)
	for i := range judged.Results {
		was, now := inForce[i].Granted, judged.Results[i].Granted
		if was == now {
			continue // in this usual case, nothing is allocated for the comparison
		}
		asked := judged.Results[i].Asked
		if asked.Actions = was &^ now; asked.Actions != 0 {
			refused = append(refused, asked.String())
		}
		if asked.Actions = now &^ was; asked.Actions != 0 {
			allowed = append(allowed, asked.String())
		}
	}
	switch {
	case len(refused)+len(allowed) == 0:
		s.same.Add(1)
		return
	case len(refused) > 0:
		s.refused.Add(1)
	default:
		s.allowed.Add(1)
	}
	s.logDifference("the shadow policy decides differently", "decision", id.String(), "principal", r.Principal.String(), "registry", r.Registry,
		"refused", strings.Join(refused, " "), "allowed", strings.Join(allowed, " "))
}

// logDifference logs a line, unless there were too many lines.
func (s *Shadow) logDifference(text string, attributes ...any) {
	if missed, ok := s.lines.Allow(s.now()); ok {
		if missed > 0 {
			attributes = append(attributes, loglimit.Missed, missed)
		}
		s.log.Info(text, attributes...)
	}
}
