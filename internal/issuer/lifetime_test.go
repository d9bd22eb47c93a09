package issuer_test

import (
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestATokenLivesByWhatItGrants(t *testing.T) {
	b := newBench(t, func(l *issuer.Live) {
		l.Registries["r"].PushLifetime = 30 * time.Minute
		l.AtMost.Delete = 3 * time.Minute
		l.AtMost.Kinds[policy.Robot] = 10 * time.Minute
		l.AtMost.Kinds[policy.Anonymous] = 2 * time.Minute
		l.Anonymous = true
		l.Policy = compile(t,
			policy.Rule{Name: "all", Subjects: []string{"signed-in"}, Names: []string{"team/**"}, Actions: scope.Repository},
			policy.Rule{Name: "public", Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull},
			policy.Rule{Name: "brief", Subjects: []string{"signed-in"}, Names: []string{"team/brief"}, Actions: scope.Push, Lifetime: 4 * time.Minute},
		)
	})
	kinds := map[string]policy.Kind{"ann": policy.User, "ci": policy.Robot, "job": policy.Workload, "ends soon": policy.Workload, "ends later": policy.Workload}
	b.source = func(c identity.Credentials) (identity.Verified, error) {
		who := identity.Verified{Principal: &policy.Principal{Kind: kinds[c.Name], Name: c.Name, ID: c.Name, Source: "test"}}
		switch c.Name {
		case "ends soon":
			who.Until = b.clock.now().Add(time.Minute)
		case "ends later":
			who.Until = b.clock.now().Add(20 * time.Minute)
		}
		return who, nil
	}
	for _, tt := range []struct {
		who, asks string
		lives     time.Duration
		because   string
	}{
		{"ann", "repository:team/app:pull", 5 * time.Minute, "a pull is short"},
		{"ann", "repository:team/app:pull,push", 30 * time.Minute, "a push takes what its largest layer takes"},
		{"ann", "repository:public/app:pull,push", 5 * time.Minute, "what was not granted has no say"},
		{"ann", "repository:team/app:pull,push,delete", 3 * time.Minute, "a token that can delete is short"},
		{"ann", "repository:team/brief:pull,push", 4 * time.Minute, "a rule limits it"},
		{"ci", "repository:team/app:pull,push", 10 * time.Minute, "robots have at most so much"},
		{"ci", "repository:team/app:pull", 5 * time.Minute, "and what is shorter stays"},
		{"job", "repository:team/app:pull,push", 30 * time.Minute, "nothing is said of workloads"},
		{"ends soon", "repository:team/app:pull,push", 5 * time.Minute, "an ID token is outlived by a pull's life at most"},
		{"ends later", "repository:team/app:pull,push", 20 * time.Minute, "or not at all"},
		{"", "repository:public/app:pull", 2 * time.Minute, "who shows nothing has at most so much"},
	} {
		r := request(tt.who, tt.asks)
		if tt.who == "" {
			r.Credentials = identity.Credentials{}
		}
		a := b.issue(r)
		// Rounded up to whole seconds: claims know no others.
		if got := time.Duration(a.ExpiresIn) * time.Second; got != tt.lives {
			t.Errorf("%q asks for %s: it lives %s, want %s: %s", tt.who, tt.asks, got, tt.lives, tt.because)
		}
	}
}
