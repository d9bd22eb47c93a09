// Package search finds the entries of the journal that have certain terms: a principal, a
// repository, a digest. It is a projection of the journal.
//
// The index has a row for each term and each group of 256 positions in which the term occurs. The
// row has the places of the entries in the group. So the row of a term takes 45 bytes if each
// entry of the group has the term, and about 21 bytes if only one entry has the term. The key of
// a row has three parts:
//
//	segment (17 bits)   1024 groups each, so that new rows go to a small part of the tree
//	term    (36 bits)   a hash
//	group   (10 bits)   in the segment
//
// Two terms can have the same hash, so the journal compares each entry with the query. Hashes
// depend on the id of the database, so that nobody can choose terms with equal hashes.
//
// Only whole groups are indexed. The journal searches the later entries without the index.
package search

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"math/bits"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// groupsPerSegment is a variable, because tests use a smaller value. In keys, a group has 10 bits.
var groupsPerSegment int64 = 1 << groupBits

const (
	groupBits         = 10
	termBits          = 36
	version           = 3
	rowsPerStatement  = 128
	entriesAtOnce     = 4096
	largestListLength = 31 // in bytes, because a set takes 32 bytes
)

// Projection returns the definition of the index. The parameter login is journal.Options.Login.
func Projection(login func(*policy.Principal) string) *projection.Definition {
	w := &writer{login: login}
	const tables = `
		CREATE TABLE search_terms (
			key     %s NOT NULL PRIMARY KEY,
			entries %s NOT NULL -- their places in the group, a byte each, or a set of 256 bits
		);
		-- The times of the entries, in microseconds since 1970. A segment has the number -1 - segment.
		CREATE TABLE search_times (
			number   %[1]s  NOT NULL PRIMARY KEY, -- of a group
			earliest BIGINT NOT NULL,
			latest   BIGINT NOT NULL,
			removed  BIGINT NOT NULL DEFAULT 0 -- of a segment: how many kinds of entries it no longer has
		)`
	return &projection.Definition{
		Name:       "search",
		Version:    version,
		Title:      "search index",
		Lag:        "searches of the journal take longer",
		Tables:     []string{"search_terms", "search_times"},
		SQLite:     fmt.Sprintf(tables, "INTEGER", "BLOB"),
		PostgreSQL: fmt.Sprintf(tables, "BIGINT", "BYTEA"),
		Step:       index.GroupSize,
		Apply:      w.apply,
		Collector:  &collector{writer: w},
		Prune:      w.prune,
	}
}

// row is a row of search_terms.
type row struct {
	key     int64
	entries index.Set // places of the entries in the group
}

// writer writes batches. Only one goroutine writes.
type writer struct {
	login func(*policy.Principal) string
	rows  []row // memory for the next batch
}

type times struct{ earliest, latest int64 }

func (t *times) add(o times) {
	t.earliest, t.latest = min(t.earliest, o.earliest), max(t.latest, o.latest)
}

var noTimes = times{math.MaxInt64, math.MinInt64}

