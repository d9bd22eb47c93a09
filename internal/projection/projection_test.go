package projection_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

// seenEntries is a projection with a row for each entry: its text, or the tag of its event.
// Inserting a row twice fails.
func seenEntries(version int, step journal.Position) *projection.Definition {
	return &projection.Definition{
		Name: "seen", Version: version, Tables: []string{"seen"}, Step: step,
		SQLite:     `CREATE TABLE seen (position BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)`,
		PostgreSQL: `CREATE TABLE seen (position BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)`,
		Apply: func(ctx context.Context, tx projection.Tx, entries iter.Seq2[journal.Entry, error]) error {
			for e, err := range entries {
				if err != nil {
					return err
				}
				text := string(e.Text)
				if e.Event != nil {
					text = e.Event.Tag
				}
				if _, err := tx.ExecContext(ctx, `INSERT INTO seen (position, text) VALUES ($1, $2)`, e.Position, text); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// fixture is a journal with a projection.
type fixture struct {
	t          *testing.T
	db         *store.DB
	journal    *journal.Journal
	set        *projection.Set
	definition *projection.Definition
	observed   *observed
}

// observed counts the entries that a journal has passed to Options.Observe.
type observed struct {
	mu      sync.Mutex
	changed sync.Cond
	n       int64
}

func (o *observed) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n += int64(n)
	o.changed.Broadcast()
}

// await waits until the given number of entries were observed. The journal passes on an entry soon
// after Append has returned.
func (o *observed) await(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.n < n {
		o.changed.Wait()
	}
}

// open opens a Set with the projection, and with the given other projections before it.
func open(t *testing.T, url string, d *projection.Definition, o projection.Options, others ...*projection.Definition) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	set := projection.New(db, o, append(others, d)...)
	passed := new(observed)
	passed.changed.L = &passed.mu
	j, err := journal.New(db, journal.Options{Observe: func(entries []journal.Entry) {
		set.Observe(entries)
		passed.add(len(entries))
	}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t, db, j, set, d, passed}
	t.Cleanup(f.close)
	return f
}

func (f *fixture) close() {
	if f.db == nil {
		return
	}
	if err := errors.Join(f.set.Close(), f.journal.Close(context.Background()), f.db.Close()); err != nil {
		f.t.Error(err)
	}
	f.db = nil
}

func (f *fixture) append(texts ...string) {
	f.t.Helper()
	for _, text := range texts {
		if err := f.journal.Append(context.Background(), journal.Entry{Text: []byte(text)}); err != nil {
			f.t.Fatal(err)
		}
	}
	f.observed.await(f.journal.Stats().Written)
}

func (f *fixture) push(tag string) {
	f.t.Helper()
	e := journal.Entry{Event: &notification.Event{Action: notification.Push, Repository: "a", Tag: tag}}
	if err := f.journal.Append(context.Background(), e); err != nil {
		f.t.Fatal(err)
	}
	f.observed.await(f.journal.Stats().Written)
}

func (f *fixture) catchUp() {
	f.t.Helper()
	if err := f.set.CatchUp(context.Background(), f.journal, nil); err != nil {
		f.t.Fatal(err)
	}
}

// rows returns the rows of the projection, such as "1 a, 2 b". It checks the view's position.
func (f *fixture) rows() string {
	f.t.Helper()
	v, err := f.set.View(context.Background(), f.definition)
	if err != nil {
		return err.Error()
	}
	defer v.Close()
	found, err := store.Collect(context.Background(), v, func(row store.Row) (string, error) {
		var position journal.Position
		var text string
		err := row.Scan(&position, &text)
		if position > v.Position {
			f.t.Errorf("entry %d is in a view up to %d", position, v.Position)
		}
		return fmt.Sprint(position, " ", text), err
	}, `SELECT position, text FROM seen ORDER BY position`)
	if err != nil {
		f.t.Error(err)
	}
	return strings.Join(found, ", ")
}

func (f *fixture) want(rows string) {
	f.t.Helper()
	if diff := cmp.Diff(rows, f.rows()); diff != "" {
		f.t.Errorf("(-want +got)\n%s", diff)
	}
}

// await waits until the projection has the given rows.
func (f *fixture) await(rows string) {
	f.t.Helper()
	await.Until(f.t, "the projection has "+rows, func(context.Context) error {
		if got := f.rows(); got != rows {
			return errors.New(got)
		}
		return nil
	})
}

// A projection has each entry exactly once, in order, after any sequence of batches, restarts and
// rebuilds.
func TestPropertyEachEntryIsReadOnce(t *testing.T) {
	for _, step := range []journal.Position{0, 3} {
		t.Run(fmt.Sprint("steps of ", step), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, d storetest.Database) { testPropertyEachEntryIsReadOnce(t, d, step) })
		})
	}
}

