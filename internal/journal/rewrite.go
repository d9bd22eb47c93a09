package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// rewrite replaces blocks by other blocks, which have the same entries or fewer.
type rewrite struct {
	state    maintenance
	from, to Position // the replaced blocks begin in this range
	blocks   []*block // the replaced blocks
	merged   Position // all entries up to this position are merged now; 0: no entries were merged
	new      []*block
	// The fields below are about merged entries.
	used  []int64 // numbers of principals
	sizes map[sizeKey]size
	lines int64 // bytes
	// The fields below are about removed entries: how many of each kind were removed, and the
	// position up to which all the entries of a kind are removed.
	removed   map[retentionKind]int64
	removedTo map[retentionKind]Position
}

// sizeKey is a kind and an hour since 1970.
type sizeKey struct {
	kind retentionKind
	hour int64
}

type size struct{ entries, bytes int64 }

// count counts an entry that this rewrite merges.
func (r *rewrite) count(e *Entry, bytes int) {
	if r.sizes == nil {
		r.sizes = make(map[sizeKey]size)
	}
	key := sizeKey{e.retentionKind(), e.Time.Unix() / 3600}
	s := r.sizes[key]
	r.sizes[key] = size{s.entries + 1, s.bytes + int64(bytes)}
	r.lines += int64(bytes)
}

// add adds a new block. It adds no block if the packer is empty, or if all entries of a whole
// group were removed. Without a deflater, the block is not compressed.
func (r *rewrite) add(p *packer, previous, root hash, compress *deflater) {
	if p.kept == 0 && (p.next == p.first || p.isGroup()) {
		return
	}
	b := &block{first: p.first, entries: int64(p.next - p.first), previous: previous, hash: root, content: p.content()}
	if compress != nil {
		b.content = compress.content(b.content)
	}
	if p.kept > 0 {
		b.earliest, b.latest = p.earliest, p.latest
	}
	r.new = append(r.new, b)
	for _, ref := range p.principals {
		r.used = append(r.used, ref.number)
	}
}

// visitItems calls the function visit for each entry of the blocks, and for each subtree of
// removed entries.
func (m *maintainer) visitItems(ctx context.Context, blocks []*block, visit func(*openBlock, *entryRecord, *removedEntries) error) error {
	for _, b := range blocks {
		o, err := m.decoder.open(b)
		if err == nil {
			err = m.decoder.load(ctx, o.principals)
		}
		if err == nil && o.form == 1 {
			err = errors.New("it has format 1, but is in the tree")
		}
		for err == nil && len(o.entries)+len(o.removed) > 0 {
			if len(o.removed) > 0 && (len(o.entries) == 0 || o.removed[0].first < o.entries[0].position) {
				err = visit(o, nil, &o.removed[0])
				o.removed = o.removed[1:]
			} else {
				err = visit(o, &o.entries[0], nil)
				o.entries = o.entries[1:]
			}
		}
		if err != nil {
			return fmt.Errorf("the block at position %d: %w", b.first, err)
		}
	}
	return nil
}

// errRewritten means that another process rewrote blocks at the same time.
var errRewritten = errors.New("another process changed the blocks at the same time")

// rewrite replaces the blocks in one transaction.
func (m *maintainer) rewrite(ctx context.Context, r *rewrite) error {
	return m.write(ctx, "", func(tx *sql.Tx) error {
		ctx := context.WithoutCancel(ctx) // as in builder.write
		if r.merged == 0 {
			r.merged = r.state.merged
		}
		if err := beginRewrite(ctx, tx, r.state, r.merged); err != nil {
			return err
		}
		if n, err := deleteBlocks(ctx, tx, r.from, r.to); err != nil {
			return err
		} else if n != len(r.blocks) {
			return errRewritten
		}
		for _, b := range r.new {
			if err := insertBlock(ctx, tx, b); err != nil {
				return err
			}
		}
		if r.merged > r.state.merged {
			if err := usePrincipals(ctx, tx, r.used, r.merged); err != nil {
				return err
			}
		}
		for key, s := range r.sizes {
			s.bytes = s.bytes * int64(len(r.new[0].content)) / max(r.lines, 1)
			if err := addSize(ctx, tx, key, s); err != nil {
				return err
			}
		}
		for _, kind := range allKinds {
			if r.removed[kind] == 0 && r.removedTo[kind] == 0 {
				continue
			}
			if err := addRemoved(ctx, tx, kind, r.removedTo[kind], r.removed[kind]); err != nil {
				return err
			}
		}
		return nil
	})
}
