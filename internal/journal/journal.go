// Package journal is the durable audit log. It records which requests were granted or refused,
// which events registries reported, and which changes administrators made.
//
// The journal is an append-only sequence of entries. An entry is a decision, an event, a change,
// or an incident of the service itself. It can also be a body that was posted to the events
// endpoint, but is not an event. Entries are stored in blocks of up to maxBlockEntries entries,
// one block per database row. Each block has a SHA-256 hash over its content and the previous
// block's hash. Append returns when the entry is durable. Record returns immediately. The block's
// transaction also updates a single row, the head. Because of the head, the blocks of all
// processes that share the database have one order without gaps.
//
// Times are stored in microseconds. Text is stored as UTF-8: each invalid byte becomes U+FFFD.
// No entry has a field for a secret.
package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var (
	// ErrFull means that Record found the queue full. The entry is dropped and counted as lost.
	ErrFull = errors.New("the journal's queue is full")
	// ErrClosed means that the journal was closed before it accepted the entry.
	ErrClosed = errors.New("the journal is closed")
	// ErrNotFound means that no entry has the id.
	ErrNotFound = errors.New("there is no such entry in the journal")
)

// Position is the number of an entry in the journal: from 1, without gaps.
type Position int64

// ID identifies an entry: a UUID of version 7. A decision's id is the jti of the token signed
// for it.
type ID [16]byte

// Entry is one thing that happened. Exactly one of Decision, Event, Change, Service and Text is
// set.
type Entry struct {
	Position Position  // set by the journal
	ID       ID        // zero: set by the journal
	Time     time.Time // zero: set by the journal
	Registry string    // service name; "" if the entry concerns no registry
	Decision *Decision
	Event    *notification.Event
	Change   *Change
	Service  *Service
	Text     []byte // up to 4 KiB of a posted body that is not an event envelope
}

// Decision is the answer to a token request, with all facts on which the answer is based.
type Decision struct {
	Principal  *policy.Principal // nil if nobody was authenticated
	Name       string            // the name that was presented, if it was refused
	Credential string            // identity.Verified.Credential
	Remote     netip.Addr
	Client     string
	// A rule that is read back has only its Name and Origin.
	Results []policy.Result
	Ignored []scope.Ignored
	Policy  string    // policy.Policy.ID
	Token   ID        // jti of the issued token: this entry's id, or an earlier entry's
	Expires time.Time // end of the token, in whole seconds; zero: no token, or unknown
	// Refused is the reason why no token was issued: "invalid credentials", "unavailable: …". "":
	// a token was issued.
	Refused string
	Repeats *Repeats // set if the entry stands for several equal refusals; see RecordRefusal
}

// Change is a change that an administrator made.
type Change struct {
	Actor  string // who made it
	Action string // "user.disable"
	Target string
	From   map[string]any // never a secret
	To     map[string]any
}

// Service is something that happened to the service itself: a start, a reload, a new key, a
// sign-in to the API, a refused notification.
type Service struct {
	Action  string         // "service.start"; see serviceWords
	Target  string         // a version, a file, a certificate
	Actor   string         // who signed in: "user:ann"; "" for other actions
	Name    string         // the name that was presented, if the sign-in was refused
	Remote  netip.Addr     // of the client
	Client  string         // of the client
	Refused string         // the reason of a refusal; "": not refused
	Details map[string]any // never a secret
	Repeats *Repeats       // set if the entry stands for several equal refusals; see RecordRefusal
}

// Options are the settings of a Journal. The zero value is ready to use.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: no log

	// MaxEntries and MaxBytes limit the queue. At the limit, Record fails and Append waits. 0:
	// 32768 entries, 8 MiB.
	MaxEntries int
	MaxBytes   int

	// Linger is how long an entry from Record waits for more entries, so that one commit writes
	// several entries. While many entries arrive, an entry waits up to four times as long.
	// Entries from Append do not wait. 0: 20 ms; negative: no wait.
	Linger time.Duration

	// The settings below reduce the data about clients in new entries.
	ShortAddresses bool // only the network: IPv4 /24, IPv6 /48
	NoAddresses    bool
	NoClients      bool // leave out the User-Agent

	// Observe receives the entries of each commit, in order, after they are durable and
	// acknowledged. It does not receive the entries of AppendTx, because the caller commits
	// their transaction. The writer's goroutine calls Observe and waits until it returns.
	// Observe must not keep the slice.
	Observe func([]Entry)

	// Login returns the name that a principal has in the events of registries. nil: the
	// principal's Name.
	Login func(*policy.Principal) string

	// Index makes searches faster. nil: a query reads all blocks in its time range.
	Index index.Reader

	// Settle is how long the clock must have run without a jump before Maintain removes entries.
	// 0: 15 minutes; negative: Maintain does not wait.
	Settle time.Duration

	// Wait is called by Follow between two reads. It must return when ctx ends. nil: wait for
	// 250 ms.
	Wait func(ctx context.Context) error
}

