package journal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// mergeAfter is the age at which blocks are merged. People look at the newest entries, and blocks
// that are not merged are faster to read.
const mergeAfter = 5 * time.Minute

// merge merges the blocks of the next group of 256 leaves, if all of them are old enough.
func (m *maintainer) merge(ctx context.Context, head head, state maintenance) (did bool, err error) {
	q := m.db.Read()
	first := max(state.merged, head.base) + 1
	group := int64(first-head.base) / tree.GroupSize
	end := head.base + Position((group+1)*tree.GroupSize)
	if end > head.next {
		return false, nil
	}
	blocks, err := selectBlocksIn(ctx, q, first, end)
	if err != nil {
		return false, err
	}
	old := m.o.Now().Add(-mergeAfter).UnixMilli()
	if slices.ContainsFunc(blocks, func(b *block) bool { return b.latest > old && b.latest <= m.maxIDTime() }) {
		return false, nil
	}
	before, after, err := groupRoots(ctx, q, head, group)
	if err != nil {
		return false, err
	}
	r := rewrite{state: state, from: first, to: end, blocks: blocks, merged: end - 1}
	merged, rest := newPacker(head.base, first), newPacker(head.base, end)
	err = m.visitItems(ctx, blocks, func(o *openBlock, e *entryRecord, removed *removedEntries) error {
		switch {
		case e == nil && removed.first < end:
			merged.remove(removed.level, removed.hash)
		case e == nil:
			rest.remove(removed.level, removed.hash)
		case e.position < end:
			entry, err := m.decoder.entry(ctx, o, *e)
			if err != nil {
				return err
			}
			r.count(&entry, len(e.line))
			return merged.add(o, e.line)
		default:
			return rest.add(o, e.line)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if merged.next != end && len(blocks) > 0 {
		return false, fmt.Errorf("the entries from position %d on are missing", merged.next)
	}
	r.add(merged, before, after, &m.deflate)
	if rest.next > rest.first {
		r.add(rest, after, blocks[len(blocks)-1].hash, nil)
	}
	return true, m.rewrite(ctx, &r)
}

// groupRoots returns the roots of the tree before and after a complete group.
func groupRoots(ctx context.Context, q store.Querier, h head, group int64) (before, after hash, err error) {
	nodes := nodeReader{q: q}
	var f tree.Frontier
	for _, n := range append(tree.Subtrees(group*tree.GroupSize), tree.Node{Level: tree.StoredLevel, Number: group}) {
		sum, ok, err := nodes.get(ctx, n.Level, n.Number)
		if err == nil && !ok {
			err = fmt.Errorf("subtree %d of level %d of the tree is not stored", n.Number, n.Level)
		}
		if err != nil {
			return before, after, err
		}
		if n.Number == group && n.Level == tree.StoredLevel {
			before = f.Root()
		}
		f.Append(nil, n.Level, sum)
	}
	if group == 0 {
		var origin tree.Frontier
		origin.Append(nil, 0, originLeaf(h.base, h.chain))
		before = origin.Root()
	}
	return before, f.Root(), nil
}
