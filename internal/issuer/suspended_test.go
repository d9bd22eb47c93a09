package issuer_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
)

// Go's monotonic clock stops while a machine sleeps, and does not change when the wall clock is
// set. After a sleep or a change of the wall clock, a new token is valid immediately, and stays
// valid for the time in the answer. A negative expires_in would be a problem, because containerd
// would use such a token forever.
func TestTokenIsValidAfterClockChanges(t *testing.T) {
	for _, tt := range []struct {
		what string
		by   time.Duration
	}{
		{"the machine slept for a minute", time.Minute},
		{"the machine slept for an hour", time.Hour},
		{"the machine slept until the leaf expired", 25 * time.Hour},
		{"the machine slept until shortly before the leaf expired", 24*time.Hour - 2*time.Minute},
		{"the clock was set back by 11 seconds", -11 * time.Second},
		{"the clock was set back by an hour", -time.Hour},
		{"the clock was set back to a time before the leaf's validity", -26 * time.Hour},
	} {
		t.Run(tt.what, func(t *testing.T) {
			b := newFixture(t, nil)
			first := b.issue(request("ann", "repository:a:pull"))
			b.clock.Set(tt.by)
			var answers []issuer.Answer
			for range 2 {
				answers = append(answers, b.issue(request("ann", "repository:a:pull")))
			}
			for _, a := range answers {
				if times := b.timeClaims(a); times[0] > 0 || times[1] > 0 || times[2] < 60 {
					t.Errorf("the token is valid from %d to %d seconds from now, and was issued at %d", times[0], times[2], times[1])
				}
				if a.ExpiresIn < 60 {
					t.Errorf("expires_in: %d", a.ExpiresIn)
				}
				if leaf, now := b.leaf(a), b.clock.Now(); now.Before(leaf.NotBefore) || now.Add(5*time.Minute).After(leaf.NotAfter) {
					t.Errorf("at %s, the leaf is valid from %s to %s", now, leaf.NotBefore, leaf.NotAfter)
				}
				if string(a.Token) == string(first.Token) {
					t.Error("the token from before the change was reused")
				}
			}
			if string(answers[0].Token) != string(answers[1].Token) {
				t.Error("tokens are not reused after the change")
			}
		})
	}
}

// leaf returns the certificate in a token.
func (b *fixture) leaf(a issuer.Answer) *x509.Certificate {
	b.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(string(a.Token), ".")[0])
	if err != nil {
		b.Fatal(err)
	}
	var header struct{ X5C [][]byte }
	if err := json.Unmarshal(text, &header); err != nil || len(header.X5C) == 0 {
		b.Fatalf("%s: %v", text, err)
	}
	leaf, err := x509.ParseCertificate(header.X5C[0])
	if err != nil {
		b.Fatal(err)
	}
	return leaf
}