func testPropertyEachEntryIsReadOnce(t *testing.T, d storetest.Database, step journal.Position) {
	f := open(t, d.Ready(t), seenEntries(1, step), projection.Options{Batch: 4})
	var all []string
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(0, 6).Draw(rt, "entries") {
			text := fmt.Sprint("e", len(all))
			f.append(text)
			all = append(all, fmt.Sprint(len(all)+1, " ", text))
		}
		switch rapid.IntRange(0, 5).Draw(rt, "what") {
		case 0: // a restart
			if err := f.set.Close(); err != nil {
				rt.Fatal(err)
			}
			f.set = projection.New(f.db, projection.Options{Batch: rapid.IntRange(1, 5).Draw(rt, "batch")}, f.definition)
		case 1:
			if err := f.set.Rebuild(t.Context()); err != nil {
				rt.Fatal(err)
			}
		}
		f.catchUp()
		end := len(all)
		if step > 0 {
			end = max(end-(end+1)%int(step), 0)
		}
		f.want(strings.Join(all[:end], ", "))
	})
}

func TestAProjectionIsBuiltAnew(t *testing.T) {
	index := func(url string) string { return strings.TrimPrefix(url, "sqlite:") + ".index" }
	garble := func(t *testing.T, url string, from, n int) {
		file, err := os.OpenFile(index(url), os.O_RDWR, 0)
		if err == nil {
			_, err = file.WriteAt([]byte(strings.Repeat("garbage ", n/8)), int64(from))
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		what   string
		change func(t *testing.T, url string) // change is called while the files are closed
		last   string                         // the rows after the last step
	}{
		{"nothing happened", func(*testing.T, string) {}, "1 a, 2 b, 3 c"},
		{"the file was deleted", func(t *testing.T, url string) { remove(t, index(url)) }, "1 a, 2 b, 3 c"},
		{"the file was emptied", func(t *testing.T, url string) { truncate(t, index(url), 0) }, "1 a, 2 b, 3 c"},
		{"the file was cut off", func(t *testing.T, url string) { truncate(t, index(url), 5000) }, "1 a, 2 b, 3 c"},
		{"the header was overwritten", func(t *testing.T, url string) { garble(t, url, 0, 400) }, "1 a, 2 b, 3 c"},
		{"all but the header was overwritten", func(t *testing.T, url string) { garble(t, url, 104, 12000) }, "1 a, 2 b, 3 c"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			url := storetest.SQLite().Ready(t)
			f := open(t, url, seenEntries(1, 0), projection.Options{})
			f.append("a", "b")
			f.catchUp()
			f.want("1 a, 2 b")
			f.close()
			tt.change(t, url)
			f = open(t, url, seenEntries(1, 0), projection.Options{})
			f.append("c")
			// If the first attempt finds the damage, the second attempt builds the projection.
			for range 2 {
				_ = f.set.CatchUp(t.Context(), f.journal, nil)
			}
			f.want(tt.last)
		})
	}
}

