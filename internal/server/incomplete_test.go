package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// incompleteSource is a source that accepts a password but does not know all groups of the user.
type incompleteSource struct{}

func (incompleteSource) Authenticate(_ context.Context, c identity.Presented) (identity.Verified, error) {
	if c.Secret.Reveal() != annPassword {
		return identity.Verified{}, identity.ErrRejected
	}
	return identity.Verified{}, fmt.Errorf("wrapped: %w", identity.Incomplete("there are more than 1000 groups"))
}

// If a user with a valid credential is refused, the user gets the true reason, and the journal
// records it. Such a refusal does not count as a wrong password.
func TestRefusalForIncompleteGroupsIsExplained(t *testing.T) {
	h := newHarness(t, func(_ *server.Options, l *issuer.Live) {
		l.Chain = chain.New(chain.Options{
			Sources: []identity.Source{{Name: "corp", Authenticator: incompleteSource{}}},
			Limiter: ratelimit.New(ratelimit.Options{MaxFailuresPerPair: 2}),
		})
	})
	for range 10 {
		got := h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic("ann", annPassword))
		if got.Status != 403 || !strings.Contains(got.Body, "sign-in refused: not all groups are known: there are more than 1000 groups") {
			t.Fatalf("%s", got)
		}
	}
	if got := h.entries()[0].Decision.Refused; got != "not all groups are known: there are more than 1000 groups" {
		t.Errorf("the journal: %s", got)
	}
	if got := h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic("ann", "wrong")); got.Status != 401 || strings.Contains(got.Body, "groups") {
		t.Errorf("a wrong password: %s", got)
	}
}
