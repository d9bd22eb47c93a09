package checkpoint_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/notekey/notekeytest"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, url string, now func() time.Time) (*journal.Journal, *store.DB) {
	t.Helper()
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = j.Close(context.WithoutCancel(t.Context())), db.Close() })
	return j, db
}

// claimNewKey claims a new key for the journal, and returns the options of checkpoints that sign
// with this key.
func claimNewKey(t *testing.T, j *journal.Journal, db *store.DB, now func() time.Time) (checkpoint.Options, note.Verifier) {
	t.Helper()
	key, verifier := notekeytest.New(t)
	current, err := checkpoint.ClaimKey(t.Context(), db, key.Public(), func() error { return nil })
	if err != nil || current != key.Public() {
		t.Fatalf("%s, %v", current, err)
	}
	return checkpoint.Options{DB: db, Tree: j.Tree, Signer: key, Key: current, Now: now, Log: slog.New(slog.DiscardHandler)}, verifier
}

func sizes(t *testing.T, db *store.DB) string {
	t.Helper()
	all, err := store.Collect(t.Context(), db.Read(), func(row store.Row) (n int64, err error) {
		err = row.Scan(&n)
		return n, err
	}, "SELECT size FROM journal_checkpoints ORDER BY size")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(all)
}

func TestCheckpointsAreSignedWhileEntriesCome(t *testing.T) {
	storetest.Each(t, testCheckpointsAreSignedWhileEntriesCome)
}

