package ask_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestFailuresAreSentences(t *testing.T) {
	at := func(line int) policy.Origin { return policy.Origin{File: "policy.yaml", Line: line} }
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "team", Origin: at(3), Subjects: []string{"group:dev"}, Names: []string{"team/**"}, Actions: scope.Pull | scope.Push},
		{Name: "freeze", Origin: at(7), Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/prod"}, Actions: scope.Push},
		{Name: "nights", Origin: at(9), Subjects: []string{"group:dev"}, Names: []string{"night"}, Actions: scope.Push, When: policygen.Fixed(false, nil)},
		{Name: "list", Origin: at(12), Subjects: []string{"group:dev"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		asked       string
		may, mayNot scope.Actions
		because     string
		want        []string
	}{
		{"repository:team/app:pull", scope.Pull | scope.Push, scope.Delete, "", nil},
		{"repository:team/app:pull", scope.Pull, 0, "team", nil},
		{"repository:team/prod:pull", 0, scope.Push, "freeze", nil},
		{"repository:team/app:pull", 0, scope.Pull | scope.Push, "", []string{
			`user:ann may pull,push team/app, but was expected not to: "team" (policy.yaml:3) allows it`}},
		{"repository:team/prod:pull", scope.Pull | scope.Push, 0, "", []string{
			`user:ann may not push team/prod, but was expected to: "freeze" (policy.yaml:7) denies it`}},
		{"repository:other:pull repository:team/app:pull", scope.Pull, 0, "", []string{
			`user:ann may not pull other, but was expected to: no rule allows it; "team" (policy.yaml:3) allows pull,push, but it is about team/** and not about other`}},
		{"repository:night:pull", scope.Push, 0, "", []string{
			`user:ann may not push night, but was expected to: "nights" (policy.yaml:9) would allow it, but its condition does not hold, where x is false`}},
		{"repository:team/app:pull", scope.Push, 0, "list", []string{
			`user:ann may push team/app, as expected, but not by "list": "team" (policy.yaml:3) allows it`}},
		{"repository:team/app:pull", 0, scope.Delete, "freeze", []string{
			`user:ann may not delete team/app, as expected, but not by "freeze": no rule allows it; "team" (policy.yaml:3) allows pull,push, but it does not allow delete`}},
		{"registry:catalog:*", 0, scope.All, "", []string{
			`user:ann may * registry:catalog, but was expected not to: "list" (policy.yaml:12) allows it`}},
	} {
		asked, _, err := scope.Parse([]string{tt.asked})
		if err != nil {
			t.Fatal(err)
		}
		ann := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}
		var got []string
		for _, s := range ask.Test(p, &ask.Expectation{
			Request: &policy.Request{Principal: ann, Scopes: asked}, May: tt.may, MayNot: tt.mayNot, Because: tt.because,
		}) {
			got = append(got, s.String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.asked, diff)
		}
	}
}
