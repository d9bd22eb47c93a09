package journal

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// begunSweep is a sweep that has begun.
type begunSweep struct {
	// from is the number of the last examined principal. The sweep ends before the number floor.
	from, floor int64
	// usedPrincipals has the principals of the blocks that were not merged when the sweep began.
	// The principals of merged blocks are in the database.
	usedPrincipals map[int64]bool
}

// sweep deletes the principals that no entry refers to, a few in each call. A sweep begins once a
// day. First, it makes all writers store the principals of new blocks in new rows. So the sweep
// can examine the old rows without a lock. The sweep is correct even if it takes long, and even if
// the clocks of the writers are wrong.
func (m *maintainer) sweep(ctx context.Context, head head, state maintenance) (did bool, err error) {
	if m.swept.Holds(m.o.Now()) {
		return false, nil
	}
	more, err := m.sweepSome(ctx, head, state)
	if err != nil {
		m.sweeping = nil
		return false, err
	}
	if !more {
		m.swept, m.sweeping = clock.For(m.o.Now(), 24*time.Hour), nil
	}
	return more, nil
}

func (m *maintainer) sweepSome(ctx context.Context, head head, state maintenance) (more bool, err error) {
	const atOnce = 256
	q := m.db.Read()
	// Before this position, there are no decisions.
	end := min(state.removed[limitDecisions], state.removed[limitRefused])
	if end == 0 {
		return false, nil
	}
	first, err := blockAfter(ctx, q, 0)
	if err == nil && first.first <= head.base {
		return false, nil // blocks of format 1 refer to any principal
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if m.sweeping == nil || head.floor < m.sweeping.floor { // a backup was restored
		m.sweeping, err = m.beginSweep(ctx, state.merged)
		return err == nil, err
	}
	numbers, last, err := selectUnused(ctx, q, m.sweeping.from, m.sweeping.floor, end, atOnce)
	if err != nil || last == 0 {
		return false, err
	}
	numbers = slices.DeleteFunc(numbers, func(n int64) bool { return m.sweeping.usedPrincipals[n] })
	err = m.write(ctx, "", func(tx *sql.Tx) error {
		return deletePrincipals(context.WithoutCancel(ctx), tx, numbers, end)
	})
	m.sweeping.from = last
	return err == nil, err
}

// beginSweep raises the floor of principals, and finds the principals to which the blocks after
// the last merged position refer.
func (m *maintainer) beginSweep(ctx context.Context, merged Position) (*begunSweep, error) {
	var head head
	err := m.write(ctx, "", func(tx *sql.Tx) (err error) {
		head, err = raiseFloor(context.WithoutCancel(ctx), tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &begunSweep{floor: head.floor, usedPrincipals: make(map[int64]bool)}
	for next := merged + 1; next < head.next; {
		b, err := blockAfter(ctx, m.db.Read(), next-1)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return nil, err
		}
		o, err := m.decoder.open(b)
		if err != nil {
			return nil, err
		}
		for _, p := range o.principals {
			s.usedPrincipals[p.number] = true
		}
		next = b.end()
	}
	return s, nil
}
