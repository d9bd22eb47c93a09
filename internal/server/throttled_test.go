package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
)

// A client that guesses passwords gets the status 429. docker shows the text of this answer, and
// other clients wait before they try again. Equal refusals are folded: the journal has one entry
// for the wrong passwords and one entry for each delay.
func TestGuessingIsRateLimited(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	h := newHarness(t, func(_ *server.Options, l *issuer.Live) {
		people := &identitytest.Fake{People: map[string]string{"ann": annPassword}}
		l.Chain = chain.New(chain.Options{
			Sources: []identity.Source{{Name: "fake", Authenticator: people}},
			Limiter: ratelimit.New(ratelimit.Options{MaxFailuresPerPair: 3, Now: func() time.Time { return at }}),
		})
	})
	guess := func(i int) reply {
		return h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic("ann", fmt.Sprint("guess ", i)))
	}
	for i := range 3 {
		if got := guess(i); got.Status != 401 {
			t.Fatalf("guess %d: %d", i, got.Status)
		}
	}
	at = at.Add(100 * time.Millisecond)
	for i := range 20 {
		got := guess(10 + i)
		if got.Status != 429 || got.Header.Get("Retry-After") != "1" || got.Header.Get("WWW-Authenticate") != "" ||
			!strings.Contains(got.Body, `{"code":"TOOMANYREQUESTS","message":"too many failed attempts: try again in 1s"}`) {
			t.Fatalf("%d %v %s", got.Status, got.Header, got.Body)
		}
	}
	if n := len(h.entries()); n != 2 {
		t.Errorf("%d entries for three wrong passwords and one delay, want 2", n)
	}
}

type undecided struct{}

func (undecided) Decide(context.Context, *policy.Request, policy.Decision) (policy.Decision, error) {
	return policy.Decision{}, errors.New("connection refused at 10.1.2.3")
}

func TestOutageOfTheAuthorizerIsNotARefusal(t *testing.T) {
	h := newHarness(t, func(_ *server.Options, l *issuer.Live) { l.Authorizer = undecided{} })
	got := h.ask("GET", "/token?service=a.example.com&scope=repository:public/app:pull", "")
	if got.Status != 503 || got.Header.Get("Retry-After") == "" || strings.Contains(got.Body, "10.1.2.3") {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
}
