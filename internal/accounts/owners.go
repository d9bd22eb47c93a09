package accounts

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// localOwners implements credentials.Local.
type localOwners struct{}

func (localOwners) Owner(ctx context.Context, q store.Querier, o credentials.Owner, now time.Time) (credentials.LocalOwner, error) {
	if o.ID == "" {
		login := o.Name
		if o.Kind == policy.Robot {
			login = RobotPrefix + login
		}
		return localOwner(now)(find(ctx, q, login))
	}
	r, err := findID(ctx, q, o.ID)
	if err == nil && o.Name != "" && o.Name != r.Name {
		err = admin.ErrNotFound
	}
	return localOwner(now)(r, err)
}

func (localOwners) Lock(ctx context.Context, tx *sql.Tx, id string, now time.Time) (credentials.LocalOwner, error) {
	if err := lock(ctx, tx, id); err != nil {
		return credentials.LocalOwner{}, err
	}
	return localOwner(now)(findID(ctx, tx, id))
}

func localOwner(now time.Time) func(record, error) (credentials.LocalOwner, error) {
	return func(r record, err error) (credentials.LocalOwner, error) {
		if err != nil {
			return credentials.LocalOwner{}, err
		}
		return credentials.LocalOwner{Principal: r.principal(), Login: r.Login(), Expires: r.Expires, Ended: r.endedReason(now), Hash: r.hash}, nil
	}
}
