package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

func notProvable(format string, args ...any) error {
	return &tree.NotProvableError{Why: fmt.Sprintf(format, args...)}
}

// keyAction is the action of an entry about a new key. Such entries are never removed, because
// Verify compares them with the keys that signed checkpoints.
const keyAction = "journal.key"

// RecordNewKey records in the caller's transaction that a new key signs the checkpoints. The
// former public key is "" if there was no key.
func (j *Journal) RecordNewKey(ctx context.Context, tx *sql.Tx, actor, formerKey, key string) error {
	c := &Change{Actor: actor, Action: keyAction, Target: "journal", To: map[string]any{"key": key}}
	if formerKey != "" {
		c.From = map[string]any{"key": formerKey}
	}
	return j.AppendTx(ctx, tx, Entry{Change: c})
}

// Prove returns a proof that entries are in the tree of a signed checkpoint of the journal.
// Without personal data, the proof has only the hash of the entries' private parts. If an entry
// cannot be proved, the error is a tree.NotProvableError.
func (j *Journal) Prove(ctx context.Context, signed []byte, personal bool, positions ...Position) (*tree.Proof, error) {
	proof, err := j.prove(ctx, signed, personal, positions)
	if _, ok := errors.AsType[*tree.NotProvableError](err); err != nil && !ok {
		err = fmt.Errorf("proving entries of the journal: %w", err)
	}
	return proof, err
}

func (j *Journal) prove(ctx context.Context, signed []byte, personal bool, positions []Position) (*tree.Proof, error) {
	r, c, err := j.treeReader(ctx, signed)
	if err != nil {
		return nil, err
	}
	p := &tree.Proof{Format: tree.EntriesFormat, Checkpoint: string(signed)}
	for _, position := range positions {
		leaf := int64(position - r.head.base)
		switch {
		case leaf < 1:
			return nil, notProvable("entry %d was written before the journal had a tree: only tidewaiter journal verify can check it", position)
		case leaf >= c.Size:
			return nil, notProvable("no signed checkpoint covers entry %d yet: the service signs one every ten seconds", position)
		}
		e, err := r.entry(position, personal)
		if err != nil {
			return nil, err
		}
		if e.Path, err = tlog.ProveRecord(c.Size, leaf, r); err != nil {
			return nil, err
		}
		e.Leaf = leaf
		p.Entries = append(p.Entries, *e)
	}
	return p, nil
}

// ProveConsistency returns a proof that the tree of a signed checkpoint of the journal begins
// with the tree of an older checkpoint. If the tree begins in another way, tree.Check refuses the
// proof. A key of the journal must have signed the older checkpoint. With a forged checkpoint,
// the proof would fail although the journal is unchanged, and the journal would be blamed.
func (j *Journal) ProveConsistency(ctx context.Context, signed, old []byte) (*tree.Proof, error) {
	proof, err := j.proveConsistency(ctx, signed, old)
	if _, ok := errors.AsType[*tree.NotProvableError](err); err != nil && !ok {
		err = fmt.Errorf("proving the journal's consistency: %w", err)
	}
	return proof, err
}

func (j *Journal) proveConsistency(ctx context.Context, signed, old []byte) (*tree.Proof, error) {
	from, err := parseNote(old)
	if err != nil {
		return nil, notProvable("%v", err)
	}
	keys, err := checkpoint.ReadKeys(ctx, j.db.Read())
	if err != nil {
		return nil, err
	}
	r, c, err := j.treeReader(ctx, signed)
	if err != nil {
		return nil, err
	}
	switch {
	case from.Origin != c.Origin:
		return nil, notProvable("the checkpoint is of %q, and this journal is %q", from.Origin, c.Origin)
	case from.Size < 1:
		return nil, notProvable("the checkpoint is of an empty tree")
	}
	if _, err := keys.Open(old); err != nil {
		return nil, notProvable("no key of this journal has signed the checkpoint: it was forged or changed, or it belongs to another journal with the same name")
	}
	if from.Size > c.Size {
		return nil, notProvable("the checkpoint is of a tree of %d leaves, but the last checkpoint of this journal has %d: entries are missing in this journal", from.Size, c.Size)
	}
	p := &tree.Proof{Format: tree.ConsistencyFormat, Old: string(old), Checkpoint: string(signed)}
	if from.Size < c.Size {
		p.Hashes, err = tlog.ProveTree(c.Size, from.Size, r)
	}
	return p, err
}

// treeReader reads hashes of the tree. It is a tlog.HashReader.
type treeReader struct {
	ctx     context.Context
	q       store.Querier
	decoder *decoder
	head    head
	nodes   nodeReader
	groups  map[int64]map[tree.Node]hash // by group: hashes of the levels that are not stored
}

// treeReader returns a reader of the tree, and the checkpoint in the signed note.
func (j *Journal) treeReader(ctx context.Context, signed []byte) (*treeReader, tree.Checkpoint, error) {
	if signed == nil {
		return nil, tree.Checkpoint{}, notProvable("the journal has no signed checkpoint yet: the service signs one every ten seconds")
	}
	c, err := parseNote(signed)
	if err != nil {
		return nil, tree.Checkpoint{}, err
	}
	r, err := j.readTree(ctx)
	return r, c, err
}

func (j *Journal) readTree(ctx context.Context) (*treeReader, error) {
	q := j.db.Read()
	h, err := selectHead(ctx, q)
	return &treeReader{
		ctx: ctx, q: q, decoder: newDecoder(q), head: h, nodes: nodeReader{q: q}, groups: make(map[int64]map[tree.Node]hash),
	}, err
}

