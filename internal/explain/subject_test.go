package explain_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestResolvePrincipal(t *testing.T) {
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Source: "accounts", Groups: []string{"dev"}, Claims: map[string]any{"team": "a"}}
	errOutage := errors.New("connection refused")
	find := func(_ context.Context, login string) (*policy.Principal, error) {
		switch login {
		case "ann":
			return ann, nil
		case "dan":
			return nil, &identity.DisabledError{Why: "it is disabled"}
		case "ida":
			return nil, errOutage
		}
		return nil, identity.ErrUnknown
	}
	const unknown = "no identity source knows this name: only the name and the given groups were considered"
	for _, tt := range []struct {
		given     policy.Principal
		anonymous bool
		want      policy.Principal
		known     bool
		blocked   string
		note      string
	}{
		{policy.Principal{Kind: policy.User, Name: "ann"}, false, *ann, true, "", ""},
		{policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev", "ops"}, Claims: map[string]any{"team": "b", "x": true}}, false,
			policy.Principal{Kind: policy.User, Name: "ann", Source: "accounts", Groups: []string{"dev", "ops"}, Claims: map[string]any{"team": "b", "x": true}}, true, "", ""},
		{policy.Principal{Kind: policy.User, Name: "dan"}, false, policy.Principal{Kind: policy.User, Name: "dan"}, true,
			"user:dan cannot sign in: it is disabled", "user:dan cannot sign in: it is disabled"},
		{policy.Principal{Kind: policy.User, Name: "zoe", Groups: []string{"ops"}}, false,
			policy.Principal{Kind: policy.User, Name: "zoe", Groups: []string{"ops"}}, false, "", unknown},
		{policy.Principal{Kind: policy.Robot, Name: "ann"}, false, policy.Principal{Kind: policy.Robot, Name: "ann"}, false, "", unknown},
		{policy.Principal{Kind: policy.Workload, Name: "ann"}, false, policy.Principal{Kind: policy.Workload, Name: "ann"}, false, "", ""},
		{policy.Principal{}, true, policy.Principal{}, true, "", ""},
		{policy.Principal{}, false, policy.Principal{}, true, explain.AnonymousBlocked, explain.AnonymousBlocked},
	} {
		got, err := explain.ResolvePrincipal(t.Context(), &tt.given, tt.anonymous, find)
		if err != nil {
			t.Errorf("%v: %v", &tt.given, err)
			continue
		}
		if diff := cmp.Diff(explain.Subject{Principal: &tt.want, Known: tt.known, Blocked: tt.blocked}, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", &tt.given, diff)
		}
		if got.Note() != tt.note {
			t.Errorf("%v: note %q, want %q", &tt.given, got.Note(), tt.note)
		}
	}
	if len(ann.Groups) != 1 || len(ann.Claims) != 1 || ann.Claims["team"] != "a" {
		t.Errorf("the principal of the source was changed: %+v", ann)
	}
	if _, err := explain.ResolvePrincipal(t.Context(), &policy.Principal{Kind: policy.User, Name: "ida"}, false, find); !errors.Is(err, errOutage) {
		t.Errorf("an outage: %v", err)
	}
}

// Removing grants or rules from an evaluation must not change the policy's results, because these
// results are shared.
func TestRemovingGrantsAndRulesCopiesTheResults(t *testing.T) {
	rule := &policy.Rule{Name: "team"}
	results := []policy.Result{{
		Asked: scope.Scope{Actions: scope.Pull}, Granted: scope.Pull, Causes: []policy.Cause{{Actions: scope.Pull, Rule: rule}},
	}}
	e := explain.Evaluation{Subject: explain.Subject{Blocked: "it is disabled"}, Results: results}
	if e.Allowed() {
		t.Error("a blocked subject is allowed")
	}
	e.ApplyBlock()
	e.HideRules()
	if e.Results[0].Granted != 0 || e.Results[0].Causes[0].Rule != nil {
		t.Errorf("not removed: %+v", e.Results)
	}
	if results[0].Granted != scope.Pull || results[0].Causes[0].Rule != rule {
		t.Errorf("the original was changed: %+v", results)
	}
}
