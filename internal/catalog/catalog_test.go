package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	registry  = "r.example.com"
	imageType = "application/vnd.oci.image.manifest.v1+json"
)

// digestOf returns a digest that contains the given name in hex.
func digestOf(name string) string {
	return "sha256:" + strings.Repeat("0", 64-2*len(name)) + fmt.Sprintf("%x", name)
}

// fixture is a journal with a catalog.
type fixture struct {
	t          testing.TB
	url        string
	db         *store.DB
	journal    *journal.Journal
	set        *projection.Set
	definition *projection.Definition
	sent       int
}

func open(t testing.TB, url string, batch int) *fixture {
	t.Helper()
	db, err := store.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := catalog.Projection()
	f := &fixture{t: t, url: url, db: db, journal: j, set: projection.New(db, projection.Options{Batch: batch}, d), definition: d}
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

// send appends events that arrive an hour after noon, or at their own time if that is later.
func (f *fixture) send(events ...notification.Event) {
	f.t.Helper()
	for _, e := range events {
		f.sent++
		at := noon.Add(time.Hour)
		if e.Time.After(at) {
			at = e.Time
		}
		if e.ID == "" {
			e.ID = fmt.Sprint("e", f.sent)
		}
		if err := f.journal.Append(context.Background(), journal.Entry{Time: at, Registry: registry, Event: &e}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) catchUp() {
	f.t.Helper()
	if err := f.set.CatchUp(context.Background(), f.journal, nil); err != nil {
		f.t.Fatal(err)
	}
}

// newReader waits until all sent events are in the catalog, and returns a Reader of the catalog.
func (f *fixture) newReader() *catalog.Reader {
	f.t.Helper()
	f.catchUp()
	r, err := catalog.New(f.set, f.definition).Read(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// dump returns the content of all tables.
func (f *fixture) dump() (rows []string) {
	f.t.Helper()
	v, err := f.set.View(context.Background(), f.definition)
	if err != nil {
		f.t.Fatal(err)
	}
	defer v.Close()
	for _, table := range f.definition.Tables {
		if table == "catalog_key" {
			continue // it is random
		}
		found, err := v.QueryContext(context.Background(), "SELECT * FROM "+table+" ORDER BY 1, 2, 3")
		if err != nil {
			f.t.Fatal(err)
		}
		columns, err := found.Columns()
		if err != nil {
			f.t.Fatal(err)
		}
		for found.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := found.Scan(values...); err != nil {
				f.t.Fatal(err)
			}
			row := table
			for i, value := range values {
				row += fmt.Sprintf(" %s=%q", columns[i], fmt.Sprint(*value.(*any)))
			}
			rows = append(rows, row)
		}
		if err := errors.Join(found.Err(), found.Close()); err != nil {
			f.t.Fatal(err)
		}
	}
	return rows
}
