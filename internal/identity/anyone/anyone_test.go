package anyone_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/anyone"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
)

func TestAnyoneKeepsToTheContract(t *testing.T) {
	identitytest.Run(t, identitytest.Subject{
		Source: anyone.New(slog.New(slog.DiscardHandler)), Kind: identity.Password, Also: anyone.Kinds(), Name: "uname", Secret: "pwd",
	})
}

func TestAnyoneWarnsOnceAndLoudly(t *testing.T) {
	var log strings.Builder
	anyone.New(slog.New(slog.NewTextHandler(&log, nil)))
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "ANY NAME AND ANY PASSWORD") {
		t.Errorf("the log says %q", got)
	}
}

// In docker_auth, the account "*@x" became a pattern. In Tidewaiter, a name is never a pattern,
// even if it looks like a pattern.
func TestAnyoneTakesANameAsItIs(t *testing.T) {
	source := anyone.Source{}
	for _, name := range []string{"ann", "Ann", "*", "*@x", "a/b", "${user}", "user:ann", "Zoë", "山田", "a b", strings.Repeat("x", username.MaxLength)} {
		v, err := source.Authenticate(t.Context(), identity.NewPresented(name, "x"))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		want := &policy.Principal{Kind: policy.User, Name: name, Source: "anyone", ID: name}
		if diff := cmp.Diff(want, v.Principal); diff != "" {
			t.Errorf("%q (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{"", " ann", "ann ", "ann\u00a0", "an\nn", "an\x00n", "an\u200bn", "an\u202en", "\ufeffann", "ann\xff", strings.Repeat("x", username.MaxLength+1)} {
		if _, err := source.Authenticate(t.Context(), identity.NewPresented(name, "x")); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%q: %v, want %v", name, err, identity.ErrRejected)
		}
	}
}
