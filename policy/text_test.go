package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestKindsAndReasonsAreWordsInJSON(t *testing.T) {
	type record struct {
		Kinds   []policy.Kind
		Reasons []policy.Reason
	}
	want := record{
		[]policy.Kind{policy.Anonymous, policy.User, policy.Robot, policy.Workload},
		[]policy.Reason{policy.NoRule, policy.Allowed, policy.Denied, policy.Narrowed, policy.ConditionFailed},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"Kinds":["anonymous","user","robot","workload"],"Reasons":["no-rule","allowed","denied","narrowed","condition-failed"]}`, string(text)); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	var got record
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{"Kinds":["admin"]}`, `{"Kinds":[""]}`, `{"Reasons":["Allowed"]}`, `{"Reasons":["reason 9"]}`, `{"Kinds":["kind 9"]}`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("the invalid text %s was accepted", bad)
		}
	}
	for _, bad := range []any{policy.Kind(9), policy.Reason(9)} {
		if text, err := json.Marshal(bad); err == nil {
			t.Errorf("%v was written as %s", bad, text)
		}
	}
}

func TestSentences(t *testing.T) {
	rule := &policy.Rule{Name: "writers", Origin: policy.Origin{File: "policy.yaml", Line: 9}}
	for _, tt := range []struct {
		cause policy.Cause
		want  string
	}{
		{policy.Cause{Actions: scope.Pull | scope.Push, Reason: policy.Allowed, Rule: rule}, `pull,push: allowed by "writers" (policy.yaml:9)`},
		{policy.Cause{Actions: scope.Push, Reason: policy.Denied, Rule: &policy.Rule{Name: "freeze", Origin: policy.Origin{Database: true}}}, `push: denied by "freeze" (the database)`},
		{policy.Cause{Actions: scope.Push, Reason: policy.Denied, Rule: &policy.Rule{Name: "freeze"}}, `push: denied by "freeze"`},
		{policy.Cause{Actions: scope.Push, Reason: policy.Denied}, `push: denied by no rule`},
		{policy.Cause{Actions: scope.Write, Reason: policy.Allowed, Rule: &policy.Rule{Name: "admins", Origin: policy.Origin{BuiltIn: true}}}, `write: allowed by "admins" (built in)`},
		{policy.Cause{Actions: scope.Push, Reason: policy.Narrowed, Rule: rule}, `push: allowed by "writers" (policy.yaml:9), but the limits of the credential do not allow it`},
		{policy.Cause{Actions: scope.Push, Reason: policy.ConditionFailed, Rule: rule}, `push: "writers" (policy.yaml:9) would allow it, but its condition does not hold`},
		{policy.Cause{Actions: scope.Push}, `push: no rule allows it`},
	} {
		if got := tt.cause.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	for want, l := range map[string]policy.Limit{
		"pull on team/app or team/base": {Names: []string{"team/app", "team/base"}, Actions: scope.Pull},
		"* on the registry catalog":     {Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
	} {
		if got := l.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Limits are stored as JSON. The field names of old rows begin with capital letters. An old
// version of Tidewaiter can read new rows, and a new version can read old rows.
func TestStoredLimits(t *testing.T) {
	want := []policy.Limit{{Names: []string{"team/**"}, Actions: scope.Pull | scope.Push}, {Type: "registry", Names: []string{"catalog"}, Actions: scope.All}}
	const before = `[{"Type":"","Names":["team/**"],"Actions":"pull,push"},{"Type":"registry","Names":["catalog"],"Actions":"*"}]`
	now, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var then []struct {
		Type    string
		Names   []string
		Actions scope.Actions
	}
	if err := json.Unmarshal(now, &then); err != nil || len(then) != 2 || then[0].Actions != want[0].Actions || then[1].Names[0] != "catalog" {
		t.Errorf("%s is read as %v by the old version: %v", now, then, err)
	}
	for _, text := range []string{before, string(now)} {
		var got []policy.Limit
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
