package chain_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// tokenSource is a source of tokens: "good" is valid, "bad…" is never valid, and "later…" is
// invalid but can become valid.
type tokenSource struct{ asked int }

func (s *tokenSource) Authenticate(_ context.Context, c identity.Presented) (identity.Verified, error) {
	s.asked++
	switch secret := c.Secret.Reveal(); {
	case secret == "good":
		return identity.Verified{Principal: &policy.Principal{Kind: policy.Robot, Name: "ci"}}, nil
	case secret[:3] == "bad":
		return identity.Verified{}, identity.ErrNeverValid
	}
	return identity.Verified{}, identity.ErrRejected
}

// If a job presents the same bad token again and again, it costs one verification and one journal
// entry a minute, for every kind of token.
func TestABadTokenIsVerifiedOnceAMinute(t *testing.T) {
	for _, kind := range []identity.Kind{identity.IDToken, identity.AccessToken, identity.RefreshToken, identity.Session} {
		at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		source := &tokenSource{}
		limiter := ratelimit.New(ratelimit.Options{MaxFailuresPerSource: 20, Now: func() time.Time { return at }})
		newChain := func() *chain.Chain {
			return chain.New(chain.Options{Limiter: limiter, Sources: []identity.Source{{Name: "tokens", Authenticator: source, Kinds: []identity.Kind{kind}}}})
		}
		current := newChain()
		entries := 0
		show := func(secret string) string {
			_, err := current.Authenticate(t.Context(), identity.Presented{Kind: kind, Name: "x", Secret: identity.NewSecret(secret), Remote: netip.MustParseAddr(here)})
			if err != nil && !chain.AlreadyRecorded(err) {
				entries++
			}
			switch {
			case err == nil:
				return "in"
			case errors.Is(err, identity.ErrRateLimited):
				return "limited"
			case errors.Is(err, identity.ErrRejected):
				return "wrong"
			}
			return err.Error()
		}
		var first, last string
		for n := range 100 {
			last = show("bad")
			if n == 0 {
				first = last
			}
		}
		if first != "wrong" || last != "limited" || source.asked != 1 || entries != 1 {
			t.Errorf("%d: %s, then %s; verified %d times, %d entries", kind, first, last, source.asked, entries)
		}
		at = at.Add(time.Minute)
		show("bad")
		if source.asked != 2 || entries != 2 {
			t.Errorf("%d, a minute later: verified %d times, %d entries", kind, source.asked, entries)
		}
		// A token that can become valid is verified each time. After a change of the
		// configuration, every token is verified again.
		show("later")
		show("later")
		if source.asked != 4 {
			t.Errorf("%d, a token that can become valid: verified %d times", kind, source.asked)
		}
		current = newChain()
		show("bad")
		if source.asked != 5 {
			t.Errorf("%d, after a reload: verified %d times", kind, source.asked)
		}
		// After the client's address has exceeded its limit, different bad tokens cause one
		// journal entry for each delay. A valid token is still accepted.
		before := entries
		for n := range 100 {
			show(fmt.Sprint("bad ", n))
			if got := show("good"); got != "in" {
				t.Fatalf("%d: a valid token: %s", kind, got)
			}
		}
		if entries-before > 1 {
			t.Errorf("%d: %d entries of a flood of different tokens", kind, entries-before)
		}
	}
}
