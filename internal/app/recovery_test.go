package app_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// background is a journal with all jobs that work on it: merging and removal, checkpoints, and the
// projections.
type background struct {
	*testing.T
	db          *store.DB
	journal     *journal.Journal
	checkpoints *checkpoint.Checkpoints
	key         note.Verifier
	set         *projection.Set
	log         await.Log
	stop        func()
	events      int          // that were acknowledged
	age         atomic.Int64 // age of new entries, in nanoseconds
}

func newBackground(t *testing.T, url string) *background {
	t.Helper()
	b := &background{T: t}
	b.age.Store(int64(time.Hour))
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	var err error
	if b.db, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if b.journal, err = journal.New(b.db, journal.Options{Log: log, Settle: -1, Now: func() time.Time { return time.Now().Add(-time.Duration(b.age.Load())) }}); err != nil {
		t.Fatal(err)
	}
	key, err := notekey.New("auth.example.com/journal")
	if err == nil {
		b.key, err = note.NewVerifier(key.Public())
	}
	if err == nil {
		_, err = checkpoint.ClaimKey(t.Context(), b.db, key.Public(), func() error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	b.checkpoints = checkpoint.New(checkpoint.Options{DB: b.db, Tree: b.journal.Tree, Signer: key, Key: key.Public(), Log: log})
	b.set = projection.New(b.db, projection.Options{Log: log}, search.Projection(username.Login), catalog.Projection())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	limit := retention.Limit{Age: 30 * time.Minute}
	running.Go(func() { b.journal.Maintain(ctx, retention.Limits{Events: limit}) })
	running.Go(func() { b.checkpoints.Run(ctx) })
	running.Go(func() { b.set.Run(ctx, b.journal) })
	b.stop = func() {
		cancel()
		running.Wait()
		if err := errors.Join(b.set.Close(), b.journal.Close(context.Background()), b.db.Close()); err != nil {
			t.Error(err)
		}
	}
	return b
}

// push appends an event, and reports whether it was acknowledged.
func (b *background) push() bool {
	err := b.journal.Append(b.Context(), journal.Entry{Registry: "r.example.com", Event: &notification.Event{
		ID: fmt.Sprint("e", b.events), Time: time.Now(), Action: "push", Repository: "a", Tag: fmt.Sprint("v", b.events), Actor: strings.Repeat("a", 1000),
	}})
	if err == nil {
		b.events++
	}
	return err == nil
}

// check checks the journal, the last checkpoint and the projections. The journal must have all
// acknowledged events that are not removed, and at least the given number of events must be
// removed. The last checkpoint must have all entries. The projections must have read all whole
// groups.
func (b *background) check(removed int64) {
	b.Helper()
	v, err := b.journal.Verify(b.Context(), 0)
	if err != nil || v.Removed < removed {
		b.Errorf("%+v, %v, want %d removed entries", v, err, removed)
	}
	events := int64(0)
	for e, err := range b.journal.Read(b.Context(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		if e.Event != nil {
			events++
		}
	}
	if events+v.Removed != int64(b.events) {
		b.Errorf("%d events are stored and %d were removed, but %d were acknowledged", events, v.Removed, b.events)
	}
	last, _, err := tree.OpenCheckpoint(b.checkpoints.Latest(), b.key)
	if err != nil || last.Size != v.Size {
		b.Errorf("the last checkpoint is %+v, %v, want the size %d", last, err, v.Size)
	}
	for _, s := range b.set.Status() {
		if s.Err != nil || s.Behind > 256 {
			b.Errorf("%+v", s)
		}
	}
}

// After any outage that prevents writes to the database, all jobs continue without help.
func TestBackgroundWorkGoesOnAfterAnOutage(t *testing.T) {
	for _, tt := range []struct {
		what  string
		begin func(b *background, file string) (end func())
		fails []string // lines of the log during the outage
	}{
		{"the disk is full", func(b *background, _ string) func() { return b.limit(1) }, nil},
		{"the file is away", func(b *background, file string) func() {
			if err := os.Rename(file, file+".away"); err != nil {
				b.Fatal(err)
			}
			return func() {
				if err := os.Rename(file+".away", file); err != nil {
					b.Fatal(err)
				}
			}
		}, []string{"merging and removing journal entries failed", "signing the journal's checkpoint failed"}},
		{"the index is away", func(b *background, file string) func() {
			for _, name := range []string{file + ".index", file + ".index-wal", file + ".index-shm"} {
				if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
					b.Fatal(err)
				}
			}
			if err := os.Mkdir(file+".index", 0o700); err != nil {
				b.Fatal(err)
			}
			return func() {
				if err := os.Remove(file + ".index"); err != nil {
					b.Fatal(err)
				}
			}
		}, []string{"updating the search index failed"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.db")
			testRecovery(t, "sqlite:"+file, func(b *background) func() { return tt.begin(b, file) }, tt.fails)
		})
	}
}

// The same test as TestBackgroundWorkGoesOnAfterAnOutage, but for PostgreSQL.
func TestBackgroundWorkGoesOnAfterAnOutageOfPostgreSQL(t *testing.T) {
	const (
		merge = "merging and removing journal entries failed"
		sign  = "signing the journal's checkpoint failed"
		index = "updating the search index failed"
	)
	server := storetest.NewServer(t)
	for _, tt := range []struct {
		what  string
		begin func(b *background, database string) (end func())
		fails []string
	}{
		{"it is stopped", func(b *background, _ string) func() {
			if err := server.Stop(); err != nil {
				b.Fatal(err)
			}
			return func() {
				if err := server.Start(); err != nil {
					b.Fatal(err)
				}
			}
		}, []string{merge, sign, index}},
		{"it is read-only after a failover", func(b *background, database string) func() {
			set := func(readOnly string) {
				server.Execute(b, "postgres", "ALTER DATABASE "+database+" SET default_transaction_read_only = "+readOnly)
				server.Execute(b, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+database+"'")
			}
			set("on")
			return func() { set("off") }
		}, []string{merge, sign, index}},
		// PostgreSQL itself ends the wait for a lock, after five seconds.
		{"it is so slow that statements time out", func(b *background, database string) func() {
			pool, err := sql.Open("pgx", server.URL(database))
			if err != nil {
				b.Fatal(err)
			}
			defer pool.Close()
			tx, err := pool.Begin()
			if err == nil {
				_, err = tx.Exec("LOCK TABLE journal_head")
			}
			if err != nil {
				b.Fatal(err)
			}
			if b.push() {
				b.Error("an event is accepted that cannot be stored")
			}
			if err := tx.Rollback(); err != nil {
				b.Error(err)
			}
			return func() {}
		}, []string{"writing the journal failed"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			url := server.Database(t, "template0")
			database := strings.TrimPrefix(strings.SplitN(url, "?", 2)[0], "postgres://tidewaiter@/")
			testRecovery(t, url, func(b *background) func() { return tt.begin(b, database) }, tt.fails)
		})
	}
}

// testRecovery runs all background work before, during and after an outage. It checks that the log
// has certain lines during the outage, and that the work is done afterwards.
func testRecovery(t *testing.T, url string, begin func(*background) (end func()), fails []string) {
	// In the synctest bubble, no time passes while a job works, and minutes pass while all jobs
	// wait.
	synctest.Test(t, func(t *testing.T) {
		b := newBackground(t, url)
		defer b.stop()
		for range 700 {
			if !b.push() {
				t.Fatal("an event is refused")
			}
		}
		time.Sleep(time.Minute)
		b.check(0)
		b.age.Store(0)
		if !b.push() { // a checkpoint is due
			t.Fatal("an event is refused")
		}
		b.log.Take()
		end := begin(b)
		for range 300 { // until the disk is full
			if !b.push() {
				break
			}
		}
		time.Sleep(10 * time.Minute)
		told := strings.Join(b.log.Take(), "\n")
		for _, line := range fails {
			if !strings.Contains(told, line) {
				t.Errorf("the log has no %q:\n%.2000s", line, told)
			}
		}
		end()
		for i := 0; !b.push(); i++ {
			if i == 10 {
				t.Fatal("events are still refused")
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(20 * time.Minute)
		b.check(512)
	})
}

// limit limits the size of the database to a number of pages, or to its present size if this is
// larger. The returned function removes the limit.
func (b *background) limit(pages int) (end func()) {
	set := func(pages int) {
		b.Helper()
		err := b.db.Write(b.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	set(pages)
	return func() { set(1 << 30) }
}
