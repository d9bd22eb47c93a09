// Package identity answers: who is asking?
//
// A source (htpasswd, a directory, an OpenID provider …) is an Authenticator. A Chain asks its
// sources in order, local ones first, and hands out the principal of the first that knows the
// name. A wrong password never falls through to the next source, and an outage is never a refusal.
//
// A principal's name is canonical: spelled as its source spells it, whatever the client typed. A
// source that compares names loosely, as directories do with case and spaces, answers with its own
// spelling; one that compares them exactly, as htpasswd does, knows no other. So "ALICE" is either
// alice in every rule, or nobody. Nothing here folds, trims or normalizes a name, and a name is
// never a pattern: somebody may be called "*".
package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

var (
	// ErrUnknown means that a source does not know the name: the next one may be asked.
	ErrUnknown = errors.New("unknown name")
	// ErrRejected means that the credential is wrong, disabled or expired: nobody else is asked.
	// What the client is told is the same for ErrUnknown and ErrRejected.
	ErrRejected = errors.New("credential rejected")
	// ErrNeverValid is an ErrRejected that no change of a source can undo, short of another
	// configuration. It is for what cannot be guessed: for a minute, nobody verifies the same
	// again.
	ErrNeverValid = fmt.Errorf("%w for good", ErrRejected)
)

// IncompleteError means that a credential is right, and that the groups or the claims of its
// holder cannot be known completely. A deny may be for one of those that are missing, so that
// nobody is let in with fewer. It is an ErrRejected, and no outage: it is the same the next time,
// and concerns one person.
//
// The holder, who has proved to be who he is, may be told the reason; it holds no secret.
type IncompleteError struct {
	Claims bool   // it is the claims that are not all known
	Reason string // a sentence's end: "the token names more groups elsewhere (hasgroups)"
}

// Incomplete returns an IncompleteError.
func Incomplete(format string, args ...any) error {
	return &IncompleteError{Reason: fmt.Sprintf(format, args...)}
}

// IncompleteClaims returns an IncompleteError about claims.
func IncompleteClaims(format string, args ...any) error {
	return &IncompleteError{Claims: true, Reason: fmt.Sprintf(format, args...)}
}

// Error says it for the holder, the log and the journal.
func (e *IncompleteError) Error() string {
	if e.Claims {
		return "not all claims are known: " + e.Reason
	}
	return "not all groups are known: " + e.Reason
}

