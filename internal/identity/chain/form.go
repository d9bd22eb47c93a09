package chain

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// checkPlace returns a MisplacedError for a token in the wrong place, or nil.
func checkPlace(c *identity.Presented) error {
	if c.Kind == identity.Misplaced {
		return c.CheckPassword()
	}
	if len(c.Name) > username.MaxLength {
		return nil
	}
	f, ok := secret.Find(c.Name)
	if !ok {
		return nil
	}
	return &identity.MisplacedError{Field: "name", What: f.Describe(c.Name)}
}

// reasonToRefuse returns the reason why c is refused without asking a source, or "". The result
// depends only on c, so an immediate refusal does not reveal which names exist.
func reasonToRefuse(c *identity.Presented) string {
	text, limit, what := c.Secret.Reveal(), identity.MaxSecret, "the secret"
	switch {
	case c.Kind == identity.IDToken:
		limit, what = identity.MaxToken, "the ID token"
	case len(text) > identity.MaxToken && strings.HasPrefix(strings.TrimSpace(text[:identity.MaxToken]), "eyJ"):
		limit, what = identity.MaxToken, "what looks like an ID token" // too long to be classified
	}
	switch {
	case text == "":
		return "no password was sent"
	case len(text) > limit:
		return fmt.Sprintf("%s has %d bytes; the limit is %d", what, len(text), limit)
	case strings.IndexByte(text, 0) >= 0:
		return what + " contains a NUL"
	case c.Kind == identity.Password && c.Name == "":
		return "a password was sent without a name"
	case len(c.Name) > username.MaxLength:
		return fmt.Sprintf("the name has %d bytes; the limit is %d", len(c.Name), username.MaxLength)
	case !wellFormedName(c.Name):
		return "the name is not UTF-8, or contains a control character"
	}
	return ""
}

// wellFormedName reports whether a name is short enough, is UTF-8, and has no control
// characters, which would break log lines and directory queries.
func wellFormedName(name string) bool {
	return len(name) <= username.MaxLength && text.OneLine(name)
}
