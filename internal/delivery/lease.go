package delivery

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	// lookEvery is the time between two checks for new entries and changes.
	lookEvery = 500 * time.Millisecond
	// saveEvery is how often the state is written while entries are delivered.
	saveEvery = time.Second
	// beatEvery is how often the holder renews its lease.
	beatEvery = 3 * time.Second
	// A holder stops if it could not renew its lease for lostAfter. Another process takes the
	// lease later, when takenAfter has passed since that process saw the last renewal.
	lostAfter  = 10 * time.Second
	takenAfter = 20 * time.Second
)

// lease is a row of the database whose holder is the one process that delivers. Other processes
// take the lease if the holder no longer renews it. They measure this with their own clocks, so
// clocks need not agree.
type lease struct {
	d      *Delivery
	holder string // this process; unique
	beat   int64  // newest beat of this process, while it is the holder

	seenHolder string // the holder when the row was last read
	seenBeat   int64
	patience   clock.Span // when it is over, the lease may be taken

	renewed clock.Span // when it is over, the lease is lost
	rest    clock.Span // when it is over, the lease is renewed
	saved   clock.Span // when it is over, changed states are written
}

func newLease(d *Delivery) *lease {
	return &lease{d: d, holder: journal.NewID(d.o.Now()).String()}
}

// acquire tries to take the lease.
func (l *lease) acquire(ctx context.Context) bool {
	now := l.d.o.Now()
	var holder string
	var beat int64
	err := l.d.db.Read().QueryRowContext(ctx, selectLease).Scan(&holder, &beat)
	missing := errors.Is(err, sql.ErrNoRows)
	if err != nil && !missing {
		return false // package app logs an outage of the database
	}
	if holder != l.seenHolder || beat != l.seenBeat {
		l.seenHolder, l.seenBeat, l.patience = holder, beat, clock.For(now, takenAfter)
	}
	// The holder can be this process, if an error hid that the lease was renewed.
	if holder != "" && holder != l.holder && l.patience.Holds(now) {
		return false
	}
	taken := false
	err = l.d.db.Write(ctx, "", func(tx *sql.Tx) error {
		if missing {
			n, err := store.Affected(tx.ExecContext(ctx, insertLease, l.holder))
			taken, l.beat = n == 1, 1
			return err
		}
		n, err := store.Affected(tx.ExecContext(ctx, takeLease, l.holder, beat+1, holder, beat))
		taken, l.beat = n == 1, beat+1
		return err
	})
	if err != nil || !taken {
		return false
	}
	l.renewed, l.rest, l.saved = clock.For(now, lostAfter), clock.For(now, beatEvery), clock.Span{}
	return true
}

// renew increments the beat in a transaction. It fails if another process has the lease.
func (l *lease) renew(ctx context.Context, tx *sql.Tx) error {
	n, err := store.Affected(tx.ExecContext(ctx, takeLease, l.holder, l.beat+1, l.holder, l.beat))
	if err == nil && n == 0 {
		return errLost
	}
	return err
}

// errLost means that another process has the lease.
var errLost = errors.New("another process delivers to the webhooks")

// release writes the last changes and gives the lease up, so that another process can take it at
// once.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lostAfter-beatEvery)
	defer cancel()
	if l.d.save(ctx, l) == nil {
		_ = l.d.db.Write(ctx, "", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, takeLease, "", l.beat+1, l.holder, l.beat)
			return err
		})
	}
}
