// Package ratestore implements ratelimit.Store in the database: known places, failures of
// names, and attempts that were sent to directories.
//
// Names, addresses and principals are stored as HMACs. The random key of the HMACs is in the same
// database, so replicas share the key, and a copy of the database contains the key. Without the
// key, the rows reveal nothing.
package ratestore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// These values are not configurable.
const (
	macSize   = 16 // stored bytes of an HMAC
	slack     = time.Minute
	msPerDay  = int64(24 * time.Hour / time.Millisecond)
	queryRows = 200 // maximum number of parameters of a query
	maxLevels = 10_000
	maxWindow = 30 * 24 * time.Hour // longest window of a directory's attempts in the configuration
)

// bounds has the maximum sizes of tables whose rows contain names that clients choose. Sweep trims
// these tables. Each process also trims them after every trimEvery writes. So with r replicas, a
// table exceeds its bound by at most r*trimEvery rows.
type bounds struct {
	// maxLevels is the maximum number of names with a count. If there are more, the names with the
	// fewest failures are deleted.
	maxLevels int
	// maxAttempts is the maximum number of slots of accounts in directories, about 100 bytes each.
	// If there are more, the accounts with the fewest slots are deleted.
	maxAttempts int
	trimEvery   int64
}

var errClosed = errors.New("the database is not open")

// Store implements ratelimit.Store in a database. Its methods may be called from any goroutine.
type Store struct {
	db func() *store.DB

	mu     sync.Mutex
	secret []byte // HMAC key; nil: not read yet

	bounds bounds
	writes atomic.Int64 // number of writes of rows for names that clients choose

	reading sync.Mutex              // held during the query for levels; sign-ins do not hold it
	levels  map[mac]ratelimit.Level // by name; never changed, only replaced
	read    int64                   // when levels were read, in milliseconds
}

type mac [macSize]byte

// New returns a Store. The function db returns the database, or nil while the database is not
// open.
func New(db func() *store.DB) *Store {
	return &Store{db: db, bounds: bounds{maxLevels: maxLevels, maxAttempts: 100_000, trimEvery: 1000}}
}

// Kinds of HMACs. HMACs of different kinds are never equal.
const (
	ofPlace byte = iota + 1
	ofOwner
	ofName
	ofAccount
)

func sum(secret []byte, use byte, parts ...string) (m mac) {
	h := hmac.New(sha256.New, secret)
	in := []byte{use}
	for _, part := range parts {
		in = binary.BigEndian.AppendUint64(in, uint64(len(part)))
		in = append(in, part...)
	}
	h.Write(in)
	copy(m[:], h.Sum(nil))
	return m
}

func placeOf(secret []byte, p ratelimit.Place) mac {
	return sum(secret, ofPlace, p.Name, p.Prefix.String())
}

