package journal

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Verified describes the part of the journal that was verified.
type Verified struct {
	First, Last Position // 0 if there are no entries
	Blocks      int64
	Entries     int64 // entries that are in the journal
	Removed     int64 // entries that were removed, but whose place in the tree is known
	Erased      int64 // entries whose private part was erased
	// Hash is the hash of the last block: the root of the tree, or the hash of a block of format
	// 1. A copy of Hash in another place proves later that no entry up to Last was changed.
	Hash [32]byte
	Size int64 // leaves of the tree with the root Hash; 0: Hash is of a block of format 1
}

// BrokenError describes the first place where the journal is damaged.
type BrokenError struct {
	Block Position // position of the block's first entry
	Why   string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("the journal is broken at position %d: %s", e.Block, e.Why)
}

// Verify checks the journal from the block that contains a position to the end. It returns a
// *BrokenError if an entry, or a principal to which an entry refers, is missing or was changed.
//
// Blocks of format 1 are checked by their chain. Older blocks may have been deleted, so Verify
// trusts the predecessor's hash that the first checked block contains. The other blocks are
// checked by the tree, whose leaves are computed from the entries. If all entries of a stored
// subtree are missing, they count as removed. If Verify begins in the middle, it trusts the stored
// subtrees before the first checked block.
func (j *Journal) Verify(ctx context.Context, from Position) (Verified, error) {
	return verify(ctx, j.db.Read(), from, 0, nil)
}

// VerifyRange is like Verify, but it stops after the block that contains a second position. If the
// second position is 0, VerifyRange continues to the end of the journal. If the function progress
// is not nil, it is called after each block. Its arguments are the number of verified entries and
// the number of all entries to verify.
func (j *Journal) VerifyRange(ctx context.Context, from, to Position, progress func(done, all int64)) (Verified, error) {
	return verify(ctx, j.db.Read(), from, to, progress)
}

func verify(ctx context.Context, q store.Querier, from, to Position, progress func(done, all int64)) (Verified, error) {
	v := verifier{q: q, decoder: newDecoder(q), known: newCache[principalRef, struct{}](4096, 1), nodes: nodeReader{q: q}, progress: progress}
	err := v.run(ctx, max(from, 1), to)
	if err == nil {
		err = v.checkMisplaced(ctx, from, to)
	}
	whole := from <= v.head.base+1 && v.Last == v.head.next-1
	if err == nil && whole {
		err = v.checkRemoved(ctx)
	}
	if err == nil {
		err = v.checkSignatures(whole)
	}
	if _, isBroken := errors.AsType[*BrokenError](err); err != nil && !isBroken {
		err = fmt.Errorf("verifying the journal at position %d: %w", v.Last+1, err)
	}
	return v.Verified, err
}

// verifier is one run of Verify.
type verifier struct {
	Verified
	q       store.Querier
	decoder *decoder
	head    head

	// progress is called with the numbers of verified entries and of all entries to verify. These
	// entries are at the positions from begun to end-1.
	progress   func(done, all int64)
	begun, end Position

	tree      tree.Frontier
	nodes     nodeReader
	known     *cache[principalRef, struct{}] // principals that were checked
	completed []tree.Node                    // subtrees to compare with the stored ones

	checkpoints []storedCheckpoint // of larger trees
	wrong       int64              // size of a checkpoint whose root differs from the tree's root
	keys        checkpoint.Keys
	signed      []storedCheckpoint // the checkpoints of the verified part
	replaced    []string           // keys that were replaced, according to the entries
	reported    int64              // number of removed entries in the last report that was read
	// treeAtHead is a copy of the tree at the size that the journal's head records.
	treeAtHead *tree.Frontier
}

