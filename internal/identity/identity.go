// Package identity defines identity sources: the credential that a client presents, the result of
// a source, and the errors of a source.
//
// An identity source (htpasswd, a directory, an OpenID provider …) is an Authenticator. It turns
// a credential into a principal. Package chain asks several sources.
//
// A principal's name is canonical: the source's spelling, not the client's. A source that ignores
// case and spaces, as directories do, returns its own spelling. A source that compares names
// exactly, like htpasswd, knows no other spelling. So "ALICE" is either alice in every rule, or
// unknown. This package does not change, trim or normalize a name. A name is never a pattern: a
// user can be called "*".
package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

var (
	// ErrUnknown means that a source does not know the name. The chain then asks the next
	// source.
	ErrUnknown = errors.New("unknown name")
	// ErrRejected means that the credential is wrong, disabled or expired. No other source is
	// asked. Clients get the same response for ErrUnknown and ErrRejected.
	ErrRejected = errors.New("credential rejected")
	// ErrNeverValid is an ErrRejected for a credential that cannot be guessed and cannot become
	// valid until the configuration changes. Such a credential is not verified again for a
	// minute.
	ErrNeverValid = fmt.Errorf("%w for good", ErrRejected)
	// ErrUnavailable means that a source that must be asked is down or too busy. An error that
	// wraps ErrUnavailable also wraps the error of the source, and names the source.
	ErrUnavailable = errors.New("identity source unavailable")
	// ErrRateLimited means that too many attempts failed. Every error that wraps ErrRateLimited is
	// a *ratelimit.Error. If a password is refused with this error, the password was not checked,
	// so it can be correct.
	ErrRateLimited = ratelimit.ErrLimited
)

// IncompleteError means that a credential is valid, but some groups or claims of its owner are
// possibly missing. There can be a deny rule for a missing group or claim, so the owner is
// refused. The error is an ErrRejected and not an outage, because the condition is permanent and
// concerns only one principal.
//
// The owner of the credential may see the reason, which contains no secret.
type IncompleteError struct {
	Claims bool   // claims are possibly missing; false: groups are possibly missing
	Reason string // the end of a sentence: "the token names more groups elsewhere (hasgroups)"
}

// Incomplete returns an IncompleteError about groups.
func Incomplete(format string, args ...any) error {
	return &IncompleteError{Reason: fmt.Sprintf(format, args...)}
}

// Error returns a text for the owner of the credential, the log and the journal.
func (e *IncompleteError) Error() string {
	if e.Claims {
		return "not all claims are known: " + e.Reason
	}
	return "not all groups are known: " + e.Reason
}

