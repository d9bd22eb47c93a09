// Package htpasswd answers: is this somebody of the htpasswd file, or of the entries in the config?
//
// An entry is "name:hash", as "htpasswd -B" and "tidewaiter hash-password" write it; empty lines and lines
// that begin with "#" say nothing. Hashes are bcrypt or argon2id; other kinds are refused when the
// file is loaded, with the line.
//
// Names are exact: "Ann" is not "ann", and a principal bears the file's spelling. A principal's id is
// its name, as there is nothing else in a line: somebody who is removed and added again under the same
// name is, to the policy, the same principal. What was handed out for the password of before has ended: it
// is bound to the password's hash.
package htpasswd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a File. Hashing, and File or Entries, are needed.
type Options struct {
	Name    string                         // as principals bear it; "": "htpasswd"
	File    string                         // path; "": there is none
	Entries []string                       // "name:hash", beside the file or in its position
	Groups  map[string][]string            // group -> names of its members
	Claims  map[string]map[string][]string // name -> claim -> values
	Hashing *password.Hashing
	Every   time.Duration    // how often Run looks whether the file has changed; 0: 1 s
	Log     *slog.Logger     // nil: nothing is logged
	Now     func() time.Time // nil: time.Now
	Before  *File            // which this one replaces when a config is loaded again; nil: none
}

// ErrEmpty means that a file that had entries holds nothing now: whoever writes it has only begun, or the disk was
// full. The entries before stay. Whoever means to remove everybody leaves a comment in the file.
var ErrEmpty = errors.New("the file is empty; to remove everybody, write a line that begins with # into it")

// File is the entries of a file as it was last loaded, together with those of the config. Its methods may
// be called from any goroutine.
type File struct {
	name    string
	path    string
	lines   []identity.Secret // of the config: hashes are not for the log
	groups  map[string][]string
	claims  map[string]map[string]any
	hashing *password.Hashing
	every   time.Duration
	log     *slog.Logger
	now     func() time.Time
	seed    maphash.Seed

	entries    atomic.Pointer[entries]
	hadContent atomic.Bool // whether the text that entries was made from held anything

	mu       sync.Mutex        // held while loading; what follows is its own
	digest   [sha256.Size]byte // of the text that entries was made from
	last     reading           // the last one, good or bad, without its text
	seen     fileState         // the file at the last look
	changing int               // looks in a row that found it changed
	logged   string            // what was last logged as wrong; "": nothing is wrong
}

// New loads the file and the entries. The error holds all that is wrong with them as Problems, or says
// why the file cannot be read. It starts nothing: the file is read again by Run, or by Reload.
func New(o Options) (*File, error) {
	if o.Name == "" {
		o.Name = "htpasswd"
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Now = clock.Wall(o.Now)
	if o.Hashing == nil {
		return nil, errors.New("opening htpasswd: no Hashing was given")
	}
	f := &File{
		name: o.Name, path: o.File, groups: o.Groups, claims: claimsOf(o.Claims), hashing: o.Hashing,
		every: o.Every, log: o.Log.With("source", o.Name), now: o.Now, seed: maphash.MakeSeed(),
	}
	for _, line := range o.Entries {
		f.lines = append(f.lines, identity.NewSecret(line))
	}
	r, err := f.read()
	if err != nil {
		return nil, err
	}
	if o.Before != nil && f.path != "" && o.Before.path == f.path && o.Before.hadContent.Load() && isEmpty(r.text) {
		return nil, fmt.Errorf("reading htpasswd %s: %w", f.path, ErrEmpty)
	}
	e, unknownMembers, err := f.parse(r.text)
	if err != nil {
		return nil, err
	}
	if len(unknownMembers) > 0 {
		return nil, unknownMembers
	}
	f.last, f.seen = reading{fileState: r.fileState, at: r.at}, r.fileState
	f.replace(e, r)
	return f, nil
}

// Authenticate looks the name up in the file as it was last loaded. The principal bears the file's
// spelling of the name. The chain spends a dummy hash on names that nobody knows.
func (f *File) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	if c.Kind != identity.Password {
		return identity.Verified{}, identity.ErrUnknown
	}
	e, ok := f.entries.Load().named[c.Name]
	if !ok {
		return identity.Verified{}, identity.ErrUnknown
	}
	if err := passwordError(f.hashing.CompareFor(ctx, requester(c), e.hash, c.Secret.Reveal())); err != nil {
		return identity.Verified{}, err
	}
	return identity.Verified{Principal: e.principal, Credential: "password", Generation: e.generation()}, nil
}

// Dummy costs what a wrong password for one of the entries costs: always the same one for one name,
// so that entries of unlike cost do not give away that the name is none of them.
func (f *File) Dummy(ctx context.Context, c identity.Credentials) error {
	like := ""
	if sample := f.entries.Load().sample; len(sample) > 0 {
		like = sample[maphash.String(f.seed, c.Name)%uint64(len(sample))]
	}
	return passwordError(f.hashing.DummyFor(ctx, requester(c), like, c.Secret.Reveal()))
}

// Find returns the principal of that name. An id other than the name belongs to somebody else.
func (f *File) Find(_ context.Context, name, id string) (*policy.Principal, error) {
	e, ok := f.entries.Load().named[name]
	if !ok || id != "" && id != name {
		return nil, identity.ErrUnknown
	}
	return e.principal, nil
}

// Path returns the path of the file; "": there are entries of the config alone.
func (f *File) Path() string { return f.path }

// FindGeneration is Find. A password's generation is of its hash: whoever is added again has another, too.
func (f *File) FindGeneration(_ context.Context, name, id string) (*policy.Principal, string, error) {
	e, ok := f.entries.Load().named[name]
	if !ok || id != "" && id != name {
		return nil, "", identity.ErrUnknown
	}
	return e.principal, e.generation(), nil
}

// Len returns the number of entries.
func (f *File) Len() int { return len(f.entries.Load().named) }

// Names returns the names of all entries, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.entries.Load().named)) }

func requester(c identity.Credentials) password.Requester {
	return password.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace}
}

// passwordError puts what a comparison said into the words of a source. What it does not know stays an outage.
func passwordError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, password.ErrMismatch), errors.Is(err, password.ErrTooLong):
		return identity.ErrRejected
	}
	return fmt.Errorf("checking a password: %w", err)
}
