// Package journal answers: what happened?
//
// The journal is an append-only sequence of entries: decisions, events, changes, and text that was
// posted where events belong. Entries are kept in blocks, one row for each group commit, and each block
// carries the SHA-256 over its content and the block before it. Append returns when the entry is
// durable; Record returns at once. One head row, updated in the block's transaction, gives an order
// without gaps.
package journal

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var (
	// ErrFull means that Record found the queue full: the entry is not kept, and counted as lost.
	ErrFull = errors.New("the journal's queue is full")
	// ErrClosed means that the journal was closed before the entry was taken.
	ErrClosed = errors.New("the journal is closed")
)

// Position is a place in the journal: the number of an entry, from 1, without gaps.
type Position int64

// ID names an entry: a UUID of version 7. A decision's id is the jti of a token signed for it.
type ID [16]byte

// Entry is one thing that happened. Exactly one of Decision, Event, Change and Text is set.
type Entry struct {
	Position Position  // set by the journal
	ID       ID        // zero: the journal makes one
	Time     time.Time // zero: the journal's now
	Registry string    // service name; "" if it concerns none
	Decision *Decision
	Event    *notification.Event
	Change   *Change
	Text     []byte // a body that was no envelope, at most 4 KiB of it
}

// Decision is the answer to a token request, with all that it was made from.
type Decision struct {
	Principal  *policy.Principal // nil when nobody was proved
	Name       string            // the name that was shown, when it was refused
	Credential string            // identity.Verified.Credential
	Remote     netip.Addr
	Client     string
	Results    []policy.Result // read back, a rule has only its Name and Origin
	Ignored    []scope.Ignored
	Policy     string // policy.Policy.ID
	Token      ID     // jti of the token that was handed out: this entry's id, or an earlier one's
	Refused    string // why there was no token: "unknown or wrong", "unavailable: …"; "" if there was
}

// Change is what an administrator altered.
type Change struct {
	Actor  string // who
	Action string // "user.disable"
	Target string
	From   map[string]any // never a secret
	To     map[string]any
}

// Reader is a face of Journal for those who only read.
type Reader interface {
	Read(ctx context.Context, after Position) iter.Seq2[Entry, error]
}
