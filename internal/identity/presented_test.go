package identity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
)

// What is refused before any source is asked says why, with its bound: in the log and the journal,
// not to the client.
func TestWhatIsNotLookedAtSaysWhy(t *testing.T) {
	fake := &identitytest.Fake{}
	chain := identity.NewChain(identity.Options{Sources: []identity.Source{{Name: "all", Authenticator: fake, Kinds: []identity.Kind{
		identity.Password, identity.IDToken, identity.AccessToken, identity.RefreshToken, identity.Session,
	}}}})
	const token = "eyJhbGciOiJFUzI1NiJ9."
	for _, tt := range []struct {
		what        string
		credentials identity.Credentials
		want        string
	}{
		{"an ID token", identity.NewCredentials("x", token+strings.Repeat("x", 20_000)), "what looks like an ID token has 20021 bytes, and 16384 are the most"},
		{"an ID token behind blanks", identity.NewCredentials("x", " \n"+token+strings.Repeat("x", 20_000)), "what looks like an ID token has 20023 bytes, and 16384 are the most"},
		{"an ID token as a refresh token", identity.NewRefresh(token + strings.Repeat("x", 20_000)), "what looks like an ID token has 20021 bytes, and 16384 are the most"},
		{"an ID token, however it came", identity.Credentials{Kind: identity.IDToken, Secret: identity.NewSecret(strings.Repeat("x", 20_000))}, "the ID token has 20000 bytes, and 16384 are the most"},
		{"a password", identity.NewCredentials("x", strings.Repeat("x", 5000)), "the secret has 5000 bytes, and 4096 are the most"},
		{"a long password", identity.NewCredentials("x", strings.Repeat("x", 50_000)), "the secret has 50000 bytes, and 4096 are the most"},
		{"a session", identity.NewSession(strings.Repeat("x", 5000)), "the secret has 5000 bytes, and 4096 are the most"},
		{"a NUL", identity.NewCredentials("x", "pass\x00word"), "the secret has a NUL in it"},
		{"no password", identity.NewCredentials("x", ""), "no password was sent"},
		{"no refresh token", identity.NewRefresh(""), "no password was sent"},
		{"no name", identity.NewCredentials("", "password"), "a password was sent without a name"},
		{"a long name", identity.NewCredentials(strings.Repeat("x", 300), "password"), "the name has 300 bytes, and 256 are the most"},
		{"an odd name", identity.NewCredentials("a\nb", "password"), "the name is no UTF-8, or has a control character in it"},
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

// An ID token is taken for what it is where a client sends it as a refresh token. Nothing else
// there becomes another credential, and least of all a password.
func TestWhatIsSentAsARefreshToken(t *testing.T) {
	for _, tt := range []struct {
		sent string
		want identity.Kind
	}{
		{"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", identity.IDToken},
		{" eyJhbGciOiJFUzI1NiJ9.e30.AAAA\n", identity.IDToken},
		{`"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"`, identity.Misplaced},
		{own('r'), identity.RefreshToken},
		{own('a'), identity.RefreshToken}, // which no access token is
		{own('b'), identity.RefreshToken},
		{"a password", identity.RefreshToken},
		{strings.Repeat("x", 20_000), identity.RefreshToken},
		{"", identity.RefreshToken},
	} {
		if got := identity.NewRefresh(tt.sent).Kind; got != tt.want {
			t.Errorf("%.40q is of the kind %d, want %d", tt.sent, got, tt.want)
		}
	}
}
