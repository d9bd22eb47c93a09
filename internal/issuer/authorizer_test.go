package issuer_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

type authorizer func(*policy.Request, policy.Decision) (policy.Decision, error)

func (f authorizer) Decide(_ context.Context, r *policy.Request, d policy.Decision) (policy.Decision, error) {
	return f(r, d)
}

// An authorizer cannot grant more than the client requested.
func TestAuthorizerNeverGrantsMoreThanRequested(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) {
		l.Authorizer = authorizer(func(_ *policy.Request, d policy.Decision) (policy.Decision, error) {
			d.Results[0].Granted = ^scope.Actions(0)
			return d, nil
		})
	})
	a := b.issue(request("ann", "repository:a:pull"))
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(string(a.Token), ".")[1])
	if err != nil || !strings.Contains(string(claims), `"actions":["pull"]`) || a.Decision.Results[0].Granted != scope.Pull {
		t.Errorf("%s %v", claims, err)
	}
}

func TestJournalNamesTheAuthorizer(t *testing.T) {
	rule := &policy.Rule{Name: "webhook:shop"}
	b := newFixture(t, func(l *issuer.Live) {
		l.Authorizer = authorizer(func(_ *policy.Request, d policy.Decision) (policy.Decision, error) {
			return policy.Decision{Results: []policy.Result{{
				Asked: d.Results[0].Asked, Causes: []policy.Cause{{Actions: scope.Pull, Reason: policy.Denied, Rule: rule}},
			}}}, nil
		})
	})
	b.issue(request("ann", "repository:a:pull"))
	kept := b.entries()[0].Decision.Results[0]
	if kept.Granted != 0 || len(kept.Causes) != 1 {
		t.Fatalf("granted %s, for %d causes, want none for one", kept.Granted, len(kept.Causes))
	}
	if got := kept.Causes[0]; got.Rule.Name != rule.Name || got.Reason != policy.Denied {
		t.Errorf("the cause is rule %q, reason %v, want rule %q, reason %v", got.Rule.Name, got.Reason, rule.Name, policy.Denied)
	}
}

// An outage of the authorizer neither denies nor grants anything.
func TestFailedAuthorizerGrantsNothing(t *testing.T) {
	down := errors.New("connection refused")
	for what, decide := range map[string]authorizer{
		"an error":            func(*policy.Request, policy.Decision) (policy.Decision, error) { return policy.Decision{}, down },
		"an error and grants": func(_ *policy.Request, d policy.Decision) (policy.Decision, error) { return d, down },
		"a missing result":    func(*policy.Request, policy.Decision) (policy.Decision, error) { return policy.Decision{}, nil },
		"another scope": func(_ *policy.Request, d policy.Decision) (policy.Decision, error) {
			d.Results[0].Asked.Name = "b"
			return d, nil
		},
		"another class": func(_ *policy.Request, d policy.Decision) (policy.Decision, error) {
			d.Results[0].Asked.Class = "plugin"
			return d, nil
		},
		"another type": func(_ *policy.Request, d policy.Decision) (policy.Decision, error) {
			d.Results[0].Asked.Type = "registry"
			return d, nil
		},
		"more actions, which it grants": func(_ *policy.Request, d policy.Decision) (policy.Decision, error) {
			d.Results[0].Asked.Actions, d.Results[0].Granted = scope.Repository, scope.Repository
			return d, nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			b := newFixture(t, func(l *issuer.Live) { l.Authorizer = decide })
			a, err := b.Issue(t.Context(), request("ann", "repository:a:pull"))
			if !errors.Is(err, issuer.ErrUndecided) || a.Token != nil {
				t.Errorf("%v, token %s", err, texttest.Readable(string(a.Token)))
			}
			if kept := b.entries()[0].Decision; !strings.HasPrefix(kept.Refused, "unavailable") {
				t.Errorf("the journal has %q, want unavailable", kept.Refused)
			}
		})
	}
}