func remove(t *testing.T, file string) {
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, file string, size int64) {
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

func TestAProjectionOfAnotherVersionIsBuiltAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		f := open(t, url, seenEntries(1, 0), projection.Options{})
		f.append("a")
		f.catchUp()
		newer := open(t, url, seenEntries(2, 0), projection.Options{})
		newer.want(projection.ErrNotBuilt.Error())
		newer.catchUp()
		newer.want("1 a")
		f.want(projection.ErrNotBuilt.Error())
		if err := f.set.CatchUp(t.Context(), f.journal, nil); d.Name == "PostgreSQL" && err == nil {
			t.Error("an older replica removed the projection of a newer one")
		}
	})
}

// The projection has read entries that the journal no longer has, because an older copy of the
// database was restored. After that, other entries were written.
func TestAProjectionIsBuiltAnewAfterARestore(t *testing.T) {
	for _, later := range []int{0, 1, 5} {
		testRestore(t, nil, later, "1 a", "1 a, 2 b, 3 c")
		// The projection selects other kinds than those of the lost entries.
		testRestore(t, []journal.Kind{journal.KindEvent}, later, "", "")
	}
}

func testRestore(t *testing.T, kinds []journal.Kind, later int, restored, lost string) {
	definition := seenEntries(1, 0)
	definition.Kinds = kinds
	file := t.TempDir() + "/state.db"
	f := open(t, "sqlite:"+file, definition, projection.Options{})
	f.append("a")
	f.close()
	backup, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f = open(t, "sqlite:"+file, definition, projection.Options{})
	f.append("b", "c")
	f.catchUp()
	f.want(lost)
	f.close()
	if err := os.WriteFile(file, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	f = open(t, "sqlite:"+file, definition, projection.Options{})
	var want []string
	if restored != "" {
		want = append(want, restored)
	}
	for i := range later {
		f.push(fmt.Sprint("x", i))
		want = append(want, fmt.Sprintf("%d x%d", i+2, i))
	}
	f.catchUp()
	f.want(strings.Join(want, ", "))
}

// Entries of other kinds are read, but the projection does not get them.
func TestAProjectionOfOneKind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		definition := seenEntries(1, 0)
		definition.Kinds = []journal.Kind{journal.KindEvent}
		f := open(t, d.Ready(t), definition, projection.Options{Batch: 2})
		f.append("a")
		f.push("v1")
		f.append(`{"id":"","event":{}}`)
		f.push("v2")
		f.append("b")
		f.catchUp()
		f.want("2 v1, 4 v2")
		if s := f.set.Status()[0]; s.Position != 5 || s.Behind != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAProjectionOfAnotherDatabaseIsBuiltAnew(t *testing.T) {
	one, other := t.TempDir()+"/state.db", t.TempDir()+"/state.db"
	f := open(t, "sqlite:"+one, seenEntries(1, 0), projection.Options{})
	f.append("a", "b")
	f.catchUp()
	f.close()
	f = open(t, "sqlite:"+other, seenEntries(1, 0), projection.Options{})
	f.append("c")
	f.close()
	if err := os.Rename(one+".index", other+".index"); err != nil {
		t.Fatal(err)
	}
	f = open(t, "sqlite:"+other, seenEntries(1, 0), projection.Options{})
	f.want(projection.ErrNotBuilt.Error())
	f.catchUp()
	f.want("1 c")
}

// A failed batch writes no rows and is retried. During the failures, writes to the journal
// succeed.
func TestAFailedBatchIsRetried(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		definition := seenEntries(1, 0)
		apply, full := definition.Apply, errors.New("no space left")
		failing := true
		definition.Apply = func(ctx context.Context, tx projection.Tx, entries iter.Seq2[journal.Entry, error]) error {
			if err := apply(ctx, tx, entries); err != nil || !failing {
				return err
			}
			return full
		}
		f := open(t, d.Ready(t), definition, projection.Options{Batch: 2})
		f.append("a", "b", "c")
		if err := f.set.CatchUp(t.Context(), f.journal, nil); !errors.Is(err, full) {
			t.Fatal(err)
		}
		f.want("")
		if s := f.set.Status()[0]; s.Behind != 3 || !errors.Is(s.Err, full) {
			t.Errorf("%+v", s)
		}
		f.append("d")
		failing = false
		f.catchUp()
		f.want("1 a, 2 b, 3 c, 4 d")
		if s := f.set.Status()[0]; s.Behind != 0 || s.Err != nil || s.Position != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// Replicas share the projections of a database, and processes share a file.
func TestProcessesBuildAProjectionTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		var all []*fixture
		for range 3 {
			all = append(all, open(t, url, seenEntries(1, 0), projection.Options{Batch: 1}))
		}
		var want []string
		for i := range 12 {
			all[0].append(fmt.Sprint("e", i))
			want = append(want, fmt.Sprintf("%d e%d", i+1, i))
		}
		var working sync.WaitGroup
		for _, f := range all {
			working.Go(func() {
				if err := f.set.CatchUp(t.Context(), f.journal, nil); err != nil {
					t.Error(err)
				}
			})
		}
		working.Wait()
		for _, f := range all {
			f.want(strings.Join(want, ", "))
		}
	})
}