// Is reports whether target is ErrRejected.
func (e *IncompleteError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it

// ExplainedError is an ErrRejected for a genuine credential: its issuer signed it, or Tidewaiter
// issued it. So the owner of the credential may see the reason. For a forged credential, clients
// get the common response.
type ExplainedError struct {
	What   string // "the ID token", "the access token"
	Reason string // the end of a sentence: "it has expired, at 2026-11-29T12:00:00Z"

	// Person is the id of the owner if every credential of the owner would be refused. It is "" if
	// only this credential is refused.
	Person string
}

// Error returns a text for the owner of the credential, the log and the journal.
func (e *ExplainedError) Error() string { return e.What + " is refused: " + e.Reason }

// Is reports whether target is ErrRejected.
func (e *ExplainedError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it

// Kind is the kind of the presented credentials. The kind follows from the form of the credentials
// (see classify), or from their place in the request.
type Kind uint8

// The kinds of credentials.
const (
	None         Kind = iota // no credentials: anonymous
	Password                 // a name and a password
	IDToken                  // a JWT instead of the password; never sent to a directory
	AccessToken              // a secret that Tidewaiter issued; never sent to a directory
	RefreshToken             // with grant_type=refresh_token, or instead of the password
	Session                  // the cookie of a browser session
	Misplaced                // a token inside other text, as in quotes; never sent to a source
)

// CredentialIDToken is the value of Verified.Credential for an ID token.
const CredentialIDToken = "ID token"

// Presented is a credential that a client presented, with the origin of the request.
type Presented struct {
	Kind     Kind
	Name     string
	Secret   Secret
	Registry string     // service name
	Remote   netip.Addr // the client's address; invalid: unknown
	Peer     netip.Addr // if Remote is unknown: the proxy at the other end of the connection
	Client   string

	// KnownPlace means that the name has signed in from Remote before. The rate limiter sets it
	// before sources see the credentials. Passwords from known places are checked before
	// passwords from unknown places.
	KnownPlace bool
}

// CountedAt returns the address whose limits apply to an attempt. If a proxy does not report the
// client's address, this is the proxy's address. So a client cannot bypass a limit by hiding its
// address.
func (c *Presented) CountedAt() netip.Addr {
	if c.Remote.IsValid() {
		return c.Remote
	}
	return c.Peer
}

// Verified is the result of a successful authentication.
type Verified struct {
	Principal  *policy.Principal
	Credential string    // for the journal: "password", "token:laptop"; never a secret
	Until      time.Time // when the credential expires; zero: never
	Generation string    // generation of the password (chain.Generations); "": unknown
}

// Authenticator is an identity source. Authenticate may be called from any goroutine and
// respects ctx. It returns ErrUnknown (ask the next source), ErrRejected (stop), or another
// error, which means an outage.
type Authenticator interface {
	Authenticate(ctx context.Context, c Presented) (Verified, error)
}

// Source is an Authenticator in a chain. The Authenticator can also implement Finder and the
// interfaces of package chain.
type Source struct {
	Name string // as in principals and errors: "htpasswd", "ldap:corp"
	Authenticator
	Remote bool   // asked only when no local source knows the name
	Kinds  []Kind // the accepted kinds of credentials; empty: only Password
}

// Finder finds a principal without a credential. It is used for refresh tokens and for the command
// explain. ErrUnknown means that there is no such principal now, and the chain asks the next
// source. ErrRejected means that the source knows the name, but the principal cannot sign in.
// After ErrRejected, no other source is asked, because a principal of the same name in another
// source must not replace a principal that was disabled in this source.
type Finder interface {
	Find(ctx context.Context, name, id string) (*policy.Principal, error)
}

// Has reports whether a source knows a name, even if the user with this name cannot sign in. An
// error is an outage.
func Has(ctx context.Context, f Finder, name string) (bool, error) {
	switch _, err := f.Find(ctx, name, ""); {
	case err == nil, errors.Is(err, ErrRejected):
		return true, nil
	case errors.Is(err, ErrUnknown):
		return false, nil
	default:
		return false, err
	}
}

// Rejected returns an ErrRejected with the true reason, for the log and the journal. The error has
// the text of ErrRejected, so that clients get the same response for every reason.
func Rejected(reason string) error { return WithReason(ErrRejected, reason) }

// WithReason returns err with a reason, as Rejected does. The error must be ErrRejected,
// ErrNeverValid or ErrUnknown. For an ErrUnknown, the reason explains why a source does not
// know a credential that cannot be guessed.
func WithReason(err error, reason string) error { return &rejectedError{err, reason} }

// Reason returns the reason why a credential was rejected, if the source has given a reason: "the
// password is wrong", "it is disabled". The reason is for the log and the journal, never for the
// client.
func Reason(err error) string {
	if e, ok := errors.AsType[*rejectedError](err); ok {
		return e.reason
	}
	if e, ok := errors.AsType[*DisabledError](err); ok {
		return e.Why
	}
	return ""
}

type rejectedError struct {
	kind   error // ErrRejected, ErrNeverValid or ErrUnknown
	reason string
}

func (e *rejectedError) Error() string {
	if errors.Is(e.kind, ErrUnknown) {
		return ErrUnknown.Error()
	}
	return ErrRejected.Error()
}
func (e *rejectedError) Unwrap() error { return e.kind }

// DisabledError means that the source knows the name, but the principal cannot sign in. A
// source returns it as an ErrRejected. The error of chain.Find wraps both ErrUnknown and a
// DisabledError.
type DisabledError struct {
	Why  string // "it is disabled", "accountExpires has passed"
	Told bool   // clients that present a token of the principal may see the text Why
}

func (e *DisabledError) Error() string { return e.Why }

// Is reports whether target is ErrRejected.
func (e *DisabledError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it
