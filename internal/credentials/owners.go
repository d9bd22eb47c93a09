package credentials

import (
	"context"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// foundOwner is an owner that was found in another source.
type foundOwner struct {
	principal  *policy.Principal
	generation string // of the owner's password
}

// findOwner looks up an owner in another source. It uses the cache, so that a directory is not
// queried for each layer of an image. The error is identity.ErrUnknown or an outage.
func (c *Credentials) findOwner(ctx context.Context, who Owner) (foundOwner, error) {
	if o, ok := c.owners.Get(who); ok {
		return o, nil
	}
	return c.findOwnerUncached(ctx, who)
}

// findOwnerUncached is like findOwner, but does not read the cache. If the source no longer
// knows the owner, it removes the owner from the cache.
func (c *Credentials) findOwnerUncached(ctx context.Context, who Owner) (foundOwner, error) {
	p, generation, err := c.o.Find(ctx, who.Source, who.Name, who.ID)
	if err == nil && (p == nil || !sourcename.Same(p.Source, who.Source) || p.ID == "" || who.ID != "" && (p.ID != who.ID || p.Kind != who.Kind)) {
		err = identity.ErrUnknown
	}
	if errors.Is(err, identity.ErrUnknown) {
		c.owners.Remove(who)
	}
	if err != nil {
		return foundOwner{}, err
	}
	o := foundOwner{p, generation}
	c.owners.Put(who, o, c.o.OwnerFor)
	return o, nil
}

// principal finds the principal of a token's owner. The error is admin.ErrNotFound or the error of
// the source.
func (c *Credentials) principal(ctx context.Context, q store.Querier, who Owner) (*policy.Principal, error) {
	if isLocal(who) {
		o, err := c.o.Local.Owner(ctx, q, who, c.writer.Now())
		return o.Principal, err
	}
	o, err := c.findOwner(ctx, who)
	if errors.Is(err, identity.ErrUnknown) {
		err = &admin.NotFoundError{Kind: who.Kind.String(), Name: who.Name, In: who.Source}
	}
	return o.principal, err
}

func isLocal(o Owner) bool { return o.Source == "" || o.Source == admin.AccountsSource }