// Stats are counts since New.
type Stats struct {
	Queued     int       // entries in the queue
	Written    int64     // entries written
	Duplicates int64     // dropped events that were in the journal already
	Lost       int64     // entries of Record that did not fit in the queue or were not written
	Blocks     int64     // database rows
	Commits    int64     // transactions
	LastCommit time.Time // zero: no commit yet
	LastError  error     // the error of the last transaction; nil if it succeeded
}

// Journal is the durable audit log. Its methods may be called from any goroutine.
type Journal struct {
	db    *store.DB
	o     Options
	queue *queue
	// write is db.Write. Tests inject faults here.
	write func(ctx context.Context, topic string, f func(*sql.Tx) error) error

	stop    context.CancelFunc // cancels pending writes
	stopped chan struct{}      // closed when the writer has ended

	folds folds

	mu    sync.Mutex
	stats Stats
}

// New returns a Journal that stores its entries in db. Close it after use.
func New(db *store.DB, o Options) (*Journal, error) {
	if db == nil {
		return nil, errors.New("opening the journal: no database")
	}
	o.Now = clock.Wall(o.Now)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Settle = cmp.Or(o.Settle, 15*time.Minute)
	if o.Linger == 0 {
		o.Linger = 20 * time.Millisecond
	}
	if o.Wait == nil {
		o.Wait = func(ctx context.Context) error { return clock.Sleep(ctx, 250*time.Millisecond) }
	}
	if o.Login == nil {
		o.Login = func(p *policy.Principal) string { return p.Name }
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
		folds:   folds{open: make(map[string]*fold)},
	}
	go j.run(ctx)
	return j, nil
}

// Append writes all of the entries or none of them. It returns nil when they are durable. If a
// registry sent an event with the same id and time within the last 30 days (dedup.RecognizedFor),
// the new event is a duplicate. Append drops a duplicate without an error.
//
// Append waits while the queue is full. It returns ErrClosed, ctx's error or the error of the
// write. Even after an error of ctx or of the write, the entries may be in the journal. Events can
// safely be appended again.
//
// Append must not be called within a transaction of the same database. Use AppendTx instead.
func (j *Journal) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	entries = slices.Clone(entries) // so that the caller's entries do not change
	for i := range entries {
		j.completeEntry(&entries[i])
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

// Record queues an entry and never waits. It returns ErrFull or ErrClosed if it does not accept
// the entry. Accepted entries are lost if their block cannot be written. Lost entries are
// counted, logged and, when writing works again, recorded in the journal as a change with the
// action "journal.lost".
func (j *Journal) Record(entry Entry) error {
	j.completeEntry(&entry)
	return j.enqueue(&entry)
}

// enqueue queues a completed entry for Record.
func (j *Journal) enqueue(entry *Entry) error {
	err := j.queue.record(entry)
	if errors.Is(err, ErrFull) {
		j.lose(1)
	}
	return err
}

// lose counts lost entries.
func (j *Journal) lose(n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Lost += n
}

// AppendTx writes entries in the caller's transaction. The entries are durable when the
// transaction commits. Other blocks cannot be written before this commit, so call AppendTx at the
// end of the transaction.
func (j *Journal) AppendTx(ctx context.Context, tx *sql.Tx, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	entries = slices.Clone(entries)
	for i := range entries {
		j.completeEntry(&entries[i])
	}
	// Use a new builder, because this transaction may be rolled back. The writer's own builder
	// must remember only principals that are committed.
	_, _, err := newBuilder(maxBlockEntries, maxBlockBytes).write(ctx, tx, j.o.Now(), entries)
	return err
}

// completeEntry sets omitted fields and redacts secrets. It normalizes the other fields, so that
// they equal the fields that are read back later.
func (j *Journal) completeEntry(entry *Entry) {
	if entry.Time.IsZero() {
		entry.Time = j.o.Now()
	}
	entry.Time = entry.Time.UTC().Truncate(time.Microsecond)
	if entry.ID.IsZero() {
		entry.ID = NewID(entry.Time)
	}
	redact(entry)
	if j.o.ShortAddresses || j.o.NoAddresses || j.o.NoClients {
		j.anonymize(entry)
	}
	if len(entry.Text) > maxText {
		entry.Text = entry.Text[:maxText:maxText]
	}
}

const maxText = 4 << 10 // bytes

// Stats returns the current counts.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	stats := j.stats
	stats.Queued = j.queue.len()
	return stats
}

// Close writes the queued entries and stops the writer. Append and Record then return
// ErrClosed. If ctx ends first, Close drops the entries that are not yet written, and returns
// ctx's error.
func (j *Journal) Close(ctx context.Context) error {
	j.closeFolds()
	j.queue.close()
	select {
	case <-j.stopped:
		return nil
	case <-ctx.Done():
	}
	j.stop()
	<-j.stopped // this is soon, because each write ends with the context
	return fmt.Errorf("closing the journal: %w", ctx.Err())
}
