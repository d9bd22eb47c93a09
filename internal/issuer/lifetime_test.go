package issuer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestLifetimeDependsOnTheGrants(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) {
		l.Registries["r"].PushLifetime = 30 * time.Minute
		l.MaxLifetime.Delete = 3 * time.Minute
		l.MaxLifetime.Kinds[policy.Robot] = 10 * time.Minute
		l.MaxLifetime.Kinds[policy.Anonymous] = 2 * time.Minute
		l.Anonymous = true
		var err error
		l.Policy, err = policy.Compile(policy.Source{Roles: map[string]policy.Role{"deployer": {Actions: scope.Repository, Lifetime: 2 * time.Minute}}, Rules: []policy.Rule{
			{Name: "all", Subjects: []string{"signed-in"}, Names: []string{"team/**"}, Actions: scope.Repository},
			{Name: "public", Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull},
			{Name: "brief", Subjects: []string{"signed-in"}, Names: []string{"team/brief"}, Actions: scope.Push, Lifetime: 4 * time.Minute},
			{Name: "rolled", Subjects: []string{"user:ann"}, Names: []string{"team/role"}, Role: "deployer"},
			{Name: "short", Subjects: []string{"user:ann"}, Names: []string{"team/short"}, Actions: scope.Pull, Lifetime: time.Second},
			{Name: "auditing", Subjects: []string{"user:ann"}, Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read, Lifetime: time.Minute},
		}})
		if err != nil {
			t.Fatal(err)
		}
	})
	kinds := map[string]policy.Kind{"ann": policy.User, "ci": policy.Robot, "job": policy.Workload, "ends soon": policy.Workload, "ends later": policy.Workload}
	b.source = func(c identity.Presented) (identity.Verified, error) {
		who := identity.Verified{Principal: &policy.Principal{Kind: kinds[c.Name], Name: c.Name, ID: c.Name, Source: "test"}}
		switch c.Name {
		case "ends soon":
			who.Until = b.clock.Now().Add(time.Minute)
		case "ends later":
			who.Until = b.clock.Now().Add(20 * time.Minute)
		}
		return who, nil
	}
	for _, tt := range []struct {
		who, asks string
		lives     time.Duration
		by        string
		because   string
	}{
		{"ann", "repository:team/app:pull", 5 * time.Minute, "lifetime", "a token that can only pull is short"},
		{"ann", "repository:team/app:pull,push", 30 * time.Minute, "push_lifetime", "a token that can push lives longer"},
		{"ann", "repository:public/app:pull,push", 5 * time.Minute, "lifetime", "push was requested but not granted"},
		{"ann", "repository:team/app:pull,push,delete", 3 * time.Minute, "max_lifetime.delete", "a token that can delete is short"},
		{"ann", "repository:team/brief:pull,push", 4 * time.Minute, "rule brief", "a rule limits it"},
		{"ci", "repository:team/app:pull,push", 10 * time.Minute, "max_lifetime.robot", "the limit for robots applies"},
		{"ci", "repository:team/app:pull", 5 * time.Minute, "lifetime", "the limit for robots does not extend a shorter lifetime"},
		{"job", "repository:team/app:pull,push", 30 * time.Minute, "push_lifetime", "workloads have no limit"},
		{"ends soon", "repository:team/app:pull,push", 5 * time.Minute, "credential", "the token outlives an ID token by at most the lifetime for a pull"},
		{"ends later", "repository:team/app:pull,push", 20 * time.Minute, "credential", "the token ends with the ID token"},
		{"ann", "repository:team/role:pull,push,delete", 2 * time.Minute, "role rolled", "the limit of a role is shorter than the limit for deletions"},
		{"ann", "repository:team/short:pull", time.Minute, "least", "clients assume at least a minute"},
		{"ann", "repository:team/app:pull tidewaiter:accounts:read", 5 * time.Minute, "lifetime", "rights to Tidewaiter are in no token and have no effect"},
		{"", "repository:public/app:pull", 2 * time.Minute, "max_lifetime.anonymous", "the limit for anonymous requests applies"},
	} {
		r := request(tt.who, strings.Fields(tt.asks)...)
		if tt.who == "" {
			r.Credentials = identity.Presented{}
		}
		asked := r.Scopes
		a := b.issue(r)
		// The lifetime is rounded up, because claims have whole seconds.
		if got := time.Duration(a.ExpiresIn) * time.Second; got != tt.lives {
			t.Errorf("the token of %q for %s lives %s, want %s: %s", tt.who, tt.asks, got, tt.lives, tt.because)
		}
		who := identity.Verified{Principal: &policy.Principal{}}
		if tt.who != "" {
			who, _ = b.source(identity.Presented{Name: tt.who})
		}
		live := b.Live()
		life, ok := live.Registries["r"].PredictLifetime(live.Policy, &policy.Request{Principal: who.Principal, Registry: "r", Scopes: asked, Now: b.clock.Now()}, who.Until, &live.MaxLifetime)
		by := string(life.By)
		if life.Rule != nil {
			by += " " + life.Rule.Name
		}
		if !ok || life.Lasts != tt.lives || by != tt.by {
			t.Errorf("%q requests %s: predicted %s by %s, want %s by %s", tt.who, tt.asks, life.Lasts, by, tt.lives, tt.by)
		}
	}
	live := b.Live()
	refused := &policy.Request{Registry: "r", Scopes: []scope.Scope{{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Pull}}, Now: b.clock.Now()}
	if life, ok := live.Registries["r"].PredictLifetime(live.Policy, refused, time.Time{}, &live.MaxLifetime); ok {
		t.Errorf("an empty token is predicted to live %s", life.Lasts)
	}
}