// Run builds a projection. If the file is deleted while Run works, Run builds the projection
// again.
func TestRunBuildsAProjection(t *testing.T) {
	url := storetest.SQLite().Ready(t)
	f := open(t, url, seenEntries(1, 0), projection.Options{})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.set.Run(ctx, f.journal) })
	defer running.Wait()
	defer stop()
	f.append("a")
	f.await("1 a")
	remove(t, strings.TrimPrefix(url, "sqlite:")+".index")
	f.append("b")
	f.await("1 a, 2 b")
}

// While a projection fails, Run and CatchUp read all entries into the other ones.
func TestAProjectionThatFailsStopsNoOther(t *testing.T) {
	failing := seenEntries(1, 0)
	failing.Name, failing.Tables, failing.SQLite, failing.Title, failing.Lag = "failing", nil, "SELECT 1", "index", "it is old"
	failing.Apply = func(context.Context, projection.Tx, iter.Seq2[journal.Entry, error]) error {
		return errors.New("no space left")
	}
	log := new(await.Log)
	o := projection.Options{Batch: 1, Log: slog.New(slog.NewTextHandler(log, nil))}
	f := open(t, storetest.SQLite().Ready(t), seenEntries(1, 0), o, failing)
	f.append("a", "b", "c")
	if err := f.set.CatchUp(t.Context(), f.journal, nil); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("CatchUp: %v", err)
	}
	f.want("1 a, 2 b, 3 c")
	f.append("d", "e", "f")
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.set.Run(ctx, f.journal) })
	f.await("1 a, 2 b, 3 c, 4 d, 5 e, 6 f")
	stop()
	running.Wait()
	if n := log.Count("updating the index failed; until this works again, it is old"); n == 0 {
		t.Errorf("the log has no warning:\n%s", log)
	}
}

// A read-only Set reads existing projections, and creates no file or table.
func TestReadersCreateNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		f := open(t, url, seenEntries(1, 0), projection.Options{})
		f.append("a")
		reader := projection.New(f.db, projection.Options{ReadOnly: true}, f.definition)
		defer reader.Close()
		if v, err := reader.View(t.Context(), f.definition); !errors.Is(err, store.ErrMissing) {
			t.Fatal(v, err)
		}
		f.catchUp()
		v, err := reader.View(t.Context(), f.definition)
		if err != nil || v.Position != 1 {
			t.Fatal(v, err)
		}
		v.Close()
	})
}

func TestPace(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const took = 20 * time.Millisecond
	for _, tt := range []struct {
		what string
		last journal.Position // the end of the journal a second later
		more bool
		rest time.Duration
	}{
		{"everything was read", 5000, false, projection.LookEvery},
		{"nothing is written", 1000, true, 2 * took},
		{"little is written", 1900, true, 2 * took},
		{"much is written", 9000, true, 15 * took},
		{"the database is an older copy", 10, true, 2 * took},
	} {
		if rest := projection.Rest(noon, 1000, noon.Add(time.Second), tt.last, took, tt.more); rest != tt.rest {
			t.Errorf("%s: %s, want %s", tt.what, rest, tt.rest)
		}
	}
}