func (v *verifier) run(ctx context.Context, from, to Position) (err error) {
	if v.checkpoints, err = selectCheckpoints(ctx, v.q); err != nil {
		return err
	}
	// The keys are read after the checkpoints and before the head. So if a key was replaced, the
	// entry about the replacement comes before the head.
	if v.keys, err = checkpoint.ReadKeys(ctx, v.q); err != nil {
		return err
	}
	// The head is read before the blocks. So blocks that are written during the check come after
	// the head, and are not checked.
	if v.head, err = selectHead(ctx, v.q); err != nil {
		return err
	}
	if v.begun, v.end = from, v.head.next; to > 0 {
		v.end = min(v.end, to+1)
	}
	if from >= v.end {
		return nil
	}
	if from <= v.head.base {
		if err := v.runChain(ctx, from); err != nil {
			return err
		}
		from = v.head.base + 1
	}
	if from >= v.end {
		return nil
	}
	if err := v.begin(ctx, from); err != nil {
		return err
	}
	for c, err := range readAhead(ctx, v.q, v.nextPosition()-1, checkBlock) {
		if err != nil {
			return err
		}
		if err := v.skip(ctx, min(c.block.first, v.head.next)); err != nil {
			return err
		}
		if v.nextPosition() >= v.end {
			break
		}
		if err := v.verifyBlock(ctx, c); err != nil {
			return err
		}
		if v.nextPosition() >= v.end {
			break
		}
	}
	if v.nextPosition() < v.end {
		if err := v.skip(ctx, v.head.next); err != nil {
			return err
		}
	}
	if n := len(v.checkpoints); n > 0 && v.end == v.head.next && v.checkpoints[n-1].size > v.tree.Size() {
		return &BrokenError{v.head.next, fmt.Sprintf("there is a signed checkpoint of %d leaves, but the tree has %d", v.checkpoints[n-1].size, v.tree.Size())}
	}
	return nil
}

// checkMisplaced looks for blocks that the other checks have not seen.
func (v *verifier) checkMisplaced(ctx context.Context, from, to Position) error {
	if v.Blocks > 0 {
		from = v.First
	}
	first, found, err := selectMisplaced(ctx, v.q, from)
	if err == nil && found && (to == 0 || first <= to) {
		err = &BrokenError{first, "it overlaps the next block or begins after the journal's end"}
	}
	return err
}

// checkRemoved compares the number of removed entries with the numbers in the journal's reports.
// So nobody can delete entries and pretend that retention removed them.
func (v *verifier) checkRemoved(ctx context.Context) error {
	state, err := selectMaintenance(ctx, v.q)
	if err != nil {
		return err
	}
	pending := int64(0)
	for kind, n := range state.unreported {
		if kind != removedOld {
			pending += n
		}
	}
	// A new report may have been written during the check.
	for after := v.head.next - 1; v.Removed > v.reported+pending; {
		b, err := blockAfter(ctx, v.q, after)
		if errors.Is(err, sql.ErrNoRows) {
			return &BrokenError{v.First, fmt.Sprintf("%d entries are missing, but only %d were removed because of the limits", v.Removed, v.reported+pending)}
		}
		if err != nil {
			return err
		}
		o, err := v.decoder.open(b)
		if err != nil {
			return &BrokenError{b.first, err.Error()}
		}
		for _, e := range o.entries {
			v.seeChange(o.publicPart(e.line))
		}
		after = b.end() - 1
	}
	return nil
}

// isNoted reports whether the public part of an entry is about removed entries or a replaced key.
// The verifier needs these entries for its last checks.
func isNoted(public []byte) bool {
	return bytes.Contains(public, []byte("journal.")) && // faster than the rest, and rare
		(bytes.Contains(public, []byte(`"action":"`+removeAction+`"`)) || bytes.Contains(public, []byte(`"action":"`+keyAction+`"`)))
}

// seeChange reads the public part of an entry. If the entry reports the number of removed entries,
// or a replaced key, seeChange records that number or key.
func (v *verifier) seeChange(public []byte) {
	if !isNoted(public) {
		return
	}
	var l struct {
		Change struct {
			Action   string
			From, To json.RawMessage
		}
	}
	if json.Unmarshal(public, &l) != nil {
		return
	}
	switch l.Change.Action {
	case removeAction:
		var kinds map[retentionKind]struct{ Total int64 }
		if json.Unmarshal(l.Change.To, &kinds) != nil {
			return
		}
		total := int64(0)
		for kind, removed := range kinds {
			if kind != removedOld {
				total += removed.Total
			}
		}
		v.reported = max(v.reported, total)
	case keyAction:
		var from struct{ Key string }
		if json.Unmarshal(l.Change.From, &from) == nil {
			v.replaced = append(v.replaced, from.Key)
		}
	}
}