// Is makes it an ErrRejected, too.
func (e *IncompleteError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it

// ExplainedError is an ErrRejected of a credential that is genuine: its issuer signed it, or we
// handed it out. So its holder may be told why it is refused. Whoever presents a forged one is
// told what every stranger is told.
type ExplainedError struct {
	What   string // "the ID token", "the access token"
	Reason string // a sentence's end: "it has expired, at 2026-11-29T12:00:00Z"

	// Person is the id of who the credential is for, if it is they who are refused, and not this
	// one credential of theirs; "" otherwise.
	Person string
}

// Error says it for the holder, the log and the journal.
func (e *ExplainedError) Error() string { return e.What + " is refused: " + e.Reason }

// Is reports that it is an ErrRejected.
func (e *ExplainedError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it

// Kind is the shape of what was shown, decided once.
type Kind uint8

// The kinds of credentials.
const (
	None         Kind = iota // nothing was shown: anonymous
	Password                 // a name and a password
	IDToken                  // a JWT in place of the password: never offered to a directory
	AccessToken              // a secret that Tidewaiter handed out: never offered to a directory
	RefreshToken             // by grant_type=refresh_token, or in place of the password
	Session                  // the cookie of somebody who signed in with a browser
	Misplaced                // a token inside something else, as in quotes: refused, and never offered to anybody
)

// CredentialIDToken is what Verified.Credential calls an ID token.
const CredentialIDToken = "ID token"

// Credentials is what a client showed, and from where.
type Credentials struct {
	Kind     Kind
	Name     string
	Secret   Secret
	Registry string     // service name
	Remote   netip.Addr // of the client; invalid: not known
	Peer     netip.Addr // at the other end of the connection, where Remote is not known: a proxy
	Client   string

	// KnownPlace means that the name has signed in from Remote before. Whoever decides about rate
	// limits sets it, before the sources see the credentials: a password from there is checked
	// before others.
	KnownPlace bool
}

// CountedAt is the address whose limits an attempt counts against. Clients of whom a proxy tells
// no address share the proxy's, so that hiding is no way round a limit.
func (c *Credentials) CountedAt() netip.Addr {
	if c.Remote.IsValid() {
		return c.Remote
	}
	return c.Peer
}

// Verified is who somebody proved to be.
type Verified struct {
	Principal  *policy.Principal
	Credential string    // which one it was, for the journal: "password", "token:laptop"; never a secret
	Until      time.Time // a token must not outlive it by more than its own short life; zero: no say
	Generation string    // of the password that was right, see Generations; "": the source cannot tell
}

// Explainer is a source that can say why it does not know a credential that is not guessed: an
// ErrRejected if it is for this source and refused, as an ID token for another audience, and
// otherwise an ErrUnknown, perhaps with a Reason. It is asked only when no source knows the
// credential, since saying so costs as much as verifying it.
type Explainer interface {
	Explain(ctx context.Context, c Credentials) error
}

// Authenticator is a source. Authenticate may be called from any goroutine and honours ctx. It
// returns ErrUnknown (ask the next), ErrRejected (stop), or another error, which is an outage.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (Verified, error)
}

// Finder looks a principal up without a credential: for refresh tokens and explain. ErrUnknown
// means that there is none (any more), and the next source may be asked. ErrRejected means that
// the name is one of its own, of somebody who cannot sign in: nobody else is asked, as with
// Authenticate, so that a namesake elsewhere does not become who was disabled here.
type Finder interface {
	Find(ctx context.Context, name, id string) (*policy.Principal, error)
}

// Has reports whether a source has a name: of somebody who can sign in, or who cannot. An error is an outage.
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

// Lister is a source that can list who is in a group.
type Lister interface {
	Finder
	Members(group string) []*policy.Principal // in the order of their names
}

// Generations is a Finder that can tell somebody's password from the next one: by its hash, or by
// when it was changed. What was handed out in exchange for a password ends when the generation
// becomes another. FindGeneration is Find, and says it beside; "" if it cannot tell. A generation
// is not shown to anybody, and helps nobody to guess the password.
type Generations interface {
	FindGeneration(ctx context.Context, name, id string) (who *policy.Principal, generation string, err error)
}

// Rejected returns an ErrRejected that carries the true reason, for the log and the journal. Its
// text is that of ErrRejected: the client is told the same for every reason.
func Rejected(reason string) error { return &rejectedError{ErrRejected, reason} }

// NeverValid is Rejected for an ErrNeverValid.
func NeverValid(reason string) error { return &rejectedError{ErrNeverValid, reason} }

// Unknown is Rejected for an ErrUnknown: why a source does not know a credential that is not guessed.
func Unknown(reason string) error { return &rejectedError{ErrUnknown, reason} }

// Reason returns why a credential was rejected, as far as its source told: "the password is
// wrong", "it is disabled". It is for the log and the journal, never for the client.
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

// DisabledError means that somebody is known by that name who cannot sign in. From a source it is
// an ErrRejected. A chain wraps it together with ErrUnknown, for who only asks whether there is
// somebody.
type DisabledError struct {
	Why  string // "it is disabled", "accountExpires has passed"
	Told bool   // whoever presents a token of theirs may be told why: it says what to do
}

func (e *DisabledError) Error() string { return e.Why }

// Is reports that it is an ErrRejected.
func (e *DisabledError) Is(target error) bool { return target == ErrRejected } //nolint:errorlint // as errors.Is wants it
