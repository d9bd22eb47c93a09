package issuer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// refuse records that no token was issued, and why. If isRecorded is true, the journal already has
// an equal entry. refuse returns the given error, or ErrNotRecorded if the refusal could not be
// recorded. If the config has audit: strict, a refusal is sent only after its journal entry is
// stored. Otherwise an attacker could guess passwords without a trace while the disk is full.
func (i *Issuer) refuse(ctx context.Context, live *generation, r *Request, now time.Time, refusal error, isRecorded bool) error {
	_, err := i.record(ctx, live, journal.Entry{
		Time:     now,
		Registry: r.Credentials.Registry,
		Decision: &journal.Decision{
			Name:    nameOf(r.Credentials),
			Remote:  r.Credentials.Remote,
			Client:  r.Credentials.Client,
			Ignored: r.Ignored,
			Refused: reason(refusal),
		},
	}, isRecorded)
	if err != nil {
		return err
	}
	return refusal
}

// RefuseSignIn records that a sign-in to the API was refused, and why. If it returns
// ErrNotRecorded, the refusal could not be recorded and must not be sent. Otherwise it returns
// the given error.
func (i *Issuer) RefuseSignIn(ctx context.Context, c identity.Presented, refusal error) error {
	live := i.live.Load()
	_, err := i.record(ctx, live, journal.Entry{Time: i.now(), Service: &journal.Service{
		Action: "session.refuse", Name: nameOf(c), Remote: c.Remote, Client: c.Client, Refused: reason(refusal),
	}}, live.isRecorded(refusal))
	if err != nil {
		return err
	}
	return refusal
}

// isRecorded reports whether the journal already has an entry that is equal to a refusal.
//
// A flood of requests must not fill the disk. So the journal gets one entry for each delay by the
// rate limits, and one per minute for each wrong secret. Further refusals are only counted. With
// strict audit, every checked credential gets an entry.
func (live *generation) isRecorded(refusal error) bool {
	return chain.AlreadyRecorded(refusal) && !(live.Strict && errors.Is(refusal, identity.ErrRejected))
}

// nameOf returns the part of a refused name that may be stored. Some clients send a token as the
// name, because other services require a token there. Such a token is a secret, even if it is for
// another service, so it is not stored. No user has a name longer than the stored part.
func nameOf(c identity.Presented) string {
	return secret.Shorten(strings.TrimSpace(c.Name), username.MaxLength)
}

// reason returns the reason of a refusal for the journal.
func reason(err error) string {
	incomplete, isIncomplete := errors.AsType[*identity.IncompleteError](err)
	misplaced, isMisplaced := errors.AsType[*identity.MisplacedError](err)
	explained, isExplained := errors.AsType[*identity.ExplainedError](err)
	switch {
	case errors.Is(err, ErrSignIn):
		return "no credentials were presented"
	case isIncomplete:
		return incomplete.Error()
	case isMisplaced:
		return misplaced.Error()
	case isExplained:
		return explained.Error()
	case errors.Is(err, identity.ErrRejected):
		if detail := identity.Reason(err); detail != "" {
			return "invalid credentials: " + detail
		}
		return "invalid credentials"
	case errors.Is(err, identity.ErrRateLimited):
		// Omit the time until the next attempt, so that equal refusals have equal reasons.
		if limited, ok := errors.AsType[*ratelimit.Error](err); ok && limited.Checked {
			return "invalid credentials, and " + identity.ErrRateLimited.Error()
		}
		return "not checked: " + identity.ErrRateLimited.Error()
	}
	return "unavailable: " + err.Error()
}

// maxShown is the maximum length, in bytes, of a client's text in an error for the user.
const maxShown = 100
