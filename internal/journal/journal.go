// Package journal answers: what happened?
//
// The journal is an append-only sequence of entries: decisions, events, changes, and text that was
// posted where events belong. Entries are kept in blocks, up to a few hundred in a row of the database, and each block
// carries the SHA-256 over its content and the block before it. Append returns when the entry is
// durable; Record returns at once. One head row, updated in the block's transaction, gives an order
// without gaps, over all processes that share the database.
//
// Times are kept to the microsecond, and text as UTF-8: a byte that is none becomes U+FFFD. No entry has a
// place for a secret.
package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var (
	// ErrFull means that Record found the queue full: the entry is not kept, and counted as lost.
	ErrFull = errors.New("the journal's queue is full")
	// ErrClosed means that the journal was closed before the entry was taken.
	ErrClosed = errors.New("the journal is closed")
	// ErrNotFound means that no entry bears the id.
	ErrNotFound = errors.New("there is no such entry in the journal")
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
	Policy     string    // policy.Policy.ID
	Token      ID        // jti of the token that was handed out: this entry's id, or an earlier one's
	Expires    time.Time // of that token, in whole seconds; zero: there was none, or it is not known
	Refused    string    // why there was no token: "unknown or wrong", "unavailable: …"; "" if there was
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

// Options are the settings of a Journal. The zero value is ready to use.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged

	// MaxEntries and MaxBytes bound the queue: Record refuses and Append waits when either is reached.
	// 0: 32768 entries, 8 MiB.
	MaxEntries int
	MaxBytes   int

	// Linger is how long a recorded entry may wait for company, so that a block is worth its
	// commit. Append never waits for it. 0: 20 ms; negative: not at all.
	Linger time.Duration

	// Observe is given the entries of each commit, in order, after it is durable and acknowledged; those of
	// AppendTx excepted, since their transaction is the caller's. It is called by the one goroutine that writes, which waits
	// for it. It must not keep the slice.
	Observe func([]Entry)

	// Wait is called by Follow between looks at the journal, and ends with ctx. nil: 250 ms.
	Wait func(ctx context.Context) error
}

// Stats are numbers about a Journal since New.
type Stats struct {
	Queued     int       // entries that wait now
	Written    int64     // entries that were kept
	Repeats    int64     // events that were kept before
	Lost       int64     // entries of Record that the queue had no room for, or whose block failed
	Blocks     int64     // rows
	Commits    int64     // transactions
	LastCommit time.Time // zero: none yet
	LastError  error     // of the last transaction; nil if it succeeded
}

// Journal is the durable record of what happened. Its methods may be called from any goroutine.
type Journal struct {
	db    *store.DB
	o     Options
	queue *queue
	write func(ctx context.Context, topic string, f func(*sql.Tx) error) error // db.Write; tests put faults here

	stop    context.CancelFunc // gives up writing
	stopped chan struct{}      // closed when the writer has ended

	mu    sync.Mutex
	stats Stats
}

// New returns a Journal that keeps its entries in db. End it with Close.
func New(db *store.DB, o Options) (*Journal, error) {
	if db == nil {
		return nil, errors.New("opening the journal: it needs a database")
	}
	o.Now = clock.Wall(o.Now)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Linger == 0 {
		o.Linger = 20 * time.Millisecond
	}
	if o.Wait == nil {
		o.Wait = pause
	}
	o.MaxEntries = cmp.Or(max(o.MaxEntries, 0), 32768)
	o.MaxBytes = cmp.Or(max(o.MaxBytes, 0), 8<<20)

	ctx, stop := context.WithCancel(context.Background())
	j := &Journal{
		db:      db,
		o:       o,
		queue:   newQueue(o.MaxEntries, o.MaxBytes),
		write:   db.Write,
		stop:    stop,
		stopped: make(chan struct{}),
	}
	go j.run(ctx)
	return j, nil
}

// Append keeps entries, all or none, and returns nil when they are durable. An event that bears the id of an earlier one from the
// same registry, within 30 days, is a repeat: it is not kept again, and that is success.
//
// While the queue is full Append waits. The error is ErrClosed, ctx's, or what kept the block from being written.
// After ctx's error or a failed write the entries may have been kept all the same; events can be appended again without harm.
//
// It must not be called within a transaction of the same database: see AppendTx.
func (j *Journal) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	entries = slices.Clone(entries) // the caller's stay as they are
	for i := range entries {
		j.complete(&entries[i])
	}
	done, err := j.queue.append(ctx, entries)
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Record keeps an entry some time soon, and never waits. It returns ErrFull or ErrClosed if it does not take the entry.
// What it took is lost if its block can't be written. Whatever is lost is counted, logged, and noted in the journal
// itself as a change with the action "journal.lost", as soon as writing works.
func (j *Journal) Record(entry Entry) error {
	j.complete(&entry)
	err := j.queue.record(&entry)
	if errors.Is(err, ErrFull) {
		j.mu.Lock()
		j.stats.Lost++
		j.mu.Unlock()
	}
	return err
}

// AppendTx keeps entries within the caller's transaction: they are durable if and when it is committed. Until then
// nobody else's blocks can be written, so it belongs at the transaction's end.
func (j *Journal) AppendTx(ctx context.Context, tx *sql.Tx, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	entries = slices.Clone(entries)
	for i := range entries {
		j.complete(&entries[i])
	}
	// A builder of its own: what the writer's remembers as stored must be committed.
	_, _, err := newBuilder(maxBlockEntries, maxBlockBytes).write(ctx, tx, j.o.Now(), entries)
	return err
}

// complete sets what the caller left open, takes out secrets, and brings the rest to the form in which it is read back.
func (j *Journal) complete(entry *Entry) {
	if entry.Time.IsZero() {
		entry.Time = j.o.Now()
	}
	entry.Time = entry.Time.UTC().Truncate(time.Microsecond)
	if entry.ID.IsZero() {
		entry.ID = NewID(entry.Time)
	}
	redact(entry)
	if len(entry.Text) > maxText {
		entry.Text = entry.Text[:maxText:maxText]
	}
}

const maxText = 4 << 10 // bytes

// Stats returns the numbers of now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	stats := j.stats
	stats.Queued = j.queue.len()
	return stats
}

// Close writes what is queued, ends the writer, and returns nil when both are done. Append and Record then return ErrClosed.
// If ctx ends first, the rest is given up, and Close returns ctx's error.
func (j *Journal) Close(ctx context.Context) error {
	j.queue.close()
	select {
	case <-j.stopped:
		return nil
	case <-ctx.Done():
	}
	j.stop()
	<-j.stopped // soon: each write ends with the context
	return fmt.Errorf("closing the journal: %w", ctx.Err())
}
