package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// A commit writes a block of the few entries that have arrived. Later, in the background, Maintain
// merges and compresses the blocks of each 256 entries, and removes entries beyond their limits.
// Each step is a short transaction of its own, so that the writer never waits long. The hashes of
// the tree do not change, so old proofs stay valid.

const (
	// mergeAfter is the age at which blocks are merged. People look at the newest entries, and
	// blocks that are not merged are faster to read.
	mergeAfter = 5 * time.Minute
	// minKept is the minimum time that each entry is stored.
	minKept = time.Hour
	// reportRemovedEvery is the minimum time between two entries about removed entries. Such an
	// entry is never removed: Verify compares the number of missing entries with the numbers in
	// these entries.
	reportRemovedEvery = time.Hour
	removeAction       = "journal.remove"
	// spanned is how long an entry can be beyond its age limit because its block also has newer
	// entries. After that, the entry is removed without the newer ones.
	spanned = 24 * time.Hour
)

// keptKind is a kind of entry that has limits of its own. The text of each kind is stored in the
// database.
type keptKind string

const (
	keptDecisions keptKind = "decision"
	keptRefused   keptKind = "refused"
	keptEvents    keptKind = "event"
	keptChanges   keptKind = "change"
	keptService   keptKind = "service"
)

var allKinds = []keptKind{keptDecisions, keptRefused, keptEvents, keptChanges, keptService}

// kinds returns the kinds and their limits.
func kinds(l retention.Limits) map[keptKind]retention.Limit {
	return map[keptKind]retention.Limit{
		keptDecisions: l.Decisions, keptRefused: l.Refused, keptEvents: l.Events, keptChanges: l.Changes,
		keptService: l.Service,
	}
}

// kept returns the kind of an entry.
func (e *Entry) kept() keptKind {
	switch {
	case e.Outcome() == Refused:
		return keptRefused
	case e.Decision != nil:
		return keptDecisions
	case e.Change != nil:
		return keptChanges
	case e.Service != nil:
		return keptService
	}
	return keptEvents
}

// Maintain merges blocks and removes entries beyond the limits, until ctx ends. It uses at most
// about a fifth of a processor. Several processes may run Maintain on the same database.
func (j *Journal) Maintain(ctx context.Context, limits retention.Limits) {
	const (
		idle = 30 * time.Second
		rest = 4 // times the duration of a step
	)
	k := newKeeper(j, limits)
	k.settle = j.o.Settle
	for {
		began := time.Now()
		did, err := k.step(ctx)
		pause := max(rest*time.Since(began), time.Millisecond)
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, errRewritten):
			k.failed(err)
			pause = idle
		case !did && err == nil:
			pause = idle
		}
		if clock.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// Merge merges all blocks that are old enough, without the rests of Maintain.
func (j *Journal) Merge(ctx context.Context) error {
	k := newKeeper(j, retention.Limits{})
	for {
		did, err := k.merge(ctx)
		if err != nil && !errors.Is(err, errRewritten) || err == nil && !did {
			return err
		}
	}
}

// keeper merges blocks and removes entries. Only one goroutine uses a keeper.
type keeper struct {
	*Journal
	limits  map[keptKind]retention.Limit
	decoder *decoder
	deflate deflate

	removeFirst bool       // the next step removes entries first
	reported    clock.Span // is over reportRemovedEvery after the last report
	// settle is how long the clock must have run without a jump before entries are removed. This
	// time begins at wall and since. Both are the same moment, but since has a monotonic reading.
	settle      time.Duration
	wall, since time.Time
	// spanned has the blocks from which single entries were removed in the hour spannedFor.
	spanned    map[Position]bool
	spannedFor clock.Span

	swept    clock.Span // is over a day after the last sweep of the principals
	sweeping *sweeping  // nil: no sweep has begun
}

func newKeeper(j *Journal, limits retention.Limits) *keeper {
	return &keeper{Journal: j, limits: kinds(limits), decoder: newDecoder(j.db.Read())}
}

func (k *keeper) failed(err error) {
	k.o.Log.Error("merging and removing journal entries failed", "error", err)
}

// step merges blocks or removes entries once, and reports whether there was work to do. Merging
// and removing alternate.
func (k *keeper) step(ctx context.Context) (did bool, err error) {
	first, second := k.merge, k.remove
	if k.removeFirst {
		first, second = second, first
	}
	k.removeFirst = !k.removeFirst
	works := []func(context.Context) (bool, error){first, second, k.report, k.sweep}
	if !k.settled() {
		works = works[:0]
		works = append(works, k.merge)
	}
	for _, work := range works {
		if did, err = work(ctx); did || err != nil {
			return did, err
		}
	}
	return false, nil
}

