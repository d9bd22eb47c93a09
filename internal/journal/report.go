package journal

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

const (
	// reportRemovedEvery is the minimum time between two entries about removed entries. Such an
	// entry is never removed, because Verify compares the number of missing entries with the
	// numbers in these entries.
	reportRemovedEvery = time.Hour
	removeAction       = "journal.remove"
)

// report records how many entries were removed since the last report.
func (m *maintainer) report(ctx context.Context, _ head, state maintenance) (did bool, err error) {
	if m.reported.Holds(m.o.Now()) || len(state.unreported) == 0 {
		return false, nil
	}
	cutoffs, err := m.cutoffs(ctx)
	if err != nil {
		return false, err
	}
	to := make(map[string]any)
	for kind, total := range state.total {
		n := state.unreported[kind]
		removed := map[string]any{"entries": n, "total": total}
		if cutoff, ok := cutoffs[kind]; ok { // the limit may have been removed
			removed["before"] = time.UnixMilli(cutoff).UTC().Format(time.RFC3339)
		}
		to[string(kind)] = removed
	}
	err = m.write(ctx, "", func(tx *sql.Tx) error {
		ctx := context.WithoutCancel(ctx) // as in builder.write
		if err := beginRewrite(ctx, tx, state, state.merged); err != nil {
			return err
		}
		if err := clearUnreported(ctx, tx); err != nil {
			return err
		}
		for kind, cutoff := range cutoffs {
			if err := deleteSizes(ctx, tx, kind, cutoff/time.Hour.Milliseconds()); err != nil {
				return err
			}
		}
		return m.AppendTx(ctx, tx, Entry{Change: &Change{Actor: "tidewaiter", Action: removeAction, Target: "journal", To: to}})
	})
	if err != nil {
		return false, err
	}
	m.reported = clock.For(m.o.Now(), reportRemovedEvery)
	return true, nil
}
