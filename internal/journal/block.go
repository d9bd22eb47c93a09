package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/dedup"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

// block is a row of the journal.
type block struct {
	first            Position
	entries          int64
	earliest, latest int64 // times of the entries' ids, in milliseconds since 1970
	// The fields previous and hash are the roots of the tree before and after the block. In format
	// 1, the field hash is the result of the method sum, and previous is the hash of the preceding
	// block.
	previous, hash hash
	content        []byte
}

func (b *block) end() Position { return b.first + Position(b.entries) }

// sum returns the hash of a block of format 1. The hash covers all columns, and each number has a
// fixed length.
func (b *block) sum() hash {
	const title = "tidewaiter journal block\n"
	h := sha256.New()
	head := make([]byte, 0, len(title)+5*8+sha256.Size)
	head = append(head, title...)
	head = append(head, b.previous[:]...)
	for _, n := range [...]int64{int64(b.first), b.entries, b.earliest, b.latest, int64(len(b.content))} {
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	h.Write(head)
	h.Write(b.content)
	return hash(h.Sum(nil))
}

// tree returns the tree of all entries up to the head.
func (h *head) tree() (tree.Frontier, error) {
	if len(h.frontier) == 0 { // this is the first block of format 2
		var f tree.Frontier
		f.Append(nil, 0, originLeaf(h.base, h.chain))
		return f, nil
	}
	f, err := tree.ParseFrontier(int64(h.next-h.base), h.frontier)
	if err != nil {
		err = fmt.Errorf("the journal's head is damaged: %w", err)
	}
	return f, err
}

// originLeaf returns leaf 0. It stands for the blocks of format 1. Its data has three parts: the
// 24 bytes "tidewaiter journal tree\n", the position of the last entry of format 1 (eight bytes
// in big-endian order), and the hash of the last block of format 1. The position and the hash are
// zero if there are no blocks of format 1.
func originLeaf(base Position, chain hash) hash {
	b := append([]byte{tree.LeafPrefix}, "tidewaiter journal tree\n"...)
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	return tree.LeafHash(append(b, chain[:]...))
}

// builder writes blocks within transactions. Only one goroutine uses a builder.
type builder struct {
	maxEntries, maxBytes int
	known                *principals
	encoder              *encoder
	content              []byte
	nodes                []tree.Node // tree nodes that the current transaction completed
	duplicates           dedup.Filter

	end     Position // the next position after the last commit; 0: no commit yet
	next    Position // the next position after the current transaction
	rewound int64    // number of entries that the current transaction found missing
}

func newBuilder(maxEntries, maxBytes int) *builder {
	known := newPrincipals()
	return &builder{maxEntries: maxEntries, maxBytes: maxBytes, known: known, encoder: newEncoder(known)}
}

// write appends entries to the journal in the transaction tx and sets their positions. It returns
// the entries that are not duplicates. The result uses the array of the parameter.
func (w *builder) write(ctx context.Context, tx *sql.Tx, now time.Time, entries []Entry) (kept []Entry, blocks int, err error) {
	// When ctx ends, tx is rolled back anyway. If statements also got this ctx, each statement
	// would start one more goroutine that waits for the end of ctx.
	ctx = context.WithoutCancel(ctx)
	h, err := lockHead(ctx, tx)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the journal's head: %w", err)
	}
	if w.rewound = int64(w.end - h.next); w.rewound > 0 {
		// The database was replaced by an older copy. For example, a backup was restored under a
		// running process, or a lagging standby took over. Entries that were acknowledged after
		// the copy are gone, and the journal records their loss. Principals that this process
		// stored may be gone, too.
		*w.known = *newPrincipals()
		entries = append(entries, rewindEntry(now, w.rewound))
	}
	w.known.next, w.known.floor = h.principal, h.floor
	kept, err = w.dropDuplicates(ctx, tx, now, entries)
	if err != nil {
		return nil, 0, fmt.Errorf("checking for repeated events: %w", err)
	}
	w.next = h.next
	if len(kept) == 0 {
		return nil, 0, nil
	}
	frontier, err := h.tree()
	if err != nil {
		return nil, 0, err
	}
	w.nodes = w.nodes[:0]
	root := frontier.Root()
	for rest := kept; len(rest) > 0; blocks++ {
		b := block{first: h.next, previous: root}
		rest = rest[w.fill(&b, rest):]
		for _, leaf := range w.encoder.leaves {
			w.nodes = frontier.Append(w.nodes, 0, leaf)
		}
		root = frontier.Root()
		b.hash = root
		if err := insertBlock(ctx, tx, &b); err != nil {
			return nil, 0, fmt.Errorf("writing a block of the journal: %w", err)
		}
		h.next, h.hash = b.end(), b.hash
	}
	if err := putNodes(ctx, tx, w.nodes); err != nil {
		return nil, 0, fmt.Errorf("writing the journal's tree: %w", err)
	}
	if err := insertPrincipals(ctx, tx, w.known.pending); err != nil {
		return nil, 0, fmt.Errorf("writing principals: %w", err)
	}
	h.principal, w.next = w.known.next, h.next
	h.frontier = frontier.AppendTo(h.frontier[:0])
	if err := moveHead(ctx, tx, h); err != nil {
		return nil, 0, fmt.Errorf("updating the journal's head: %w", err)
	}
	return kept, blocks, nil
}

