package issuer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// refuse keeps that there was no token, and why. It returns the refusal, or ErrNotKept in its place: with audit: strict
// a refusal without an entry would let somebody guess passwords unseen while the disk is full.
func (i *Issuer) refuse(ctx context.Context, live *generation, r *Request, now time.Time, refused error) error {
	err := i.keep(ctx, live, journal.Entry{
		Time:     now,
		Registry: r.Credentials.Registry,
		Decision: &journal.Decision{
			Name:    nameOf(r.Credentials),
			Remote:  r.Credentials.Remote,
			Client:  r.Credentials.Client,
			Ignored: r.Ignored,
			Refused: refusal(refused),
		},
	})
	if err != nil {
		return err
	}
	return refused
}

// nameOf is as much of a refused name as may be kept. Some clients are given a token as the name, as other
// services want it: that is a secret, whoever accepts it. A name longer than any is nobody's.
func nameOf(c identity.Credentials) string {
	return text.Shorten(strings.TrimSpace(secret.Redact(c.Name)), identity.MaxName)
}

// refusal says in the journal's words why somebody was not let in.
func refusal(err error) string {
	incomplete, isIncomplete := errors.AsType[*identity.IncompleteError](err)
	misplaced, isMisplaced := errors.AsType[*identity.MisplacedError](err)
	explained, isExplained := errors.AsType[*identity.ExplainedError](err)
	switch {
	case errors.Is(err, ErrSignIn):
		return "nothing was shown"
	case isIncomplete:
		return incomplete.Error()
	case isMisplaced:
		return misplaced.Error()
	case isExplained:
		return explained.Error()
	case errors.Is(err, identity.ErrRejected):
		if reason := identity.Reason(err); reason != "" {
			return "invalid credentials: " + reason
		}
		return "invalid credentials"
	case errors.Is(err, identity.ErrRateLimited):
		if limited, ok := errors.AsType[*identity.RateLimitedError](err); ok && limited.Checked {
			return "invalid credentials, and " + err.Error()
		}
		return "not looked at: " + err.Error()
	}
	return "unavailable: " + err.Error()
}

// mostShown is how much is shown of what a stranger sent, in bytes.
const mostShown = 100