// open returns the database and the key. If the database has no key and create is true, open
// creates a key. A database without a key has empty tables.
func (s *Store) open(ctx context.Context, create bool) (*store.DB, []byte, error) {
	db := s.db()
	if db == nil {
		return nil, nil, errClosed
	}
	s.mu.Lock()
	secret := s.secret
	s.mu.Unlock()
	if secret != nil {
		return db, secret, nil
	}
	secret, err := readKey(ctx, db.Read())
	if err == nil && secret == nil && create {
		err = db.Write(ctx, "", func(tx *sql.Tx) (err error) {
			secret, err = createKey(ctx, tx)
			return err
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the key for known places: %w", err)
	}
	if secret != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.secret = secret
	}
	return db, secret, nil
}

// createKey returns the key of the database. If the database has no key, it creates one.
func createKey(ctx context.Context, tx *sql.Tx) ([]byte, error) {
	created := make([]byte, sha256.Size)
	rand.Read(created) // never fails: crypto/rand ends the process first
	if _, err := tx.ExecContext(ctx, "INSERT INTO limit_key (one, key) VALUES (1, $1) ON CONFLICT DO NOTHING", created); err != nil {
		return nil, err
	}
	return readKey(ctx, tx) // another replica may have created the key
}

// write runs f in a transaction. Its errors begin with the given text, such as "counting a
// failed sign-in".
func (s *Store) write(ctx context.Context, doing string, f func(tx *sql.Tx, secret []byte) error) error {
	db, secret, err := s.open(ctx, true)
	if err != nil {
		return err
	}
	if err := db.Write(ctx, "", func(tx *sql.Tx) error { return f(tx, secret) }); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func readKey(ctx context.Context, q store.Querier) (key []byte, err error) {
	err = q.QueryRowContext(ctx, "SELECT key FROM limit_key WHERE one = 1").Scan(&key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return key, err
}

func day(t time.Time) int64 { return t.UnixMilli() / msPerDay }

// firstDay returns the first day on which the use of a place still counts. A place that was used
// on this day or later is still known.
func firstDay(now time.Time) int64 { return day(now.Add(-ratelimit.PlaceFor)) }

// KnownPlace implements ratelimit.Store.
func (s *Store) KnownPlace(ctx context.Context, p ratelimit.Place, now time.Time) (bool, error) {
	db, secret, err := s.open(ctx, false)
	if err != nil || secret == nil {
		return false, err
	}
	m := placeOf(secret, p)
	var used int64
	err = db.Read().QueryRowContext(ctx, "SELECT day FROM limit_places WHERE place = $1", m[:]).Scan(&used)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking up a known place: %w", err)
	}
	return used >= firstDay(now), nil
}

// AddPlaces implements ratelimit.Store.
func (s *Store) AddPlaces(ctx context.Context, learned []ratelimit.Learned, now time.Time) error {
	db, secret, err := s.open(ctx, true)
	if err != nil {
		return err
	}
	type row struct{ place, owner mac }
	rows := make([]row, len(learned))
	for i, l := range learned {
		rows[i] = row{placeOf(secret, l.Place), sum(secret, ofOwner, l.Source, l.ID)}
	}
	today := day(now)
	var news []row
	for some := range slices.Chunk(rows, queryRows) {
		var list macs
		for _, r := range some {
			list.add(r.place)
		}
		noted, err := store.Collect(ctx, db.Read(), scanMAC,
			"SELECT place FROM limit_places WHERE day >= $1 AND place IN ("+list.marks()+")", append([]any{today}, list...)...)
		if err != nil {
			return fmt.Errorf("looking up known places: %w", err)
		}
		known := make(map[mac]bool, len(noted))
		for _, m := range noted {
			known[m] = true
		}
		for _, r := range some {
			if !known[r.place] {
				news = append(news, r)
			}
		}
	}
	if len(news) == 0 {
		return nil
	}
	err = db.Write(ctx, "", func(tx *sql.Tx) error {
		for _, r := range news {
			if err := addPlace(ctx, tx, r.place, r.owner, today); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording known places: %w", err)
	}
	return nil
}

// macs are the arguments of an IN list that begins at $2.
type macs []any

func (l *macs) add(m mac) { *l = append(*l, m[:]) }

func (l macs) marks() string {
	texts := make([]string, len(l))
	for i := range l {
		texts[i] = "$" + strconv.Itoa(i+2)
	}
	return strings.Join(texts, ", ")
}

func scanMAC(row store.Row) (m mac, err error) {
	var b []byte
	err = row.Scan(&b)
	copy(m[:], b)
	return m, err
}

// DeletePlaces deletes the places of a principal, in the transaction that deletes the
// principal.
func DeletePlaces(ctx context.Context, tx *sql.Tx, source, id string) error {
	secret, err := readKey(ctx, tx)
	if err != nil || secret == nil {
		return err
	}
	owner := sum(secret, ofOwner, source, id)
	_, err = tx.ExecContext(ctx, "DELETE FROM limit_places WHERE owner = $1", owner[:])
	return err
}

// ChargeName implements ratelimit.Store. One statement checks and charges, so that replicas
// cannot exceed the limit together.
func (s *Store) ChargeName(ctx context.Context, name string, n int, now time.Time, l ratelimit.LevelLimits) (level ratelimit.Level, wait time.Duration, err error) {
	at := now.UnixMilli()
	slow := int64(-1) // earlier than the last charge of any row
	if l.Slow > 0 {
		slow = at - l.Slow
	}
	charged := 0
	err = s.write(ctx, "counting a failed sign-in", func(tx *sql.Tx, secret []byte) (err error) {
		m := sum(secret, ofName, name)
		charged, err = store.Affected(tx.ExecContext(ctx, `
			INSERT INTO limit_names (name, empty, last) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET last = excluded.last, empty = CASE
				WHEN limit_names.empty <= $3 THEN excluded.empty
				WHEN limit_names.empty + $4 > $5 THEN $5
				ELSE limit_names.empty + $4 END
			WHERE limit_names.empty <= $6 OR limit_names.last <= $7`,
			m[:], at+int64(n)*l.Drain, at, int64(n)*l.Drain, at+l.Full+2*l.Drain, at+l.Full, slow))
		if err == nil {
			err = s.trimSometimes(ctx, tx, at)
		}
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, "SELECT empty, last FROM limit_names WHERE name = $1", m[:]).Scan(&level.Empty, &level.Last)
		// trim has deleted the row, because the name has the fewest failures
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return err
	})
	if err == nil && charged == 0 {
		wait = max(level.Wait(at, l), time.Millisecond)
	}
	return level, wait, err
}

// RefundName implements ratelimit.Store.
func (s *Store) RefundName(ctx context.Context, name string, l ratelimit.LevelLimits) error {
	return s.write(ctx, "undoing the count of a failed sign-in", func(tx *sql.Tx, secret []byte) error {
		m := sum(secret, ofName, name)
		_, err := tx.ExecContext(ctx, "UPDATE limit_names SET empty = empty - $2 WHERE name = $1", m[:], l.Drain)
		return err
	})
}

// Levels implements ratelimit.Store. It reads only the levels that changed since the last call.
func (s *Store) Levels(ctx context.Context, now time.Time) (func(string) ratelimit.Level, error) {
	db, secret, err := s.open(ctx, false)
	if err != nil {
		return nil, err
	}
	if secret == nil {
		return func(string) ratelimit.Level { return ratelimit.Level{} }, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	from := int64(0)
	if s.levels != nil {
		from = s.read - slack.Milliseconds() // clocks of replicas may differ
	}
	type row struct {
		name  mac
		level ratelimit.Level
	}
	changed, err := store.Collect(ctx, db.Read(), func(r store.Row) (found row, err error) {
		var b []byte
		err = r.Scan(&b, &found.level.Empty, &found.level.Last)
		copy(found.name[:], b)
		return found, err
	}, "SELECT name, empty, last FROM limit_names WHERE last >= $1 ORDER BY last DESC LIMIT $2", from, 2*maxLevels)
	if err != nil {
		return nil, fmt.Errorf("reading counts of failed sign-ins: %w", err)
	}
	s.read = now.UnixMilli()
	if len(changed) > 0 || s.levels == nil {
		levels := make(map[mac]ratelimit.Level, len(s.levels)+len(changed))
		maps.Copy(levels, s.levels)
		for _, r := range changed {
			levels[r.name] = r.level
		}
		maps.DeleteFunc(levels, func(_ mac, l ratelimit.Level) bool { return l.Empty <= s.read })
		s.levels = levels
	}
	levels := s.levels
	return func(name string) ratelimit.Level {
		if len(levels) == 0 {
			return ratelimit.Level{}
		}
		return levels[sum(secret, ofName, name)]
	}, nil
}

// Claim implements ratelimit.Store. One statement takes a slot, so that two replicas never take
// the same slot.
func (s *Store) Claim(ctx context.Context, account string, slots int, now, until time.Time) (slot int, wait time.Duration, err error) {
	taken := -1
	var first sql.NullInt64
	err = s.write(ctx, "counting an attempt at a directory", func(tx *sql.Tx, secret []byte) error {
		m := sum(secret, ofAccount, account)
		for i := range slots {
			n, err := store.Affected(tx.ExecContext(ctx, `
				INSERT INTO limit_attempts (account, slot, until) VALUES ($1, $2, $3)
				ON CONFLICT (account, slot) DO UPDATE SET until = excluded.until WHERE limit_attempts.until <= $4`,
				m[:], i, until.UnixMilli(), now.UnixMilli()))
			if err != nil {
				return err
			}
			if n > 0 {
				taken = i
				// Budget.prove passes a future time as now. Other rows must not expire because of
				// this future time.
				return s.trimSometimes(ctx, tx, min(now.UnixMilli(), clock.Now().UnixMilli()))
			}
		}
		return tx.QueryRowContext(ctx, "SELECT min(until) FROM limit_attempts WHERE account = $1 AND slot < $2", m[:], slots).Scan(&first)
	})
	if err != nil {
		return 0, 0, err
	}
	if taken < 0 {
		return 0, max(time.UnixMilli(first.Int64).Sub(now), time.Millisecond), nil
	}
	return taken, 0, nil
}

// Claimed implements ratelimit.Store.
func (s *Store) Claimed(ctx context.Context, now time.Time, accounts ...string) (taken bool, err error) {
	db, secret, err := s.open(ctx, false)
	if err != nil || secret == nil {
		return false, err
	}
	var list macs
	for _, account := range accounts {
		list.add(sum(secret, ofAccount, account))
	}
	err = db.Read().QueryRowContext(ctx,
		"SELECT EXISTS (SELECT 1 FROM limit_attempts WHERE until > $1 AND account IN ("+list.marks()+"))",
		append([]any{now.UnixMilli()}, list...)...).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("looking up attempts at a directory: %w", err)
	}
	return taken, nil
}

// Release implements ratelimit.Store.
func (s *Store) Release(ctx context.Context, account string) error {
	return s.release(ctx, "DELETE FROM limit_attempts WHERE account = $1", account)
}

// ReleaseSlot implements ratelimit.Store.
func (s *Store) ReleaseSlot(ctx context.Context, account string, slot int, until time.Time) error {
	return s.release(ctx, "DELETE FROM limit_attempts WHERE account = $1 AND slot = $2 AND until = $3", account, slot, until.UnixMilli())
}

func (s *Store) release(ctx context.Context, statement, account string, args ...any) error {
	return s.write(ctx, "releasing an attempt at a directory", func(tx *sql.Tx, secret []byte) error {
		m := sum(secret, ofAccount, account)
		_, err := tx.ExecContext(ctx, statement, append([]any{m[:]}, args...)...)
		return err
	})
}

// Sweep implements ratelimit.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	db, secret, err := s.open(ctx, false)
	if err != nil || secret == nil {
		return err
	}
	err = db.Write(ctx, "", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM limit_places WHERE day < $1", firstDay(now)); err != nil {
			return err
		}
		return s.trim(ctx, tx, now.UnixMilli())
	})
	if err != nil {
		return fmt.Errorf("deleting old counts of sign-ins: %w", err)
	}
	return nil
}