// parseNote returns the checkpoint in a signed note. It does not verify the signatures.
func parseNote(signed []byte) (tree.Checkpoint, error) {
	text, _, _ := strings.Cut(string(signed), "\n\n")
	return tree.ParseCheckpoint(text + "\n")
}

// ReadHashes returns the hashes of complete subtrees by their tlog.StoredHashIndex.
func (r *treeReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, number := tlog.SplitStoredHashIndex(index)
		h, ok, err := r.hash(level, number)
		if err != nil {
			return nil, err
		}
		if !ok && level < tree.StoredLevel {
			return nil, notProvable("the older checkpoint ends among entries that retention has removed, near leaf %d: only a checkpoint that ends among stored entries can be compared", number<<level)
		}
		if !ok {
			return nil, notProvable("a part of the journal's tree is missing: tidewaiter journal verify finds out why")
		}
		hashes[i] = h
	}
	return hashes, nil
}

func (r *treeReader) hash(level int, number int64) (h hash, ok bool, err error) {
	if level >= tree.StoredLevel {
		return r.nodes.get(r.ctx, level, number)
	}
	group := number << level / tree.GroupSize
	known, ok := r.groups[group]
	if !ok {
		if known, err = r.group(group); err != nil {
			return h, false, err
		}
		r.groups[group] = known
	}
	h, ok = known[tree.Node{Level: level, Number: number}]
	return h, ok, nil
}

// group computes the hashes of the complete subtrees of a group of leaves, from the blocks that
// overlap the group.
func (r *treeReader) group(group int64) (map[tree.Node]hash, error) {
	known := make(map[tree.Node]hash, 2*tree.GroupSize)
	add := func(level int, number int64, h hash) {
		for ; level < tree.StoredLevel; level++ {
			known[tree.Node{Level: level, Number: number}] = h
			left, ok := known[tree.Node{Level: level, Number: number - 1}]
			if number&1 == 0 || !ok {
				return
			}
			h, number = tlog.NodeHash(left, h), number>>1
		}
	}
	first := r.head.base + Position(group*tree.GroupSize)
	end := min(first+tree.GroupSize, r.head.next)
	if group == 0 {
		add(0, 0, originLeaf(r.head.base, r.head.chain))
		first++
	}
	for next := first; next < end; {
		b, err := blockAfter(r.ctx, r.q, next-1)
		if errors.Is(err, sql.ErrNoRows) || err == nil && b.first >= end {
			break // the whole group was removed
		}
		if err != nil {
			return nil, err
		}
		o, err := r.decoder.open(b)
		if err == nil {
			err = o.visitLeaves(b, func(*parts) error { return nil }, func(l leaf) error {
				if l.at >= first && l.at < end {
					add(l.level, int64(l.at-r.head.base)>>l.level, l.hash)
				}
				return nil
			})
		}
		if err != nil {
			return nil, fmt.Errorf("reading the block at position %d: %w", b.first, err)
		}
		next = b.end()
	}
	return known, nil
}

// entry returns the data that is hashed in an entry's leaf.
func (r *treeReader) entry(position Position, personal bool) (*tree.Entry, error) {
	b, err := blockAfter(r.ctx, r.q, position-1)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	var o *openBlock
	if err == nil {
		if o, err = r.decoder.open(b); err != nil {
			return nil, err
		}
	}
	i := -1
	if o != nil {
		i = slices.IndexFunc(o.entries, func(e entryRecord) bool { return e.position == position })
	}
	if i < 0 {
		return nil, notProvable("entry %d is no longer stored", position)
	}
	p, err := o.split(o.entries[i].line)
	if err != nil {
		return nil, err
	}
	e := &tree.Entry{Public: string(p.public)}
	sum, erased, err := p.privateHash()
	switch {
	case err != nil:
		return nil, err
	case erased || !personal && len(p.private) > 0:
		e.PrivateHash = &sum
	default:
		e.Private = string(p.private)
	}
	if p.principal >= 0 {
		ref := o.principals[p.principal]
		err := selectPrincipals(r.ctx, r.q, []int64{ref.number}, func(_ int64, _, text []byte) { e.Principal = string(text) })
		if err != nil {
			return nil, err
		}
		if sha256.Sum256([]byte(e.Principal)) != ref.hash {
			return nil, notProvable("the principal of entry %d is missing or was changed", position)
		}
	}
	for _, rule := range p.rules {
		e.Rules = append(e.Rules, string(o.ruleTexts[rule]))
	}
	return e, nil
}

// Decode sets e to the entry in a proof. Its Position is the number of the leaf.
func (e *Entry) Decode(proven tree.Entry) error {
	d, o := newDecoder(nil), &openBlock{form: 2}
	p := parts{principal: -1, public: []byte(proven.Public), private: []byte(proven.Private)}
	if proven.Principal != "" {
		text := []byte(proven.Principal)
		principal, err := decodePrincipal(text)
		if err != nil {
			return fmt.Errorf("reading a proof: its principal: %w", err)
		}
		ref := principalRef{1, sha256.Sum256(text)}
		p.principal, o.principals = 0, []principalRef{ref}
		d.principals.put(ref.hash, principal, len(text))
	}
	for i, text := range proven.Rules {
		rule, err := parseRule([]byte(text))
		if err != nil {
			return fmt.Errorf("reading a proof: %w", err)
		}
		o.rules, p.rules = append(o.rules, rule), append(p.rules, i)
	}
	entry, err := d.decodeParts(context.Background(), o, &p, Position(proven.Leaf))
	if err != nil {
		return fmt.Errorf("reading a proof: %w", err)
	}
	*e = entry
	return nil
}