// runChain checks the blocks of format 1.
func (v *verifier) runChain(ctx context.Context, next Position) error {
	for next <= v.head.base && next < v.end {
		b, err := blockAfter(ctx, v.q, next-1)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		missing := err != nil || b.first > v.head.base
		switch {
		case missing && v.Blocks == 0 && v.head.next-1 > v.head.base:
			return nil // all blocks of format 1 were deleted because of their age
		case missing:
			return &BrokenError{next, fmt.Sprintf("the entries up to %d are missing", v.head.base)}
		case v.Blocks > 0 && b.first != next:
			return &BrokenError{next, fmt.Sprintf("the entries up to %d are missing", b.first-1)}
		case v.Blocks > 0 && b.previous != v.Hash:
			return &BrokenError{b.first, "it does not follow from the block before it"}
		case b.sum() != b.hash:
			return changed(b)
		}
		o, err := v.decoder.open(b)
		if err != nil {
			return &BrokenError{b.first, err.Error()}
		}
		if o.form != 1 {
			return &BrokenError{b.first, "its format differs from that of the blocks after it"}
		}
		if err := v.checkPrincipals(ctx, b, o); err != nil {
			return err
		}
		v.count(b)
		v.Entries += b.entries
		if next = b.end(); next > v.head.base && (next != v.head.base+1 || b.hash != v.head.chain) {
			return &BrokenError{b.first, "it is not the block that the journal's head refers to"}
		}
	}
	if len(v.head.frontier) == 0 && v.head.hash != v.head.chain {
		return &BrokenError{v.head.base, "it is not the block that the journal's head refers to"}
	}
	return nil
}

// begin sets the tree to the state before the block that contains a position.
func (v *verifier) begin(ctx context.Context, from Position) error {
	b, err := blockAfter(ctx, v.q, from-1)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && b.first >= v.head.next:
		from = v.head.base + 1 // there is no such block: find the missing entries
	case err != nil:
		return err
	case b.first > v.head.base && b.first <= from:
		from = b.first
	}
	leaf := int64(from - v.head.base)
	group := leaf &^ (tree.GroupSize - 1)
	for _, n := range tree.Subtrees(group) {
		h, ok, err := v.nodes.get(ctx, n.Level, n.Number)
		if err != nil {
			return err
		}
		if !ok {
			return &BrokenError{from, "the journal's tree before it is not stored"}
		}
		v.tree.Append(nil, n.Level, h)
	}
	if group == 0 {
		v.tree.Append(nil, 0, originLeaf(v.head.base, v.head.chain))
	}
	before := v.Verified
	// The result does not count the entries before the first position to verify.
	defer func() { v.Verified = before }()
	for v.nextPosition() < from {
		b, err := blockAfter(ctx, v.q, v.nextPosition()-1)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err != nil || b.first > v.nextPosition() {
			return &BrokenError{v.nextPosition(), fmt.Sprintf("the entries up to %d are missing", from-1)}
		}
		c := checkBlock(v.decoder, b)
		if err = cmp.Or(c.opening, c.reading); err == nil {
			err = v.add(c.leaves, v.nextPosition(), min(from, b.end()))
		}
		if err != nil {
			return &BrokenError{b.first, err.Error()}
		}
	}
	v.completed = v.completed[:0]
	if leaf > 1 {
		v.checkpoints = slices.DeleteFunc(v.checkpoints, func(c storedCheckpoint) bool { return c.size <= v.tree.Size() })
		v.signed, v.wrong = nil, 0
	}
	return nil
}

// nextPosition returns the position of the entry that is the tree's next leaf.
func (v *verifier) nextPosition() Position { return v.head.base + Position(v.tree.Size()) }

// skip adds the stored subtrees up to a position to the tree, because their entries are missing.
func (v *verifier) skip(ctx context.Context, to Position) error {
	for v.nextPosition() < to {
		first, size := v.nextPosition(), v.tree.Size()
		if size == 1 {
			size = 0 // the stored subtree contains leaf 0
		}
		var h hash
		ok := size%tree.GroupSize == 0 && size+tree.GroupSize <= int64(to-v.head.base)
		if ok {
			var err error
			if h, ok, err = v.nodes.get(ctx, tree.StoredLevel, size/tree.GroupSize); err != nil {
				return err
			}
		}
		if !ok {
			return &BrokenError{first, fmt.Sprintf("the entries up to %d are missing", to-1)}
		}
		if size == 0 {
			v.tree = tree.Frontier{}
		}
		v.grow(tree.StoredLevel, h)
		v.Removed += int64(v.nextPosition() - first)
		v.Last = v.nextPosition() - 1
		if err := v.checkNodes(ctx, first); err != nil {
			return err
		}
	}
	return v.checkHead(to)
}