// trimSometimes calls trim in one of s.bounds.trimEvery calls. Call it in each transaction that
// writes a row for a name that a client chose.
func (s *Store) trimSometimes(ctx context.Context, tx *sql.Tx, now int64) error {
	if s.writes.Add(1)%s.bounds.trimEvery != 0 {
		return nil
	}
	return s.trim(ctx, tx, now)
}

// trim deletes expired counts. If a table still exceeds its bound, trim deletes the smallest
// counts. In a flood, many names are tried a few times. The flood must not delete the count of a
// name that is tried often.
func (s *Store) trim(ctx context.Context, tx *sql.Tx, now int64) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM limit_names WHERE empty <= $1", now); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM limit_names WHERE name IN (
		SELECT name FROM limit_names ORDER BY empty DESC LIMIT 1000000 OFFSET $1)`, s.bounds.maxLevels); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM limit_attempts WHERE until <= $1", now); err != nil {
		return err
	}
	attempts := now + maxWindow.Milliseconds() // rows that expire later are records of sign-ins
	var rows int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM limit_attempts WHERE until <= $1", attempts).Scan(&rows)
	if err != nil || rows <= s.bounds.maxAttempts {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM limit_attempts WHERE until <= $1 AND account IN (
		SELECT account FROM limit_attempts WHERE until <= $1 GROUP BY account ORDER BY count(*), max(until) LIMIT $2)`,
		attempts, rows-s.bounds.maxAttempts)
	return err
}

