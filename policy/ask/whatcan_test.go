package ask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// WhatCan agrees with Decide for every name.
func TestWhatCanAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := policy.Compile(policygen.DrawSource(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			r := policygen.DrawRequest(t)
			rights := ask.WhatCan(p, r.Principal, policygen.OneOf(t, "asked of", "", "", r.Registry))
			asked := r.Scopes
			for _, right := range append(rights.Allowed, rights.Except...) {
				asked = append(asked, scope.Scope{Type: right.Type, Name: policygen.DrawMatch(t, policygen.OneOf(t, "pattern", right.Names...)), Actions: 63})
			}
			for _, asked := range asked {
				r := &policy.Request{Principal: r.Principal, Registry: r.Registry, Scopes: []scope.Scope{asked}}
				want := p.Decide(r).Results[0].Granted
				if got := rights.Allows(r, asked); got != want {
					t.Errorf("%v of %+v: WhatCan allows %q, but Decide grants %q\n%s", asked, r.Principal, got, want, rightsAsText(rights))
				}
			}
		}
	})
	// Drawn policies may refuse everything. This one does not.
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "a", Subjects: []string{"user:ann"}, Names: []string{"a/**"}, Actions: scope.Pull}}})
	r := &policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: "ann"}, Registry: "r1"}
	rights := ask.WhatCan(p, r.Principal, "")
	for name, want := range map[string]scope.Actions{"a/b": scope.Pull, "b": 0} {
		if got := rights.Allows(r, scope.Scope{Type: "repository", Name: name, Actions: scope.Repository}); got != want {
			t.Errorf("%s: WhatCan allows %q, want %q", name, got, want)
		}
	}
}

// A right in Denied grants nothing at any name.
func TestDeniedRightsAreNotGranted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := policy.Compile(policygen.DrawSource(t))
		if err != nil {
			t.Fatal(err)
		}
		who := policygen.DrawPrincipal(t)
		for _, denied := range ask.WhatCan(p, who, "r1").Denied {
			asked := scope.Scope{Type: denied.Type, Name: policygen.DrawMatch(t, policygen.OneOf(t, "pattern", denied.Names...)), Actions: denied.Actions}
			d := p.Decide(&policy.Request{Principal: who, Registry: "r1", Scopes: []scope.Scope{asked}})
			if granted := d.Results[0].Granted; granted != 0 {
				t.Errorf("%v is denied by %v, but granted %v", asked, denied.By, granted)
			}
		}
	})
}

func rightsAsText(w ask.Rights) string {
	var b strings.Builder
	for _, r := range w.Allowed {
		fmt.Fprintf(&b, "%s: %s\n", r, r.Rule.Name)
	}
	for _, r := range w.Except {
		fmt.Fprintf(&b, "but not %s: %s\n", r, r.Rule.Name)
	}
	for _, r := range w.Denied {
		fmt.Fprintf(&b, "denied %s: %s by %s\n", r.Right, r.Rule.Name, r.By.Name)
	}
	for _, v := range w.Ineffective {
		fmt.Fprintf(&b, "ineffective: %s: %s\n", v.Rule.Name, v.Reason)
	}
	return b.String()
}

func TestWhatCan(t *testing.T) {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Actions: scope.Repository},
		{Name: "team", Subjects: []string{"group:dev"}, Names: []string{"team/**", "shared"}, Actions: scope.Pull | scope.Push},
		{Name: "jobs", Subjects: []string{"workload:job"}, Names: []string{"${claims.project}/${claims.env}"}, Actions: scope.Push},
		{Name: "catalog", Subjects: []string{"group:dev"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
		{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/prod/**", "elsewhere/**"}, Actions: scope.Push},
		{Name: "elsewhere", Deny: true, Subjects: []string{"anyone"}, Names: []string{"elsewhere/**"}, Actions: scope.Repository},
		{Name: "nothing is deleted", Deny: true, Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Delete},
		{Name: "old", Subjects: []string{"group:dev"}, Names: []string{"elsewhere/old/*"}, Actions: scope.Pull},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		who  *policy.Principal
		want string
	}{
		{&policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}, `
pull,push of ann/**: own
pull,push of team/** and shared: team
* of the registry catalog: catalog
but not push of team/prod/** and elsewhere/**: freeze
denied pull of elsewhere/old/*: old by elsewhere
`},
		{&policy.Principal{Kind: policy.User, Name: "Ann@example.com"}, `
ineffective: own: ${user} matches nothing, because Ann@example.com cannot be a path part of a repository
`},
		{&policy.Principal{Kind: policy.Workload, Name: "job", Claims: map[string]any{"project": []string{"acme/app", "acme/web", "*"}, "env": "prod"}}, `
push of acme/app/prod and acme/web/prod: jobs
ineffective: own: ${user} is the name of a user, but this is workload:job
`},
		{&policy.Principal{}, "\n"},
	} {
		if diff := cmp.Diff(tt.want, "\n"+rightsAsText(ask.WhatCan(p, tt.who, ""))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.who, diff)
		}
	}
}

func BenchmarkWhatCan(b *testing.B) {
	source := policy.Source{}
	for i := range 100_000 {
		source.Rules = append(source.Rules, policy.Rule{
			Name: fmt.Sprint(i), Deny: i%10 == 0, Subjects: []string{"group:g"}, Names: []string{fmt.Sprintf("team-%d/**", i)}, Actions: scope.Push,
		})
	}
	p, err := policy.Compile(source)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ask.WhatCan(p, &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"g"}}, "r")
	}
}
