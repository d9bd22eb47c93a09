package journal

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

const (
	// minAge is the minimum time that each entry is stored.
	minAge = time.Hour
	// trimSpan is how long an entry beyond its age limit stays in a block that also has newer
	// entries. After this time, the old entry is removed, and the newer entries stay.
	trimSpan = 24 * time.Hour
)

// remove removes entries beyond the limits from one block.
func (m *maintainer) remove(ctx context.Context, head head, state maintenance) (did bool, err error) {
	cutoffs, err := m.cutoffs(ctx)
	if err != nil {
		return false, err
	}
	for {
		x, err := m.nextExpired(ctx, head, state, cutoffs)
		if err != nil || x == nil {
			return false, err
		}
		m.trimmed[x.first] = true
		r, err := m.removeFrom(ctx, head, state, x, cutoffs)
		if err != nil {
			return false, err
		}
		if r == nil {
			continue // all old entries of this block are kept; try the next block
		}
		if err := m.rewrite(ctx, r); err != nil {
			delete(m.trimmed, x.first) // the next step tries again
			return false, err
		}
		return true, nil
	}
}

// removeFrom returns a rewrite that removes the entries beyond the limits from a block, or nil if
// the block has none.
func (m *maintainer) removeFrom(ctx context.Context, head head, state maintenance, x *expiredBlock, cutoffs map[retentionKind]int64) (*rewrite, error) {
	b := x.block
	r := &rewrite{state: state, from: b.first, to: b.first + 1, blocks: []*block{b}, removed: make(map[retentionKind]int64), removedTo: x.removedTo}
	packed := newPacker(head.base, b.first)
	var leaf []byte
	err := m.visitItems(ctx, r.blocks, func(o *openBlock, e *entryRecord, removed *removedEntries) error {
		if e == nil {
			packed.remove(removed.level, removed.hash)
			return nil
		}
		entry, err := m.decoder.entry(ctx, o, *e)
		if err != nil {
			return err
		}
		cutoff, limited := cutoffs[entry.retentionKind()]
		if !limited || isPermanent(&entry) || x.timeOf(&entry) >= cutoff {
			return packed.add(o, e.line)
		}
		p, err := o.split(e.line)
		if err == nil {
			leaf, _, err = o.appendLeaf(leaf[:0], &p)
		}
		if err != nil {
			return err
		}
		packed.remove(0, tree.LeafHash(leaf))
		r.removed[entry.retentionKind()]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(r.removed) == 0 && len(r.removedTo) == 0 {
		return nil, nil
	}
	var compress *deflater
	if b.isCompressed() {
		compress = &m.deflate
	}
	r.add(packed, b.previous, b.hash, compress)
	return r, nil
}

// expiredBlock is a block with entries beyond their limits.
type expiredBlock struct {
	*block
	written writeTimes
	// If no entry of a kind is left before the block, removedTo has the last position of the
	// block for this kind.
	removedTo map[retentionKind]Position
}

// timeOf returns the time of an entry's id. If the clock of the id was wrong, it returns the
// nearest time at which the block can have been written.
func (x *expiredBlock) timeOf(e *Entry) int64 {
	return max(min(e.ID.milliseconds(), x.written.latest), x.written.earliest)
}

// nextExpired returns the first block with entries beyond their limits, or nil.
func (m *maintainer) nextExpired(ctx context.Context, head head, state maintenance, cutoffs map[retentionKind]int64) (*expiredBlock, error) {
	if m.trimmed == nil || m.trimmedFor.Over(m.o.Now()) {
		m.trimmed, m.trimmedFor = make(map[Position]bool), clock.For(m.o.Now(), time.Hour)
	}
	var found *expiredBlock
	next := make(map[retentionKind]Position) // the first block that can have entries of a kind
	for kind, cutoff := range cutoffs {
		b, err := blockAfter(ctx, m.db.Read(), max(state.removed[kind], head.base))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		next[kind] = b.first
		w, err := m.writeTimesOf(ctx, b)
		if err != nil {
			return nil, err
		}
		trim := b.earliest < cutoff-trimSpan.Milliseconds() && !m.trimmed[b.first]
		if (w.latest < cutoff || trim) && (found == nil || b.first < found.first) {
			found = &expiredBlock{block: b, written: w, removedTo: make(map[retentionKind]Position)}
		}
	}
	if found == nil {
		return nil, nil
	}
	for kind, cutoff := range cutoffs {
		if next[kind] == found.first && found.written.latest < cutoff {
			found.removedTo[kind] = found.end() - 1
		}
	}
	return found, nil
}

// writeTimes has two times between which the entries of a block were written, in milliseconds
// since 1970.
type writeTimes struct{ earliest, latest int64 }

// writeTimesOf returns two times between which the entries of a block were written, even if the
// clock of a replica was wrong. The first time is taken from the block before, because that block
// began earlier. If an id of the block was created while a clock was ahead, the second time is
// taken from the next block without such an id.
func (m *maintainer) writeTimesOf(ctx context.Context, b *block) (w writeTimes, err error) {
	future := m.maxIDTime()
	before, err := selectBlockAt(ctx, m.db.Read(), b.first-1)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return w, err
	}
	if err == nil && before.earliest <= future {
		w.earliest = before.earliest
	}
	if w.latest = b.latest; w.latest > future {
		if w.latest, err = selectLatestFrom(ctx, m.db.Read(), b.end(), future); err != nil {
			return w, err
		}
		if b.earliest <= future {
			w.latest = max(w.latest, b.earliest)
		}
	}
	w.latest = max(w.latest, w.earliest)
	return w, nil
}

// cutoffs returns a time for each kind, in milliseconds since 1970. Entries of the kind are beyond
// their limit if their ids have an earlier time.
func (m *maintainer) cutoffs(ctx context.Context) (map[retentionKind]int64, error) {
	now := m.o.Now()
	cutoffs := make(map[retentionKind]int64)
	for kind, limit := range m.limits {
		var cutoff time.Time
		if limit.Age > 0 {
			cutoff = now.Add(-limit.Age)
		}
		if limit.Size > 0 {
			hour, ok, err := selectSizeCutoff(ctx, m.db.Read(), kind, limit.Size)
			if err != nil {
				return nil, err
			}
			if at := time.Unix((hour+1)*3600, 0); ok && at.After(cutoff) {
				cutoff = at
			}
		}
		if least := now.Add(-minAge); cutoff.After(least) {
			cutoff = least
		}
		if !cutoff.IsZero() {
			cutoffs[kind] = cutoff.UnixMilli()
		}
	}
	return cutoffs, nil
}
