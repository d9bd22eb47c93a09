package accounts

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// owners caches owners that another source knows for a short time, so that a directory is not
// queried for each layer of an image.
type owners struct {
	keep  time.Duration
	limit int

	mu   sync.Mutex
	seen map[Owner]sighting
}

type sighting struct {
	principal  *policy.Principal
	generation string // of the owner's password
	holds      clock.Span
}

func newOwners(keep time.Duration, limit int) *owners {
	return &owners{keep: keep, limit: limit, seen: make(map[Owner]sighting)}
}

func (o *owners) get(who Owner, now time.Time) (s sighting, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok = o.seen[who]
	return s, ok && s.holds.Holds(now)
}

func (o *owners) put(who Owner, s sighting, now time.Time) {
	if o.keep < 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.seen) >= o.limit {
		clear(o.seen)
	}
	s.holds = clock.For(now, o.keep)
	o.seen[who] = s
}

func (o *owners) drop(who Owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.seen, who)
}

// elsewhere looks up an owner in another source. The result may come from the cache. The error is
// identity.ErrUnknown or an outage.
func (a *Accounts) elsewhere(ctx context.Context, who Owner) (sighting, error) {
	if s, ok := a.owners.get(who, a.o.Now()); ok {
		return s, nil
	}
	return a.afresh(ctx, who)
}

// afresh is elsewhere without the cache. If the source no longer knows the owner, the cached
// entry is removed.
func (a *Accounts) afresh(ctx context.Context, who Owner) (sighting, error) {
	now := a.o.Now()
	p, generation, err := a.o.FindGeneration(ctx, who.Source, who.Name, who.ID)
	if err == nil && (p == nil || !identity.SameSource(p.Source, who.Source) || p.ID == "" || who.ID != "" && (p.ID != who.ID || p.Kind != who.Kind)) {
		err = identity.ErrUnknown
	}
	if errors.Is(err, identity.ErrUnknown) {
		a.owners.drop(who)
	}
	if err != nil {
		return sighting{}, err
	}
	s := sighting{principal: p, generation: generation}
	a.owners.put(who, s, now)
	return s, nil
}

// owner finds the principal of a token's owner. The error is ErrNotFound or the error of the
// source.
func (a *Accounts) owner(ctx context.Context, q store.Querier, who Owner) (*policy.Principal, error) {
	if who.Source != "" && who.Source != Source {
		s, err := a.elsewhere(ctx, who)
		if errors.Is(err, identity.ErrUnknown) {
			err = admin.ErrNotFound
		}
		return s.principal, err
	}
	login := who.Name
	if who.Kind == policy.Robot {
		login = RobotPrefix + login
	}
	r, err := find(ctx, q, login)
	if err == nil && who.ID != "" && who.ID != r.ID {
		err = admin.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return r.principal(), nil
}

// OwnerOf returns the Owner for a principal.
func OwnerOf(p *policy.Principal) Owner {
	return Owner{Kind: p.Kind, Source: p.Source, Name: p.Name, ID: p.ID}
}

// String returns the owner as it appears in the journal: "user:ann", "user:ann of ldap:corp".
func (o Owner) String() string {
	text := o.Kind.String() + ":" + o.Name
	if o.Source != Source {
		text += " of " + o.Source
	}
	return text
}
