package chain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
)

// If credentials are refused before any source is asked, the log and the journal have the reason
// and the limit. The client does not get the reason and the limit.
func TestWhatIsNotLookedAtSaysWhy(t *testing.T) {
	fake := &identitytest.Fake{}
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "all", Authenticator: fake, Kinds: []identity.Kind{
		identity.Password, identity.IDToken, identity.AccessToken, identity.RefreshToken, identity.Session,
	}}}})
	const token = "eyJhbGciOiJFUzI1NiJ9."
	for _, tt := range []struct {
		what        string
		credentials identity.Presented
		want        string
	}{
		{"an ID token", identity.NewPresented("x", token+strings.Repeat("x", 20_000)), "what looks like an ID token has 20021 bytes; the limit is 16384"},
		{"an ID token after blanks", identity.NewPresented("x", " \n"+token+strings.Repeat("x", 20_000)), "what looks like an ID token has 20023 bytes; the limit is 16384"},
		{"an ID token as a refresh token", identity.NewRefresh(token + strings.Repeat("x", 20_000)), "what looks like an ID token has 20021 bytes; the limit is 16384"},
		{"an ID token, classified by the caller", identity.Presented{Kind: identity.IDToken, Secret: identity.NewSecret(strings.Repeat("x", 20_000))}, "the ID token has 20000 bytes; the limit is 16384"},
		{"a password", identity.NewPresented("x", strings.Repeat("x", 5000)), "the secret has 5000 bytes; the limit is 4096"},
		{"a long password", identity.NewPresented("x", strings.Repeat("x", 50_000)), "the secret has 50000 bytes; the limit is 4096"},
		{"a session", identity.NewSession(strings.Repeat("x", 5000)), "the secret has 5000 bytes; the limit is 4096"},
		{"a NUL", identity.NewPresented("x", "pass\x00word"), "the secret contains a NUL"},
		{"no password", identity.NewPresented("x", ""), "no password was sent"},
		{"no refresh token", identity.NewRefresh(""), "no password was sent"},
		{"no name", identity.NewPresented("", "password"), "a password was sent without a name"},
		{"a long name", identity.NewPresented(strings.Repeat("x", 300), "password"), "the name has 300 bytes; the limit is 256"},
		{"an invalid name", identity.NewPresented("a\nb", "password"), "the name is not UTF-8, or contains a control character"},
	} {
		_, err := chain.Authenticate(t.Context(), tt.credentials)
		if got := identity.Reason(err); !errors.Is(err, identity.ErrRejected) || got != "not looked at: "+tt.want || err.Error() != identity.ErrRejected.Error() {
			t.Errorf("%s: %v: %s", tt.what, err, got)
		}
	}
	if asked := fake.Asked(); len(asked) != 0 {
		t.Errorf("the source was asked: %v", asked)
	}
}
