package api

import (
	"context"
	"regexp"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/policydiff"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/scope"
)

type compareQuery struct {
	From  string `query:"from" required:"true" maxLength:"40" doc:"The earlier policy: its hash, or a time at which it was in force" example:"2026-11-28T00:00:00Z"`
	To    string `query:"to" maxLength:"40" doc:"The later policy: its hash, or a time at which it was in force; absent: the current policy" example:"1f2e3d4c5b6a7988"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The maximum number of different rules in the response"`
}

func (a *API) historyRoutes() {
	route(a, tagPolicy, operation("list-policies", "GET /policy/history", "List the recorded policies, with the times when they were in force",
		"The newest policy comes first. A policy is listed at most ten seconds after it took effect. The request requires tidewaiter:policy read."),
		func(ctx context.Context, caller admin.Actor, in *PageQuery) (*pageResponse[explain.Period], error) {
			if !a.mayQuery(caller) {
				return nil, admin.Requires(admin.RightPolicy, scope.Read)
			}
			list, next, err := a.Rulebook.History(ctx, in.page())
			return newPage(ctx, list, next, explain.NewPeriod, err)
		})
	contentRoute(a, tagPolicy, operation("compare-policies", "GET /policy/diff", "Compare two policies",
		"The response has the rules and roles that were added, removed or changed. They can be in files, in the database or in namespaces. If only the place of a rule differs, the rule counts as equal. The request requires tidewaiter:policy read."),
		func(ctx context.Context, caller admin.Actor, in *compareQuery) (out policydiff.Comparison, err error) {
			if !a.mayQuery(caller) {
				return out, admin.Requires(admin.RightPolicy, scope.Read)
			}
			from, err := a.findPolicy(ctx, "query.from", in.From)
			if err != nil {
				return out, err
			}
			to, err := a.findPolicy(ctx, "query.to", in.To)
			if err != nil {
				return out, err
			}
			return policydiff.NewComparison(&from, &to, in.Limit), nil
		})
}

var policyID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// findPolicy finds a policy by its ID, or by a time at which it was in force. The reference ""
// stands for the current policy. The argument location is the part of the request with the
// reference. If the reference is invalid, the error names this part.
func (a *API) findPolicy(ctx context.Context, location, reference string) (rulebook.Period, error) {
	if reference == "" || policyID.MatchString(reference) {
		return a.Rulebook.Find(ctx, reference)
	}
	at, err := time.Parse(time.RFC3339, reference)
	if err != nil {
		return rulebook.Period{}, invalidPart(location, "not a policy: give its hash of 16 digits, or a time such as 2026-11-28T00:00:00Z")
	}
	if at.After(a.Now()) {
		return rulebook.Period{}, invalidPart(location, "%s", inFuture)
	}
	return a.Rulebook.At(ctx, at)
}