// grow adds a subtree to the tree.
func (v *verifier) grow(level int, h hash) {
	v.completed = v.tree.Append(v.completed, level, h)
	for len(v.checkpoints) > 0 && v.checkpoints[0].size <= v.tree.Size() {
		c, err := parseNote(v.checkpoints[0].note)
		v.signed = append(v.signed, v.checkpoints[0])
		if v.checkpoints[0].size == v.tree.Size() && (err != nil || c.Size != v.tree.Size() || c.Root != v.tree.Root()) {
			v.wrong = cmp.Or(v.wrong, v.tree.Size())
		}
		v.checkpoints = v.checkpoints[1:]
	}
	if v.nextPosition() == v.head.next {
		at := v.tree.Clone()
		v.treeAtHead = &at
	}
}

// verifyBlock checks one block, which begins at the next position.
func (v *verifier) verifyBlock(ctx context.Context, c *checkedBlock) error {
	b, o := c.block, c.open
	switch {
	case c.opening != nil:
		return &BrokenError{b.first, c.opening.Error()}
	case o.form == 1:
		return &BrokenError{b.first, "its format differs from that of the blocks before it"}
	// A block that was merged during the check can begin before v.nextPosition().
	case b.first == v.nextPosition() && v.tree.Root() != b.previous:
		return &BrokenError{b.first, "it does not follow from the block before it"}
	case c.firstLine != nil:
		return &BrokenError{b.first, c.firstLine.Error()}
	}
	if err := v.checkPrincipals(ctx, b, o); err != nil {
		return err
	}
	err := c.reading
	if err == nil {
		err = v.add(c.leaves, v.nextPosition(), b.end())
	}
	if err != nil {
		return &BrokenError{b.first, err.Error()}
	}
	for _, public := range c.noted {
		v.seeChange(public)
	}
	if v.tree.Root() != b.hash || !c.references.hasTimesOf(b) {
		return changed(b)
	}
	if c.references.principals != len(o.principals) || c.references.rules != len(o.rules) {
		return &BrokenError{b.first, "its first line has a principal or a rule that no entry uses"}
	}
	if err := v.checkNodes(ctx, b.first); err != nil {
		return err
	}
	v.count(b)
	return v.checkHead(b.first)
}

// add adds the leaves of a block to the tree, but only the leaves between two positions.
func (v *verifier) add(leaves []leaf, from, to Position) error {
	for i := range leaves {
		l := &leaves[i]
		switch {
		case l.at < from || l.at >= to:
			continue
		case !v.tree.Fits(l.level):
			return errors.New("its removed entries are not a subtree")
		case l.removed:
			v.Removed += 1 << l.level
		default:
			v.Entries++
		}
		if l.erased {
			v.Erased++
		}
		v.grow(l.level, l.hash)
	}
	return nil
}

// checkFirstLine checks that the first line has the form that the encoder writes. Other forms
// could contain data that no leaf covers.
func (o *openBlock) checkFirstLine() error {
	want := appendFirstLine(nil, o.principals, len(o.rules), func(i int) []byte { return appendRule(nil, o.rules[i]) })
	if !bytes.Equal(want[:len(want)-1], o.firstLine) {
		return errors.New("its first line was changed after it was written")
	}
	distinct := make(map[string]bool, len(o.rules))
	for _, rule := range o.ruleTexts {
		distinct[string(rule)] = true
	}
	if len(distinct) < len(o.rules) {
		return errors.New("its first line has a rule twice")
	}
	return nil
}

// referenceChecker checks the parts of a block that the leaves do not cover. Principals and rules
// must be in order of first use, so that only one set of references gives the same leaves. The
// first and last time of the block must be the earliest and latest time in the ids of the entries.
type referenceChecker struct {
	o                 *openBlock
	principals, rules int // the numbers of principals and rules that were used so far
	earliest, latest  int64
}