func (w *writer) apply(ctx context.Context, tx projection.Tx, entries iter.Seq2[journal.Entry, error]) error {
	b := newBatch(tx.Instance)
	b.rows = w.rows[:0]
	defer func() { w.rows = b.rows[:0] }()
	last, n := int64(-1), 0
	for e, err := range entries {
		if err != nil {
			return err
		}
		// A term has only one row in a group, so all entries of a group are written together.
		number := int64(e.Position) / index.GroupSize
		if number != last && n >= entriesAtOnce {
			if err := b.write(ctx, tx); err != nil {
				return err
			}
			n = 0
		}
		b.add(&e, number, w.login)
		last, n = number, n+1
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.write(ctx, tx)
}

// batch has the rows that are written together.
type batch struct {
	rows   []row
	group  int64         // the group of the last entry
	places map[int64]int // index in rows, by the key of the row
	spans  map[int64]times
	hash   *hasher
}

func newBatch(instance string) batch {
	return batch{places: make(map[int64]int), spans: make(map[int64]times), hash: newHasher(instance)}
}

// clear empties the batch.
func (b *batch) clear() {
	b.rows = b.rows[:0]
	clear(b.places)
	clear(b.spans)
}

// widen extends the times of a group, and the times of the group's segment, so that they include
// t.
func (b *batch) widen(group int64, t times) {
	for _, n := range [...]int64{group, segmentNumber(group)} {
		span, ok := b.spans[n]
		if !ok {
			span = noTimes
		}
		span.add(t)
		b.spans[n] = span
	}
}

func (b *batch) add(e *journal.Entry, group int64, login func(*policy.Principal) string) {
	at := e.Time.UnixMicro()
	b.widen(group, times{at, at})
	if group != b.group {
		clear(b.places)
		b.group = group
	}
	e.Terms(login, func(field byte, value string) {
		key := key(group, b.hash.of(field, value))
		n, ok := b.places[key]
		if !ok {
			n = len(b.rows)
			b.rows, b.places[key] = append(b.rows, row{key: key}), n
		}
		b.rows[n].entries.Add(uint8(e.Position % index.GroupSize))
	})
}

// write writes the batch and empties it.
func (b *batch) write(ctx context.Context, tx projection.Tx) error {
	slices.SortFunc(b.rows, func(a, b row) int { return cmp.Compare(a.key, b.key) })
	if err := insert(ctx, tx, b.rows); err != nil {
		return err
	}
	for number, span := range b.spans {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO search_times (number, earliest, latest) VALUES ($1, $2, $3)
			ON CONFLICT (number) DO UPDATE SET
				earliest = CASE WHEN search_times.earliest < $2 THEN search_times.earliest ELSE $2 END,
				latest   = CASE WHEN search_times.latest > $3 THEN search_times.latest ELSE $3 END`, number, span.earliest, span.latest)
		if err != nil {
			return err
		}
	}
	b.clear()
	return nil
}

// segmentNumber returns the number that stands for a group's segment in search_times.
func segmentNumber(group int64) int64 { return -1 - group/groupsPerSegment }

// key returns the key of a term in a group.
func key(group int64, term uint64) int64 {
	return group/groupsPerSegment<<(termBits+groupBits) | int64(term<<groupBits) | group%groupsPerSegment
}

func insert(ctx context.Context, tx projection.Tx, rows []row) error {
	var prepared *sql.Stmt
	defer func() {
		if prepared != nil {
			prepared.Close()
		}
	}()
	args := make([]any, 0, 2*rowsPerStatement)
	lists := make([]byte, 0, rowsPerStatement*index.GroupSize/8) // memory for one statement
	for i := range rows {
		from := len(lists)
		lists = encode(lists, &rows[i].entries)
		args = append(args, rows[i].key, lists[from:])
		if len(args) < cap(args) && i+1 < len(rows) {
			continue
		}
		var err error
		switch {
		case len(args) < cap(args):
			_, err = tx.ExecContext(ctx, insertRows(len(args)/2, tx.Postgres), args...)
		case prepared == nil:
			if prepared, err = tx.PrepareContext(ctx, insertRows(rowsPerStatement, tx.Postgres)); err != nil {
				return err
			}
			fallthrough
		default:
			_, err = prepared.ExecContext(ctx, args...)
		}
		if err != nil {
			return err
		}
		args, lists = args[:0], lists[:0]
	}
	return nil
}

// insertRows returns a statement that inserts n rows. On SQLite, the parameters have no numbers,
// because the driver looks up each numbered parameter in a list of all parameters.
func insertRows(n int, postgres bool) string {
	b := []byte(`INSERT INTO search_terms (key, entries) VALUES `)
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		if postgres {
			b = fmt.Appendf(b, "($%d, $%d)", 2*i+1, 2*i+2)
		} else {
			b = append(b, "(?, ?)"...)
		}
	}
	return string(b)
}

// encode appends the places of a row: a byte for each place, or a set if there are many places.
func encode(b []byte, set *index.Set) []byte {
	n := 0
	for _, word := range set {
		n += bits.OnesCount64(word)
	}
	for i, word := range set {
		if n > largestListLength {
			b = binary.LittleEndian.AppendUint64(b, word)
			continue
		}
		for ; word != 0; word &= word - 1 {
			b = append(b, byte(64*i+bits.TrailingZeros64(word)))
		}
	}
	return b
}

func decode(b []byte) (set index.Set) {
	if len(b) <= largestListLength {
		for _, at := range b {
			set.Add(at)
		}
		return set
	}
	for i := range set {
		set[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return set
}

// hasher hashes terms. Most terms of an entry also occur in earlier entries, so the hasher
// remembers some hashes.
type hasher struct {
	text   []byte // the seed and a term
	length int    // length of the seed
	recent [256]struct {
		length uint8 // length of the text; 0: no text
		text   [55]byte
		hash   uint64
	}
	place maphash.Seed // seed of the hash that chooses a place in recent
}

func newHasher(seed string) *hasher {
	return &hasher{text: append([]byte(seed), 0), length: len(seed) + 1, place: maphash.MakeSeed()}
}

func (h *hasher) of(field byte, value string) uint64 {
	h.text = append(append(h.text[:h.length], field), value...)
	term := h.text[h.length:]
	recent := &h.recent[maphash.Bytes(h.place, term)%uint64(len(h.recent))]
	if string(recent.text[:recent.length]) == string(term) {
		return recent.hash
	}
	sum := sha256.Sum256(h.text)
	hash := binary.BigEndian.Uint64(sum[:]) >> (64 - termBits)
	if len(term) <= len(recent.text) {
		recent.length = uint8(copy(recent.text[:], term))
		recent.hash = hash
	}
	return hash
}

// prune looks for a segment that has lost all entries of another kind since it was indexed, and
// indexes that segment again.
func (w *writer) prune(ctx context.Context, tx projection.Tx, removed []journal.Position, read projection.Read) error {
	rows, err := store.Collect(ctx, tx, func(row store.Row) (s struct{ number, removed int64 }, err error) {
		return s, row.Scan(&s.number, &s.removed)
	}, `SELECT number, removed FROM search_times WHERE number < 0 ORDER BY number DESC`)
	if err != nil {
		return err
	}
	for _, row := range rows {
		segment := -1 - row.number
		from, to := segment*groupsPerSegment*index.GroupSize, (segment+1)*groupsPerSegment*index.GroupSize-1
		kinds := int64(0)
		for _, position := range removed {
			if int64(position) >= to {
				kinds++
			}
		}
		if kinds <= row.removed {
			continue
		}
		for _, statement := range [...]struct {
			query    string
			from, to int64
		}{
			{`DELETE FROM search_terms WHERE key >= $1 AND key < $2`, key(segment*groupsPerSegment, 0), key((segment+1)*groupsPerSegment, 0)},
			{`DELETE FROM search_times WHERE number >= $1 AND number < $2`, segment * groupsPerSegment, (segment + 1) * groupsPerSegment},
			{`DELETE FROM search_times WHERE number >= $1 AND number < $2`, row.number, row.number + 1},
		} {
			if _, err := tx.ExecContext(ctx, statement.query, statement.from, statement.to); err != nil {
				return err
			}
		}
		if err := w.apply(ctx, tx, read(journal.Position(from), journal.Position(to))); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE search_times SET removed = $1 WHERE number = $2`, kinds, row.number)
		return err
	}
	return nil
}
