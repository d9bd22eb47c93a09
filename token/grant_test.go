package token_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

func TestGrant(t *testing.T) {
	repository := func(name string, actions scope.Actions) scope.Scope {
		return scope.Scope{Type: "repository", Name: name, Actions: actions}
	}
	decided := policy.Decision{Results: []policy.Result{
		{Asked: repository("a", scope.Pull|scope.Push), Granted: scope.Pull},
		{Asked: repository("b", scope.Pull)},
		{Asked: repository("c", scope.Pull), Granted: scope.Pull},
	}}
	for _, tt := range []struct {
		what          string
		lifetime, own time.Duration
		now           time.Time
		expires       time.Time
	}{
		{"the given lifetime", 5 * time.Minute, 0, noon, noon.Add(5 * time.Minute)},
		{"a shorter lifetime of a rule", 5 * time.Minute, 2 * time.Minute, noon, noon.Add(2 * time.Minute)},
		{"a longer lifetime of a rule", 5 * time.Minute, time.Hour, noon, noon.Add(5 * time.Minute)},
		{"a lifetime below the minimum", time.Second, 0, noon, noon.Add(time.Minute)},
		{"a rule's lifetime below the minimum", time.Hour, time.Second, noon, noon.Add(time.Minute)},
		{"whole seconds, rounded up", time.Minute, 0, noon.Add(time.Millisecond), noon.Add(time.Minute + time.Second)},
	} {
		c := token.Claims{Issuer: "i", Subject: "s", Audience: "a", Access: []scope.Scope{repository("old", scope.Delete)}}
		decided.Lifetime = tt.own
		c = c.Grant(&decided, tt.lifetime, tt.now)
		want := token.Claims{
			Issuer: "i", Subject: "s", Audience: "a",
			IssuedAt: tt.now.Add(-10 * time.Second), NotBefore: tt.now.Add(-10 * time.Second), Expires: tt.expires,
			Access: []scope.Scope{repository("a", scope.Pull), repository("c", scope.Pull)},
		}
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.what, diff)
		}
	}
}

// In the last minutes of a root, tokens expire with the root. If the root expires in less than
// MinLifetime, Limit does not reduce the expiry, and Append refuses the token, because clients
// assume a lifetime of at least MinLifetime.
func TestLimit(t *testing.T) {
	// Tokens of this signer must expire a minute before the leaf.
	s := leaf(t, root(t, token.ES256), token.ES256)
	for _, tt := range []struct {
		before, lifetime, want time.Duration // before: the time until the leaf expires
	}{
		{time.Hour, 5 * time.Minute, 5 * time.Minute},
		{3 * time.Minute, 5 * time.Minute, 3 * time.Minute},
		{time.Minute, 5 * time.Minute, time.Minute},
		{time.Minute - 1, 5 * time.Minute, 5 * time.Minute}, // Append refuses it
	} {
		now := s.Until().Add(-tt.before)
		c := token.Claims{Expires: now.Add(tt.lifetime)}
		s.Limit(&c, now)
		if got := c.Expires.Sub(now); got != tt.want {
			t.Errorf("%v before the leaf expires: %v, want %v", tt.before, got, tt.want)
		}
	}
}