// dropDuplicates returns the entries without the events that the journal already has. The result
// uses the array of the parameter.
func (w *builder) dropDuplicates(ctx context.Context, tx *sql.Tx, now time.Time, entries []Entry) ([]Entry, error) {
	isIdentified := func(e *Entry) bool { return e.Event != nil && e.Event.ID != "" }
	var events []dedup.Event
	for i := range entries {
		if e := &entries[i]; isIdentified(e) {
			events = append(events, dedup.Event{Registry: e.Registry, ID: e.Event.ID, Time: e.Event.Time})
		}
	}
	isNew, err := w.duplicates.New(ctx, tx, now, events)
	if err != nil {
		return nil, err
	}
	kept := entries[:0]
	for _, e := range entries {
		if isIdentified(&e) {
			first := isNew[0]
			if isNew = isNew[1:]; !first {
				continue
			}
		}
		kept = append(kept, e)
	}
	return kept, nil
}

// settle must be called after the transaction of write. The parameter committed is true if the
// transaction was committed.
func (w *builder) settle(committed bool) {
	w.known.settle(committed)
	if committed && w.next > 0 {
		w.end = w.next
	}
	w.next = 0
}

// rewindEntry returns an entry that records the loss of earlier entries.
func rewindEntry(now time.Time, entries int64) Entry {
	now = now.UTC().Truncate(time.Microsecond)
	return Entry{ID: NewID(now), Time: now, Change: &Change{
		Actor: "tidewaiter", Action: "journal.rewound", Target: "journal", To: map[string]any{"entries": entries},
	}}
}

// fill adds entries to the block until the block reaches its limits. It adds at least one entry,
// and returns how many it added.
func (w *builder) fill(b *block, entries []Entry) int {
	w.encoder.reset()
	if cap(w.content) > maxBuffer {
		w.content = nil
	}
	n := 0
	for n < len(entries) && n < w.maxEntries && len(w.encoder.lines) < w.maxBytes {
		entry := &entries[n]
		entry.Position = b.first + Position(n)
		if entry.Event != nil && entry.Event.Time.IsZero() {
			event := *entry.Event
			event.Time = entry.Time // the registry sent no time: use the time of arrival
			entry.Event = &event
		}
		w.encoder.add(entry)
		at := entry.ID.milliseconds()
		if n == 0 {
			b.earliest, b.latest = at, at
		}
		b.earliest, b.latest = min(b.earliest, at), max(b.latest, at)
		n++
	}
	w.content = w.encoder.content(w.content[:0])
	b.entries, b.content = int64(n), w.content
	return n
}