func testCheckpointsAreSignedWhileEntriesCome(t *testing.T, d storetest.Database) {
	c := clocktest.New(noon)
	j, db := open(t, d.Ready(t), c.Now)
	o, verifier := claimNewKey(t, j, db, c.Now)
	checkpoints := checkpoint.New(o)
	add := func() {
		t.Helper()
		if err := j.Append(t.Context(), journal.Entry{Text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	checkpoints.Update(t.Context())
	if got := checkpoints.Latest(); got != nil {
		t.Errorf("an empty journal has the checkpoint %s", got)
	}
	for i := range 13 { // two minutes
		add()
		checkpoints.Update(t.Context())
		checkpoints.Update(t.Context()) // there are no new entries
		latest, _, err := tree.OpenCheckpoint(checkpoints.Latest(), verifier)
		if err != nil || latest.Size != int64(i+2) || latest.Origin != "auth.example.com/journal" {
			t.Fatalf("%+v, %v", latest, err)
		}
		c.Pass(10 * time.Second)
	}
	if got := sizes(t, db); got != "[7 13 14]" {
		t.Errorf("the stored sizes are %s, want the last of each minute", got)
	}
	add()
	checkpoints.Update(t.Context())
	add()
	c.Pass(2 * time.Second)
	checkpoints.Update(t.Context())
	if got := sizes(t, db); got != "[7 13 15]" {
		t.Errorf("two seconds after the last checkpoint: %s", got)
	}
	checkpoints.Finish(t.Context())
	if got := sizes(t, db); got != "[7 13 16]" {
		t.Errorf("after Finish: %s", got)
	}
	latest, _, err := tree.OpenCheckpoint(checkpoints.Latest(), verifier)
	if f, treeErr := j.Tree(t.Context()); err != nil || treeErr != nil || latest.Root != f.Root() || f.Size() != 16 {
		t.Errorf("%+v, %v, %v; want the root %s", latest, err, treeErr, f.Root())
	}
	if stored, err := checkpoint.Latest(t.Context(), db); err != nil || !bytes.Equal(stored, checkpoints.Latest()) {
		t.Errorf("%s, %v", stored, err)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	for _, tt := range []struct{ statement, want string }{
		{"UPDATE journal_checkpoints SET note = (SELECT note FROM journal_checkpoints WHERE size = 7) WHERE size = 13", "a different root"},
		{"UPDATE journal_checkpoints SET size = 17 WHERE size = 16", "the tree has"},
	} {
		err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec(tt.statement)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Verify(t.Context(), 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Verify after %s: %v, want %q", tt.statement, err, tt.want)
		}
		if err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec("DELETE FROM journal_checkpoints WHERE size = 13")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Verify reports each stored checkpoint that was not signed by a key of the journal.
func TestForgedCheckpointsAndKeysAreFound(t *testing.T) {
	storetest.Each(t, testForgedCheckpointsAndKeysAreFound)
}

func testForgedCheckpointsAndKeysAreFound(t *testing.T, d storetest.Database) {
	c := clocktest.New(noon)
	j, db := open(t, d.Ready(t), c.Now)
	o, _ := claimNewKey(t, j, db, c.Now)
	add := func(checkpoints *checkpoint.Checkpoints) {
		t.Helper()
		c.Pass(time.Minute)
		if err := j.Append(t.Context(), journal.Entry{Text: []byte("x")}, journal.Entry{Text: []byte("y")}); err != nil {
			t.Fatal(err)
		}
		checkpoints.Update(t.Context())
	}
	add(checkpoint.New(o))
	first, second := o.Key, o
	key, _ := notekeytest.New(t)
	err := checkpoint.ReplaceKey(t.Context(), db, key.Public(), func(tx *sql.Tx, former string) error {
		return j.RecordNewKey(t.Context(), tx, "root", former, key.Public())
	})
	if err != nil {
		t.Fatal(err)
	}
	second.Signer, second.Key = key, key.Public()
	add(checkpoint.New(second)) // positions 4 and 5
	if got := sizes(t, db); got != "[3 6]" {
		t.Fatalf("checkpoints: %s", got)
	}
	for from, to := range map[journal.Position]journal.Position{0: 0, 1: 2, 3: 5} {
		if v, err := j.VerifyRange(t.Context(), from, to, nil); err != nil {
			t.Errorf("Verify from %d to %d with two keys: %+v, %v", from, to, v, err)
		}
	}
	forger, _ := notekeytest.New(t)
	f, err := j.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	forged, err := tree.Checkpoint{Origin: forger.Name(), Size: f.Size(), Root: f.Root()}.Sign(forger)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, statement string
		args            []any
		at              journal.Position
		want            string // "": no error
	}{
		{"another key has signed the right root", "UPDATE journal_checkpoints SET note = $1 WHERE size = 6", []any{forged}, 5, "no key of the journal has signed the stored checkpoint of 6 leaves"},
		{"a checkpoint has another size than its text", "UPDATE journal_checkpoints SET size = 5 WHERE size = 6", nil, 4, "checkpoint of 5 leaves has a different root"},
		{"a checkpoint before the first entry", "INSERT INTO journal_checkpoints (size, at, note) VALUES (1, 0, $1)", []any{forged}, 0, "checkpoint of 1 leaves"},
		{"the first key is unknown", "DELETE FROM journal_former_keys", nil, 2, "no key of the journal has signed the stored checkpoint of 3 leaves"},
		{"the key is unknown", "DELETE FROM journal_key", nil, 5, "no key of the journal has signed the stored checkpoint of 6 leaves"},
		{"a key was added", "INSERT INTO journal_former_keys (key) VALUES ($1)", []any{forger.Public()}, 1, "was never a key of the journal"},
		{"the key is not a public key", "UPDATE journal_key SET key = 'x'", nil, 2, `"x" is not a public key`},
		{"the same key twice", "INSERT INTO journal_former_keys SELECT key FROM journal_key", nil, 1, "was never a key of the journal"},
		{"no change", "DELETE FROM journal_former_keys WHERE key = $1", []any{"other than " + first}, 0, ""},
	} {
		stored := tables(t, db)
		if err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec(tt.statement, tt.args...)
			return err
		}); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		v, err := j.Verify(t.Context(), 0)
		broken, isBroken := errors.AsType[*journal.BrokenError](err)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %+v, %v", tt.what, v, err)
		case tt.want != "" && (!isBroken || broken.Block != tt.at || !strings.Contains(broken.Why, tt.want)):
			t.Errorf("%s: %v, want %q at %d", tt.what, err, tt.want, tt.at)
		}
		stored.restore(t, db)
	}
}

// content is the content of the tables of checkpoints and keys.
type content map[string][][]any

func tables(t *testing.T, db *store.DB) content {
	t.Helper()
	all := make(content)
	for _, table := range []string{"journal_checkpoints (size, at, note)", "journal_key (one, key)", "journal_former_keys (key)"} {
		name, columns, _ := strings.Cut(strings.TrimSuffix(table, ")"), " (")
		rows, err := store.Collect(t.Context(), db.Read(), func(row store.Row) ([]any, error) {
			values := make([]any, strings.Count(columns, ",")+1)
			places := make([]any, len(values))
			for i := range values {
				places[i] = &values[i]
			}
			err := row.Scan(places...)
			return values, err
		}, "SELECT "+columns+" FROM "+name)
		if err != nil {
			t.Fatal(err)
		}
		all[table] = rows
	}
	return all
}

func (c content) restore(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		for table, rows := range c {
			name, _, _ := strings.Cut(table, " ")
			if _, err := tx.Exec("DELETE FROM " + name); err != nil {
				return err
			}
			for _, row := range rows {
				if _, err := tx.Exec("INSERT INTO "+table+" VALUES ("+strings.Join([]string{"$1", "$2", "$3"}[:len(row)], ", ")+")", row...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// If a clock is set back by an hour, no checkpoint of the repeated hour is deleted.
func TestAClockThatIsSetBackKeepsCheckpoints(t *testing.T) {
	storetest.Each(t, testAClockThatIsSetBackKeepsCheckpoints)
}

func testAClockThatIsSetBackKeepsCheckpoints(t *testing.T, d storetest.Database) {
	c := clocktest.New(noon)
	j, db := open(t, d.Ready(t), c.Now)
	o, _ := claimNewKey(t, j, db, c.Now)
	checkpoints := checkpoint.New(o)
	for _, pass := range []time.Duration{0, time.Minute, time.Minute, -90 * time.Second, 10 * time.Second, time.Hour} {
		c.Pass(pass)
		if err := j.Append(t.Context(), journal.Entry{Text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		checkpoints.Update(t.Context())
	}
	// The times are 12:00:00, 12:01:00, 12:02:00, 12:00:30, 12:00:40 and 13:00:40. The checkpoint
	// of 12:00:40 replaces the checkpoint of 12:00:30.
	if got := sizes(t, db); got != "[2 3 4 6 7]" {
		t.Errorf("the stored sizes are %s", got)
	}
}

// Replicas sign with one key. A replica with another key signs nothing, but still serves the
// checkpoints.
func TestReplicasSignWithOneKey(t *testing.T) { storetest.Each(t, testReplicasSignWithOneKey) }

func testReplicasSignWithOneKey(t *testing.T, d storetest.Database) {
	c := clocktest.New(noon)
	var log bytes.Buffer
	url := d.Ready(t)
	j, db := open(t, url, c.Now)
	other, otherDB := open(t, url, c.Now)
	if key, err := checkpoint.Key(t.Context(), otherDB); err != nil || key != "" {
		t.Errorf("before a key is claimed: %s, %v", key, err)
	}
	failure := errors.New("read-only")
	if _, err := checkpoint.ClaimKey(t.Context(), db, "lost", func() error { return failure }); !errors.Is(err, failure) {
		t.Error(err)
	}
	o, _ := claimNewKey(t, j, db, c.Now)
	key, _ := notekeytest.New(t)
	current, err := checkpoint.ClaimKey(t.Context(), otherDB, key.Public(), func() error {
		t.Error("a second key was claimed")
		return nil
	})
	if err != nil || current != o.Key {
		t.Errorf("%s, %v", current, err)
	}
	if read, err := checkpoint.Key(t.Context(), otherDB); err != nil || read != current {
		t.Errorf("%s, %v", read, err)
	}
	if err := j.Append(t.Context(), journal.Entry{Text: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	withLog := slog.New(slog.NewTextHandler(&log, nil))
	wrong := checkpoint.New(checkpoint.Options{DB: otherDB, Tree: other.Tree, Signer: key, Key: key.Public(), Now: c.Now, Log: withLog})
	wrong.Update(t.Context())
	if !strings.Contains(log.String(), "signing the journal's checkpoint failed") || wrong.Latest() != nil {
		t.Errorf("signed with another key: %s\n%s", wrong.Latest(), &log)
	}
	checkpoints := checkpoint.New(o)
	checkpoints.Update(t.Context())
	without := checkpoint.New(checkpoint.Options{DB: otherDB, Tree: other.Tree, Key: current, Now: c.Now, Log: withLog})
	without.Update(t.Context())
	if !bytes.Equal(without.Latest(), checkpoints.Latest()) || without.Latest() == nil {
		t.Errorf("a replica without a key has %s", without.Latest())
	}
	if got := sizes(t, db); got != "[2]" {
		t.Errorf("checkpoints: %s", got)
	}
}