// AddPlace makes a place known for a principal before the principal signs in there. It writes in
// the transaction tx of the change. It reports whether the place was not yet recorded on this day.
func AddPlace(ctx context.Context, tx *sql.Tx, l ratelimit.Learned, now time.Time) (added bool, err error) {
	secret, err := createKey(ctx, tx)
	if err != nil {
		return false, err
	}
	place, owner, today := placeOf(secret, l.Place), sum(secret, ofOwner, l.Source, l.ID), day(now)
	var noted bool
	err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM limit_places WHERE place = $1 AND owner = $2 AND day >= $3)",
		place[:], owner[:], today).Scan(&noted)
	if err != nil || noted {
		return false, err
	}
	return true, addPlace(ctx, tx, place, owner, today)
}

// addPlace records a place and deletes the oldest places of its owner if there are more than
// MaxPlaces.
func addPlace(ctx context.Context, tx *sql.Tx, place, owner mac, today int64) error {
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO limit_places (place, owner, day) VALUES ($1, $2, $3)
		ON CONFLICT (place) DO UPDATE SET owner = excluded.owner, day = excluded.day`, place[:], owner[:], today); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		DELETE FROM limit_places WHERE owner = $1 AND place NOT IN (
			SELECT place FROM limit_places WHERE owner = $1 ORDER BY day DESC, place LIMIT $2)`, owner[:], ratelimit.MaxPlaces)
	return err
}
