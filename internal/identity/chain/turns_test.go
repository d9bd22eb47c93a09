package chain_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// slowSource is a source of issued secrets. Each verification waits until the test releases it.
type slowSource struct {
	good map[string]bool
	next chan struct{} // nil: at once

	mu        sync.Mutex
	now, most int
	asked     []string
}

func (s *slowSource) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	secret := c.Secret.Reveal()
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.asked = append(s.asked, secret)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if s.next != nil {
		select {
		case <-s.next:
		case <-ctx.Done():
			return identity.Verified{}, ctx.Err()
		}
	}
	if s.good[secret] {
		return identity.Verified{Principal: &policy.Principal{Kind: policy.Robot, Name: "ci", Source: "slow"}}, nil
	}
	return identity.Verified{}, identity.Rejected("nobody has it")
}

// flood returns a function that presents a credential to a chain with the source s. The limit of
// an address is three failures, so that a test soon exceeds the limit.
func flood(s *slowSource) (show func(ctx context.Context, kind identity.Kind, secret, from string) error) {
	chain := chain.New(chain.Options{
		Limiter: ratelimit.New(ratelimit.Options{MaxFailuresPerSource: 3}),
		Sources: []identity.Source{{Name: "slow", Authenticator: s, Kinds: []identity.Kind{identity.AccessToken, identity.RefreshToken, identity.Session}}},
	})
	return func(ctx context.Context, kind identity.Kind, secret, from string) error {
		_, err := chain.Authenticate(ctx, identity.Presented{Kind: kind, Name: "x", Secret: identity.NewSecret(secret), Remote: netip.MustParseAddr(from)})
		return err
	}
}

// Anybody can invent tokens with a correct checksum. After an address has exceeded its limit, its
// tokens are looked up one at a time. So the lookups occupy at most one connection of the
// database.
func TestPastTheLimitOneOfASourceIsLookedUpAtATime(t *testing.T) {
	for _, kind := range []identity.Kind{identity.AccessToken, identity.RefreshToken, identity.Session} {
		synctest.Test(t, func(t *testing.T) {
			s := &slowSource{good: map[string]bool{"good": true, "known": true}}
			show := flood(s)
			ctx := t.Context()
			if err := show(ctx, kind, "known", here); err != nil {
				t.Fatal(err)
			}
			for n := range 10 {
				_ = show(ctx, kind, fmt.Sprint("spent ", n), here)
			}
			s.most, s.asked, s.next = 0, nil, make(chan struct{})
			var wg sync.WaitGroup
			begin := func(secret, from string) *error {
				err := errors.New("it waits")
				wg.Go(func() { err = show(ctx, kind, secret, from) })
				synctest.Wait()
				return &err
			}
			for n := range 20 {
				begin(fmt.Sprint("flood ", n), here)
			}
			good := begin("good", here)
			for n := range 20 {
				begin(fmt.Sprint("more ", n), here)
			}
			if s.most != 1 {
				t.Errorf("%d were looked up at a time, want 1", s.most)
			}
			neighbour, known := begin("good", elsewhere), begin("known", here)
			if s.now != 3 {
				t.Errorf("%d are looked up: a token of another address waits, or a token that was valid before", s.now)
			}
			close(s.next)
			wg.Wait()
			for what, err := range map[string]error{"a valid token that waited": *good, "a token of another address": *neighbour, "a token that was valid before": *known} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if len(s.asked) != 43 || s.asked[0] != "flood 0" || s.asked[len(s.asked)-1] != "more 19" {
				t.Errorf("the tokens were not looked up in their order: %q", s.asked)
			}
		})
	}
}

func TestSoManyWaitAndWhoGoesAwayHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowSource{good: map[string]bool{"good": true}}
		show := flood(s)
		for n := range 10 {
			_ = show(t.Context(), identity.AccessToken, fmt.Sprint("spent ", n), here)
		}
		s.most, s.asked, s.next = 0, nil, make(chan struct{})
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		errs := make([]error, 101) // one token is looked up, and a hundred tokens wait
		for n := range errs {
			wg.Go(func() { errs[n] = show(leaving, identity.AccessToken, fmt.Sprint("flood ", n), here) })
			synctest.Wait()
		}
		var limited *ratelimit.Error
		if err := show(t.Context(), identity.AccessToken, "one more", here); !errors.As(err, &limited) || limited.After <= 0 || limited.Checked {
			t.Errorf("a token when the queue is full: %v", err)
		}
		if err := show(t.Context(), identity.AccessToken, "and another", here); !chain.AlreadyRecorded(err) {
			t.Errorf("each token of a flood has a journal entry: %v", err)
		}
		leave()
		wg.Wait()
		for n, err := range errs {
			if !errors.Is(err, identity.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("client %d disconnected: %v", n, err)
			}
		}
		if s.most != 1 {
			t.Errorf("%d were looked up at a time, want 1", s.most)
		}
		close(s.next)
		if err := show(t.Context(), identity.AccessToken, "good", here); err != nil {
			t.Errorf("a valid token, after all clients have disconnected: %v", err)
		}
	})
}
