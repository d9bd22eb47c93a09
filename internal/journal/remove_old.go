package journal

import (
	"context"
	"database/sql"
	"errors"
)

// removedOld is the kind of the removed entries of format 1. Entries of format 1 are not leaves of
// the tree. So Verify does not compare their number with the number of leaves that are missing in
// the tree.
const removedOld retentionKind = "old"

// isPermanent reports whether an entry is never removed. Such entries report how many entries
// were removed, and which keys signed checkpoints, so Verify needs all of them.
func isPermanent(e *Entry) bool {
	return e.Change != nil && (e.Change.Action == removeAction || e.Change.Action == keyAction)
}

// removeOld removes the first block of format 1 if all of its entries are beyond their limits.
// Each of these blocks has the hash of the block before it, and Verify trusts the hash in the
// first block that is left. So blocks of format 1 are removed in their order, and only as a whole.
// The hash of the last block stays in the tree as leaf 0.
func (m *maintainer) removeOld(ctx context.Context, head head, state maintenance) (did bool, err error) {
	if head.base == 0 {
		return false, nil
	}
	b, err := blockAfter(ctx, m.db.Read(), 0)
	if errors.Is(err, sql.ErrNoRows) || err == nil && b.first > head.base {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	cutoffs, err := m.cutoffs(ctx)
	if err != nil {
		return false, err
	}
	expired, err := m.isExpired(ctx, b, cutoffs)
	if err != nil || !expired {
		return false, err
	}
	err = m.write(ctx, "", func(tx *sql.Tx) error {
		ctx := context.WithoutCancel(ctx) // as in builder.write
		if err := beginRewrite(ctx, tx, state, state.merged); err != nil {
			return err
		}
		if n, err := deleteBlocks(ctx, tx, b.first, b.first+1); err != nil {
			return err
		} else if n != 1 {
			return errRewritten
		}
		return addRemoved(ctx, tx, removedOld, 0, b.entries)
	})
	return err == nil, err
}

// isExpired reports whether all entries of a block are beyond their limits.
func (m *maintainer) isExpired(ctx context.Context, b *block, cutoffs map[retentionKind]int64) (bool, error) {
	w, err := m.writeTimesOf(ctx, b)
	if err != nil {
		return false, err
	}
	o, err := m.decoder.open(b)
	if err == nil {
		err = m.decoder.load(ctx, o.principals)
	}
	if err != nil {
		return false, err
	}
	x := expiredBlock{block: b, written: w}
	for _, record := range o.entries {
		e, err := m.decoder.entry(ctx, o, record)
		if err != nil {
			return false, err
		}
		if cutoff, limited := cutoffs[e.retentionKind()]; !limited || x.timeOf(&e) >= cutoff {
			return false, nil
		}
	}
	return true, nil
}
