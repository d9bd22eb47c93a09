package identity_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// If a client sends an ID token as a refresh token, it is accepted as an ID token. Any other
// text in this place stays a refresh token, and never becomes a password.
func TestWhatIsSentAsARefreshToken(t *testing.T) {
	for _, tt := range []struct {
		sent string
		want identity.Kind
	}{
		{"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", identity.IDToken},
		{" eyJhbGciOiJFUzI1NiJ9.e30.AAAA\n", identity.IDToken},
		{`"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"`, identity.Misplaced},
		{ownSecret('r'), identity.RefreshToken},
		{ownSecret('a'), identity.RefreshToken}, // access tokens are not accepted as refresh tokens
		{ownSecret('b'), identity.RefreshToken},
		{"a password", identity.RefreshToken},
		{strings.Repeat("x", 20_000), identity.RefreshToken},
		{"", identity.RefreshToken},
	} {
		if got := identity.NewRefresh(tt.sent).Kind; got != tt.want {
			t.Errorf("%.40q is of the kind %d, want %d", tt.sent, got, tt.want)
		}
	}
}
