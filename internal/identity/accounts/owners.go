package accounts

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// owners remembers for a short time who the owners of tokens are that are known elsewhere, so that a
// directory is not asked for each layer of an image.
type owners struct {
	keep  time.Duration
	limit int

	mu   sync.Mutex
	seen map[Owner]sighting
}

type sighting struct {
	principal  *policy.Principal
	generation string // of his password
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

// elsewhere finds an owner in another source, as he was a short while ago at most. The error is identity.ErrUnknown, or an outage.
func (a *Accounts) elsewhere(ctx context.Context, who Owner) (sighting, error) {
	if s, ok := a.owners.get(who, a.o.Now()); ok {
		return s, nil
	}
	return a.afresh(ctx, who)
}

// afresh is elsewhere as the source says it now. Somebody who is not there any more loses at once what was remembered of him.
func (a *Accounts) afresh(ctx context.Context, who Owner) (sighting, error) {
	now := a.o.Now()
	p, generation, err := a.o.FindGeneration(ctx, who.Source, who.Name, who.ID)
	if err == nil && (p == nil || p.Source != who.Source || p.ID == "" || who.ID != "" && (p.ID != who.ID || p.Kind != who.Kind)) {
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

// owner finds the principal that a token is to be made for, or whose tokens are asked for. The error is ErrNotFound, or that
// of the source.
func (a *Accounts) owner(ctx context.Context, q store.Querier, who Owner) (*policy.Principal, error) {
	if who.Source != "" && who.Source != Source {
		s, err := a.elsewhere(ctx, who)
		if errors.Is(err, identity.ErrUnknown) {
			err = ErrNotFound
		}
		return s.principal, err
	}
	login := who.Name
	if who.Kind == policy.Robot {
		login = RobotPrefix + login
	}
	r, err := find(ctx, q, login)
	if err == nil && who.ID != "" && who.ID != r.ID {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return r.principal(), nil
}

// OwnerOf returns a principal as the owner of tokens.
func OwnerOf(p *policy.Principal) Owner {
	return Owner{Kind: p.Kind, Source: p.Source, Name: p.Name, ID: p.ID}
}

// String names the owner in the journal: "user:ann", "user:ann of ldap:corp".
func (o Owner) String() string {
	text := o.Kind.String() + ":" + o.Name
	if o.Source != Source {
		text += " of " + o.Source
	}
	return text
}
