// Package search finds the entries of the journal that have certain terms: a principal, a
// repository, a digest. It is a projection of the journal.
//
// The index has a row for each term and each group of 256 positions in which the term occurs. The
// row has the places of the entries in the group, so a term that is in each entry costs 45 bytes a
// group, and a term that occurs once costs about 21 bytes. The key of a row has three parts:
//
//	segment (17 bits)   1024 groups each, so that new rows go to a small part of the tree
//	term    (36 bits)   a hash
//	group   (10 bits)   in the segment
//
// Two terms can have the same hash, so the journal compares each entry with the query. Hashes
// depend on the id of the database: nobody can choose terms whose hashes are equal.
//
// Only whole groups are indexed. The journal searches the entries after them itself.
package search

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/policy"
)

// groupsPerSegment is smaller in tests. The keys have 10 bits for it.
var groupsPerSegment int64 = 1 << groupBits

const (
	groupBits         = 10
	termBits          = 36
	version           = 1
	rowsPerStatement  = 128
	trimmedAtOnce     = 5000 // rows
	largestListLength = 31   // of a row; a set takes 32 bytes
)

// Projection returns the definition of the index. login is journal.Options.Login.
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
			latest   BIGINT NOT NULL
		)`
	return &projection.Definition{
		Name:       "search",
		Version:    version,
		Tables:     []string{"search_terms", "search_times"},
		SQLite:     fmt.Sprintf(tables, "INTEGER", "BLOB"),
		PostgreSQL: fmt.Sprintf(tables, "BIGINT", "BYTEA"),
		Step:       index.GroupSize,
		Apply:      w.apply,
		Trim:       trim,
	}
}

// place is an entry's place in a group, and the key of one of its terms.
type place struct {
	key int64
	at  uint8
}

// writer writes batches. Only one goroutine uses it.
type writer struct {
	login  func(*policy.Principal) string
	places []place
}

type times struct{ earliest, latest int64 }

func (t *times) add(o times) {
	t.earliest, t.latest = min(t.earliest, o.earliest), max(t.latest, o.latest)
}

var noTimes = times{math.MaxInt64, math.MinInt64}

func (w *writer) apply(ctx context.Context, tx projection.Tx, entries iter.Seq2[journal.Entry, error]) error {
	places := w.places[:0]
	defer func() { w.places = places[:0] }()
	spans := make(map[int64]times)
	hash := newHasher(tx.Instance)
	for e, err := range entries {
		if err != nil {
			return err
		}
		number, at := int64(e.Position)/index.GroupSize, e.Time.UnixMicro()
		for _, n := range [...]int64{number, segmentNumber(number)} {
			span, ok := spans[n]
			if !ok {
				span = noTimes
			}
			span.add(times{at, at})
			spans[n] = span
		}
		e.Terms(w.login, func(field byte, value string) {
			places = append(places, place{key(number, hash.of(field, value)), uint8(e.Position % index.GroupSize)})
		})
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.key != b.key {
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return int(a.at) - int(b.at)
	})
	if err := insertPlaces(ctx, tx.Tx, slices.Compact(places)); err != nil {
		return err
	}
	for number, span := range spans {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO search_times (number, earliest, latest) VALUES ($1, $2, $3)
			ON CONFLICT (number) DO UPDATE SET
				earliest = CASE WHEN search_times.earliest < $2 THEN search_times.earliest ELSE $2 END,
				latest   = CASE WHEN search_times.latest > $3 THEN search_times.latest ELSE $3 END`, number, span.earliest, span.latest)
		if err != nil {
			return err
		}
	}
	return nil
}

// segmentNumber returns the number in search_times of the segment of a group.
func segmentNumber(group int64) int64 { return -1 - group/groupsPerSegment }

// key returns the key of a term in a group.
func key(group int64, term uint64) int64 {
	return group/groupsPerSegment<<(termBits+groupBits) | int64(term<<groupBits) | group%groupsPerSegment
}

func insertPlaces(ctx context.Context, tx *sql.Tx, places []place) error {
	var prepared *sql.Stmt
	defer func() {
		if prepared != nil {
			prepared.Close()
		}
	}()
	args := make([]any, 0, 2*rowsPerStatement)
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].key == places[0].key {
			n++
		}
		args = append(args, places[0].key, encode(places[:n]))
		if places = places[n:]; len(args) < cap(args) && len(places) > 0 {
			continue
		}
		var err error
		switch {
		case len(args) < cap(args):
			_, err = tx.ExecContext(ctx, insertRows(len(args)/2), args...)
		case prepared == nil:
			if prepared, err = tx.PrepareContext(ctx, insertRows(rowsPerStatement)); err != nil {
				return err
			}
			fallthrough
		default:
			_, err = prepared.ExecContext(ctx, args...)
		}
		if err != nil {
			return err
		}
		args = args[:0]
	}
	return nil
}

func insertRows(n int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO search_terms (key, entries) VALUES `)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "($%d, $%d)", 2*i+1, 2*i+2)
	}
	return b.String()
}

// encode returns the places of a row: a byte each, or a set if there are many.
func encode(places []place) []byte {
	if len(places) <= largestListLength {
		list := make([]byte, len(places))
		for i, p := range places {
			list[i] = p.at
		}
		return list
	}
	var set index.Set
	for _, p := range places {
		set.Add(p.at)
	}
	b := make([]byte, 0, index.GroupSize/8)
	for _, word := range set {
		b = binary.LittleEndian.AppendUint64(b, word)
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

// hasher hashes terms.
type hasher struct {
	text []byte
	seed int
}

func newHasher(seed string) *hasher { return &hasher{append([]byte(seed), 0), len(seed) + 1} }

func (h *hasher) of(field byte, value string) uint64 {
	h.text = append(append(h.text[:h.seed], field), value...)
	sum := sha256.Sum256(h.text)
	return binary.BigEndian.Uint64(sum[:]) >> (64 - termBits)
}

// trim deletes the segments that end before a position.
func trim(ctx context.Context, tx projection.Tx, first journal.Position) error {
	segment := int64(first) / index.GroupSize / groupsPerSegment
	if segment == 0 {
		return nil
	}
	for _, statement := range [...]string{
		`DELETE FROM search_terms WHERE key IN (SELECT key FROM search_terms WHERE key < $1 ORDER BY key LIMIT $2)`,
		`DELETE FROM search_times WHERE number IN (SELECT number FROM search_times WHERE number >= 0 AND number < $1 ORDER BY number LIMIT $2)`,
	} {
		end := segment << (termBits + groupBits)
		if strings.Contains(statement, "search_times") {
			end = segment * groupsPerSegment
		}
		if _, err := tx.ExecContext(ctx, statement, end, trimmedAtOnce); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM search_times WHERE number < 0 AND number > $1`, -1-segment)
	return err
}