func newReferences(o *openBlock) *referenceChecker {
	return &referenceChecker{o: o, earliest: math.MaxInt64, latest: math.MinInt64}
}

func (c *referenceChecker) entry(p *parts) error {
	if p.principal == c.principals {
		c.principals++
	}
	for _, rule := range p.rules {
		if rule == c.rules {
			c.rules++
		}
		if rule > c.rules {
			return errors.New("its rules are not in order of first use")
		}
	}
	if p.principal > c.principals {
		return errors.New("its principals are not in order of first use")
	}
	id, err := readID(p.public)
	if err != nil {
		return err
	}
	c.earliest, c.latest = min(c.earliest, id.milliseconds()), max(c.latest, id.milliseconds())
	return nil
}

// hasTimesOf reports whether the first and last time of the block are those of the entries. If
// entries were removed, these times can be those of removed entries.
func (c *referenceChecker) hasTimesOf(b *block) bool {
	if len(c.o.removed) > 0 {
		return b.earliest <= c.earliest && b.latest >= c.latest
	}
	return b.earliest == c.earliest && b.latest == c.latest
}

// checkNodes compares the complete subtrees with the stored ones.
func (v *verifier) checkNodes(ctx context.Context, at Position) error {
	for _, n := range v.completed {
		h, ok, err := v.nodes.get(ctx, n.Level, n.Number)
		if err != nil {
			return err
		}
		if !ok || h != n.Hash {
			return &BrokenError{at, fmt.Sprintf("the stored subtree %d of level %d does not match the entries", n.Number, n.Level)}
		}
	}
	v.completed = v.completed[:0]
	return nil
}

// checkHead compares the tree with the stored checkpoints and the head.
func (v *verifier) checkHead(at Position) error {
	if v.wrong > 0 {
		return &BrokenError{at, fmt.Sprintf("the signed checkpoint of %d leaves has a different root", v.wrong)}
	}
	if v.treeAtHead == nil {
		return nil
	}
	if v.treeAtHead.Root() != v.head.hash || !bytes.Equal(v.treeAtHead.AppendTo(nil), v.head.frontier) {
		return &BrokenError{at, "it is not the block that the journal's head refers to"}
	}
	return nil
}

// checkPrincipals checks that the principals of a block were not changed.
func (v *verifier) checkPrincipals(ctx context.Context, b *block, o *openBlock) error {
	refs := slices.DeleteFunc(slices.Clone(o.principals), func(ref principalRef) bool {
		_, ok := v.known.get(ref)
		return ok
	})
	err := v.decoder.principalTexts(ctx, refs, func(ref principalRef, _ []byte) error {
		v.known.put(ref, struct{}{}, 0)
		return nil
	})
	if _, tampered := errors.AsType[*principalError](err); tampered {
		return &BrokenError{b.first, err.Error()}
	}
	return err
}

// count counts a block.
func (v *verifier) count(b *block) {
	if v.Blocks == 0 {
		v.First = b.first
	}
	v.Blocks++
	v.Last, v.Hash, v.Size = b.end()-1, b.hash, v.tree.Size()
	if v.progress != nil {
		v.progress(int64(min(b.end(), v.end)-v.begun), int64(v.end-v.begun))
	}
}

func changed(b *block) *BrokenError {
	return &BrokenError{b.first, "it was changed after it was written"}
}

// nodeReader reads stored subtrees, mostly in order.
type nodeReader struct {
	q    store.Querier
	read map[int][]tree.Node // by level; only the subtrees that the last query returned
}

// get returns the hash of a stored subtree, or false if it is not stored.
func (r *nodeReader) get(ctx context.Context, level int, number int64) (h hash, ok bool, err error) {
	const atOnce = 512
	find := func() (int, bool) {
		return slices.BinarySearchFunc(r.read[level], number, func(n tree.Node, number int64) int { return cmp.Compare(n.Number, number) })
	}
	i, ok := find()
	if !ok {
		nodes, err := selectNodes(ctx, r.q, level, number, atOnce)
		if err != nil {
			return h, false, err
		}
		if r.read == nil {
			r.read = make(map[int][]tree.Node)
		}
		r.read[level] = nodes
		if i, ok = find(); !ok {
			return h, false, nil
		}
	}
	return r.read[level][i].Hash, true, nil
}
