// Package htpasswd authenticates users of an htpasswd file, and of entries in the config.
//
// An entry is "name:hash", as "htpasswd -B" and "tidewaiter hash-password" print it. Empty lines
// and lines that begin with "#" are ignored. Hashes are bcrypt or argon2id. If a line has another
// kind of hash, the file is not loaded, and the error names the line.
//
// Names are case-sensitive. The id of a principal is its name, because a line has no other id. So
// if a user is removed and added again with the same name, the policy treats both as the same
// principal. But tokens that were issued for the old password become invalid, because these tokens
// are bound to the hash of the old password.
package htpasswd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options are the settings of a File. Hashing, and File or Entries, are required.
type Options struct {
	Name    string                         // source of the principals; "": "htpasswd"
	File    string                         // path; "": no file
	Entries []string                       // "name:hash", in addition to the file
	Groups  map[string][]string            // group -> its members
	Claims  map[string]map[string][]string // name -> claim -> values
	Hashing *password.Hashing
	Every   time.Duration    // how often Run checks the file for changes; 0: 1 s
	Log     *slog.Logger     // nil: nothing is logged
	Now     func() time.Time // nil: time.Now
	Before  *File            // the File before a reload; nil: there was no File
}

// ErrEmpty means that the file had content before and is empty now. Probably a program has just
// begun to write the file, or the disk was full. So the old entries stay in use. To remove all
// users on purpose, leave a comment in the file.
var ErrEmpty = errors.New("the file is empty; to remove all users, write a line that begins with # into it")

// File has the entries of the loaded file, and the entries of the config. Its methods may be
// called from any goroutine.
type File struct {
	name    string
	path    string
	lines   []identity.Secret // of the config; secret, because hashes must not be logged
	groups  map[string][]string
	claims  map[string]map[string]any
	hashing *password.Hashing
	every   time.Duration
	log     *slog.Logger
	now     func() time.Time
	seed    maphash.Seed

	entries    atomic.Pointer[entries]
	hadContent atomic.Bool // whether the text of the loaded file had any content

	mu       sync.Mutex        // held while loading; guards the fields below
	digest   [sha256.Size]byte // digest of the text of the loaded file
	last     fileContent       // the newest read, even if it failed; without the text
	seen     fileState         // the file at the last poll
	changing int               // consecutive polls that found a change
	logged   string            // last logged error; "": none
}

// New loads the file and the entries. The error is either Problems with all problems, or the
// reason why the file cannot be read. New starts no goroutine: Run or Reload loads the file again.
func New(o Options) (*File, error) {
	o.Name = cmp.Or(o.Name, "htpasswd")
	if o.Every <= 0 {
		o.Every = time.Second
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
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
	f.last, f.seen = fileContent{fileState: r.fileState, at: r.at}, r.fileState
	f.replace(e, r)
	return f, nil
}

// Authenticate looks up the name in the loaded entries. For an unknown name, it returns at once,
// and the chain then calls Dummy.
func (f *File) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
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

// Dummy does the same work as Authenticate does for a wrong password of an entry. For the same
// name, it always uses the same entry. Otherwise entries with different costs would reveal which
// names exist.
func (f *File) Dummy(ctx context.Context, c identity.Presented) error {
	like := ""
	if sample := f.entries.Load().sample; len(sample) > 0 {
		like = sample[maphash.String(f.seed, c.Name)%uint64(len(sample))]
	}
	return passwordError(f.hashing.DummyFor(ctx, requester(c), like, c.Secret.Reveal()))
}

// Find returns the principal with the given name. The id of a principal is its name. If the id
// differs from the name, the id belongs to another user, so Find returns ErrUnknown.
func (f *File) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	who, _, err := f.FindGeneration(ctx, name, id)
	return who, err
}

// Path returns the path of the file, or "" if there are only entries in the config.
func (f *File) Path() string { return f.path }

// FindGeneration is like Find, and also returns the generation of the password. The generation
// is derived from the hash, so a user who is removed and added again has another generation.
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

// Members returns the members of a group, sorted by name.
func (f *File) Members(group string) []*policy.Principal {
	named := f.entries.Load().named
	var found []*policy.Principal
	for _, name := range f.groups[group] {
		if e, ok := named[name]; ok {
			found = append(found, e.principal)
		}
	}
	slices.SortFunc(found, func(a, b *policy.Principal) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(found, func(a, b *policy.Principal) bool { return a.Name == b.Name })
}

// Entry returns the principal of a line if an entry has the name and the hash of the line, and
// nil otherwise.
func (f *File) Entry(l Line) *policy.Principal {
	e, ok := f.entries.Load().named[l.Name]
	if !ok || subtle.ConstantTimeCompare([]byte(e.hash), []byte(l.Hash.Reveal())) != 1 {
		return nil
	}
	return e.principal
}

func requester(c identity.Presented) password.Requester {
	return password.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace}
}

// passwordError converts the error of a password comparison to the error of a source. Unknown
// errors are outages.
func passwordError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, password.ErrMismatch), errors.Is(err, password.ErrTooLong):
		return identity.ErrRejected
	}
	return fmt.Errorf("checking a password: %w", err)
}