// settled reports whether the clock has run without a jump for long enough to be trusted. Entries
// that are removed because of a wrong clock cannot be restored. Many machines correct their clock
// in the first minutes after a start.
func (k *keeper) settled() bool {
	if k.settle <= 0 {
		return true
	}
	now, elapsed := k.o.Now(), time.Since(k.since)
	if k.wall.IsZero() || (now.Sub(k.wall)-elapsed).Abs() > time.Minute {
		k.wall, k.since = now, time.Now()
		return false
	}
	return elapsed >= k.settle
}

// merge merges the blocks of the next group of 256 leaves, if all of them are old enough.
func (k *keeper) merge(ctx context.Context) (did bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("merging blocks: %w", err)
		}
	}()
	q := k.db.Read()
	head, err := selectHead(ctx, q)
	if err != nil {
		return false, err
	}
	state, err := selectKeeping(ctx, q)
	if err != nil {
		return false, err
	}
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
	old := k.o.Now().Add(-mergeAfter).UnixMilli()
	if slices.ContainsFunc(blocks, func(b *block) bool { return b.latest > old && b.latest <= k.future() }) {
		return false, nil
	}
	previous, root, err := groupRoots(ctx, q, head, group)
	if err != nil {
		return false, err
	}
	r := rewrite{state: state, from: first, to: end, blocks: blocks, merged: end - 1}
	merged, rest := newPacker(head.base, first), newPacker(head.base, end)
	err = k.items(ctx, blocks, func(o *openBlock, e *entryRecord, removed *removedEntries) error {
		switch {
		case e == nil && removed.first < end:
			merged.remove(removed.level, removed.hash)
		case e == nil:
			rest.remove(removed.level, removed.hash)
		case e.position < end:
			entry, err := k.decoder.entry(ctx, o, *e)
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
	r.add(merged, previous, root, k.deflate.content)
	if rest.next > rest.first {
		last := blocks[len(blocks)-1]
		r.add(rest, root, last.hash, func(content []byte) []byte { return content })
	}
	return true, k.rewrite(ctx, &r)
}

// items calls visit for each entry of the blocks, and for each subtree of removed entries.
func (k *keeper) items(ctx context.Context, blocks []*block, visit func(*openBlock, *entryRecord, *removedEntries) error) error {
	for _, b := range blocks {
		o, err := k.decoder.open(b)
		if err == nil {
			err = k.decoder.load(ctx, o.principals)
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

// rewrite replaces blocks by other blocks, which have the same entries or fewer.
type rewrite struct {
	state    keeping
	from, to Position // the replaced blocks begin in this range
	blocks   []*block // the replaced blocks
	merged   Position // all entries up to this position are merged now; 0: no entries were merged
	new      []*block
	// The fields below are about merged entries.
	used  []principalRef
	sizes map[sizeKey]size
	lines int64 // bytes
	// The fields below are about removed entries: how many of each kind were removed, and the
	// position up to which all the entries of a kind are removed.
	removed   map[keptKind]int64
	removedTo map[keptKind]Position
}

// sizeKey is a kind and an hour since 1970.
type sizeKey struct {
	kind keptKind
	hour int64
}

type size struct{ entries, bytes int64 }

// count counts an entry that this rewrite merges.
func (r *rewrite) count(e *Entry, bytes int) {
	if r.sizes == nil {
		r.sizes = make(map[sizeKey]size)
	}
	key := sizeKey{e.kept(), e.Time.Unix() / 3600}
	s := r.sizes[key]
	r.sizes[key] = size{s.entries + 1, s.bytes + int64(bytes)}
	r.lines += int64(bytes)
}

// add adds a new block. It adds no block if the packer is empty, or if all entries of a whole
// group were removed.
func (r *rewrite) add(k *packer, previous, root hash, compress func([]byte) []byte) {
	if k.kept == 0 && (k.next == k.first || k.isGroup()) {
		return
	}
	b := &block{first: k.first, entries: int64(k.next - k.first), previous: previous, hash: root, content: compress(k.content())}
	if k.kept > 0 {
		b.earliest, b.latest = k.earliest, k.latest
	}
	r.new = append(r.new, b)
	r.used = append(r.used, k.principals...)
}

// errRewritten means that another process rewrote blocks at the same time.
var errRewritten = errors.New("another process changed the blocks at the same time")

// rewrite replaces the blocks in one transaction.
func (k *keeper) rewrite(ctx context.Context, r *rewrite) error {
	return k.write(ctx, "", func(tx *sql.Tx) error {
		ctx := context.WithoutCancel(ctx) // as in builder.write
		if r.merged == 0 {
			r.merged = r.state.merged
		}
		if err := moveKeeping(ctx, tx, r.state, r.merged); err != nil {
			return err
		}
		if n, err := deleteBlocks(ctx, tx, r.from, r.to); err != nil {
			return err
		} else if n != int64(len(r.blocks)) {
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

// remove removes entries beyond the limits from one block.
func (k *keeper) remove(ctx context.Context) (did bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("removing entries: %w", err)
		}
	}()
	q := k.db.Read()
	head, err := selectHead(ctx, q)
	if err != nil {
		return false, err
	}
	state, err := selectKeeping(ctx, q)
	if err != nil {
		return false, err
	}
	cutoffs, err := k.cutoffs(ctx)
	if err != nil {
		return false, err
	}
	if k.spanned == nil || k.spannedFor.Over(k.o.Now()) {
		k.spanned, k.spannedFor = make(map[Position]bool), clock.For(k.o.Now(), time.Hour)
	}
	var b *block // the first block with entries beyond their limits
	var earliest, latest int64
	next := make(map[keptKind]Position)
	for kind, cutoff := range cutoffs {
		after, err := blockAfter(ctx, q, max(state.removed[kind], head.base))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return false, err
		}
		next[kind] = after.first
		spanned := after.earliest < cutoff-spanned.Milliseconds() && !k.spanned[after.first]
		first, last, err := k.times(ctx, after)
		if err != nil {
			return false, err
		}
		if (last < cutoff || spanned) && (b == nil || after.first < b.first) {
			b, earliest, latest = after, first, last
		}
	}
	if b == nil {
		return false, nil
	}
	r := rewrite{state: state, from: b.first, to: b.first + 1, blocks: []*block{b}, removed: make(map[keptKind]int64), removedTo: make(map[keptKind]Position)}
	for kind, cutoff := range cutoffs {
		if next[kind] == b.first && latest < cutoff {
			r.removedTo[kind] = b.end() - 1
		}
	}
	k.spanned[b.first] = true
	packed := newPacker(head.base, b.first)
	var leaf []byte
	err = k.items(ctx, []*block{b}, func(o *openBlock, e *entryRecord, removed *removedEntries) error {
		if e == nil {
			packed.remove(removed.level, removed.hash)
			return nil
		}
		entry, err := k.decoder.entry(ctx, o, *e)
		if err != nil {
			return err
		}
		kind := entry.kept()
		cutoff, limited := cutoffs[kind]
		isReport := entry.Change != nil && entry.Change.Action == removeAction
		if !limited || isReport || max(min(entry.ID.milliseconds(), latest), earliest) >= cutoff {
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
		r.removed[kind]++
		return nil
	})
	if err != nil {
		return false, err
	}
	compress := func(content []byte) []byte { return content }
	if b.content[0] == deflated {
		compress = k.deflate.content
	}
	r.add(packed, b.previous, b.hash, compress)
	if len(r.removed) == 0 && len(r.removedTo) == 0 {
		return false, nil
	}
	return true, k.rewrite(ctx, &r)
}

// future returns a time, in milliseconds since 1970. An id with a later time was created while a
// clock was ahead. Such an id must not delay the merging or removal of the entries after it.
func (k *keeper) future() int64 { return k.o.Now().Add(minKept).UnixMilli() }

// times returns two times, in milliseconds since 1970. The entries of the block were written
// between them, even if the clock of a replica was wrong. The first time is taken from the block
// before, because that block began earlier. If an id of the block was created while a clock was
// ahead, the second time is taken from the next block without such an id.
func (k *keeper) times(ctx context.Context, b *block) (earliest, latest int64, err error) {
	future := k.future()
	before, err := selectBlockAt(ctx, k.db.Read(), b.first-1)
	switch {
	case err == nil && before.earliest <= future:
		earliest = before.earliest
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return 0, 0, err
	}
	if latest = b.latest; latest > future {
		latest, err = selectLatestFrom(ctx, k.db.Read(), b.end(), future)
		if b.earliest <= future {
			latest = max(latest, b.earliest)
		}
	} else {
		err = nil
	}
	return earliest, max(latest, earliest), err
}

// cutoffs returns a time for each kind, in milliseconds since 1970. Entries of the kind are beyond
// their limit if their ids have an earlier time.
func (k *keeper) cutoffs(ctx context.Context) (map[keptKind]int64, error) {
	now := k.o.Now()
	cutoffs := make(map[keptKind]int64)
	for kind, limit := range k.limits {
		var cutoff time.Time
		if limit.Age > 0 {
			cutoff = now.Add(-limit.Age)
		}
		if limit.Size > 0 {
			hour, ok, err := selectSizeCutoff(ctx, k.db.Read(), kind, limit.Size)
			if err != nil {
				return nil, err
			}
			if at := time.Unix((hour+1)*3600, 0); ok && at.After(cutoff) {
				cutoff = at
			}
		}
		if least := now.Add(-minKept); cutoff.After(least) {
			cutoff = least
		}
		if !cutoff.IsZero() {
			cutoffs[kind] = cutoff.UnixMilli()
		}
	}
	return cutoffs, nil
}

// report records how many entries were removed since the last report.
func (k *keeper) report(ctx context.Context) (did bool, err error) {
	if k.reported.Holds(k.o.Now()) {
		return false, nil
	}
	state, err := selectKeeping(ctx, k.db.Read())
	if err != nil || len(state.unreported) == 0 {
		return false, err
	}
	cutoffs, err := k.cutoffs(ctx)
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
	err = k.write(ctx, "", func(tx *sql.Tx) error {
		ctx := context.WithoutCancel(ctx)
		if err := moveKeeping(ctx, tx, state, state.merged); err != nil {
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
		return k.AppendTx(ctx, tx, Entry{Change: &Change{Actor: "tidewaiter", Action: removeAction, Target: "journal", To: to}})
	})
	if err != nil {
		return false, fmt.Errorf("recording removed entries: %w", err)
	}
	k.reported = clock.For(k.o.Now(), reportRemovedEvery)
	return true, nil
}

// sweeping is a sweep that has begun.
type sweeping struct {
	from, floor int64 // the sweep continues after from and ends before floor
	// used has the principals of the blocks that were not merged when the sweep began. The
	// principals of merged blocks are in the database.
	used map[int64]bool
}

// sweep deletes the principals that no entry refers to, a few in each call. A sweep begins once a
// day. First, it makes all writers store the principals of new blocks in new rows. So it can
// examine the old rows without a lock, even if this takes long, and even if the clocks of the
// writers are wrong.
func (k *keeper) sweep(ctx context.Context) (did bool, err error) {
	const atOnce = 256
	if k.swept.Holds(k.o.Now()) {
		return false, nil
	}
	defer func() {
		if err != nil {
			k.sweeping = nil
			err = fmt.Errorf("removing principals: %w", err)
		}
	}()
	q := k.db.Read()
	head, err := selectHead(ctx, q)
	if err != nil {
		return false, err
	}
	state, err := selectKeeping(ctx, q)
	if err != nil {
		return false, err
	}
	// Before this position, there are no decisions.
	end := min(state.removed[keptDecisions], state.removed[keptRefused])
	done := func() (bool, error) {
		k.swept, k.sweeping = clock.For(k.o.Now(), 24*time.Hour), nil
		return false, nil
	}
	if first, err := blockAfter(ctx, q, 0); end == 0 || err == nil && first.first <= head.base {
		return done() // nothing was removed, or blocks of format 1 refer to any principal
	}
	if k.sweeping == nil || head.floor < k.sweeping.floor { // a backup was restored
		k.sweeping, err = k.beginSweep(ctx, state.merged)
		return err == nil, err
	}
	numbers, last, err := selectUnused(ctx, q, k.sweeping.from, k.sweeping.floor, end, atOnce)
	if err != nil {
		return false, err
	}
	if last == 0 {
		return done()
	}
	numbers = slices.DeleteFunc(numbers, func(n int64) bool { return k.sweeping.used[n] })
	err = k.write(ctx, "", func(tx *sql.Tx) error {
		return deletePrincipals(context.WithoutCancel(ctx), tx, numbers, end)
	})
	if err != nil {
		return false, err
	}
	k.sweeping.from = last
	return true, nil
}

// beginSweep raises the floor of principals, and finds the principals that the blocks after
// position merged use.
func (k *keeper) beginSweep(ctx context.Context, merged Position) (*sweeping, error) {
	var head head
	err := k.write(ctx, "", func(tx *sql.Tx) (err error) {
		head, err = raiseFloor(context.WithoutCancel(ctx), tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &sweeping{floor: head.floor, used: make(map[int64]bool)}
	for next := merged + 1; next < head.next; {
		b, err := blockAfter(ctx, k.db.Read(), next-1)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return nil, err
		}
		o, err := k.decoder.open(b)
		if err != nil {
			return nil, err
		}
		for _, p := range o.principals {
			s.used[p.number] = true
		}
		next = b.end()
	}
	return s, nil
}
