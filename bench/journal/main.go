// Journal measures searches in a journal with many entries, and what its index costs.
//
//	go run ./journal --entries 10000000 --folder /var/tmp
//
// Journal fills a database with entries as a farm of CI jobs writes them: 2,000 jobs a day, each
// with a principal and an address of its own, in 200 repositories. Then it builds the index, and
// measures the first page of each filter and of pairs of common filters, the entries that are
// related to one, and how fast events are recorded with and without the index. It prints a table of
// bars, and exits with 1 if a bar is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the parsed command line.
type settings struct {
	entries  int
	folder   string
	database string
	pages    int
	intake   time.Duration
}

// run returns the exit code: 0, 1 (failure or missed bar) or 2 (wrong usage).
func run(ctx context.Context, arguments []string, out, progress io.Writer) int {
	var s settings
	f := flag.NewFlagSet("journal", flag.ContinueOnError)
	f.SetOutput(progress)
	f.IntVar(&s.entries, "entries", 1_000_000, "entries in the journal")
	f.StringVar(&s.folder, "folder", os.TempDir(), "where the database's folder is created; it is removed at the end")
	f.StringVar(&s.database, "database", "", "URL of an empty database, instead of a file in --folder")
	f.IntVar(&s.pages, "pages", 20, "first pages of each filter, with different values")
	f.DurationVar(&s.intake, "intake", 5*time.Second, "how long events are recorded, with and without the index")
	switch err := f.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0 || s.entries < 1000 || s.pages < 1 || s.intake <= 0:
		fmt.Fprintln(progress, "journal: --entries must be at least 1000, --pages and --intake positive, and there are no arguments")
		return 2
	}
	bars, err := measure(ctx, s, progress)
	if err != nil {
		fmt.Fprintln(progress, "journal:", err)
		return 1
	}
	code := 0
	for _, b := range bars {
		verdict := ""
		if b.limit > 0 {
			verdict = fmt.Sprintf("at most %.0f", b.limit)
			if b.value > b.limit {
				verdict, code = verdict+", MISSED", 1
			}
		}
		fmt.Fprintf(out, "%-78s %10.1f %-6s %s\n", b.what, b.value, b.unit, verdict)
	}
	return code
}

// bar is one measured value. limit 0: none.
type bar struct {
	what  string
	value float64
	unit  string
	limit float64
}

// measurement is the journal that is measured.
type measurement struct {
	settings
	progress io.Writer
	db       *store.DB
	journal  *journal.Journal
	set      *projection.Set
	at       atomic.Int64 // the journal's time, in microseconds
	ci       *farm
	bars     []bar
}

func (m *measurement) add(limit, value float64, unit, what string, args ...any) {
	m.bars = append(m.bars, bar{fmt.Sprintf(what, args...), value, unit, limit})
}

func measure(ctx context.Context, s settings, progress io.Writer) (_ []bar, err error) {
	if s.database == "" {
		folder, err := os.MkdirTemp(s.folder, "tidewaiter-journal-")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		s.database = "sqlite:" + filepath.Join(folder, "state.db")
	}
	m := &measurement{settings: s, progress: progress, ci: newFarm(s.entries)}
	if m.db, err = store.Open(ctx, s.database); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.db.Close()) }()
	index := search.Projection(username.Login)
	m.set = projection.New(m.db, projection.Options{}, index)
	defer func() { err = errors.Join(err, m.set.Close()) }()
	m.journal, err = journal.New(m.db, journal.Options{
		Now: func() time.Time { return time.UnixMicro(m.at.Load()) }, Login: username.Login, Index: search.NewIndex(m.set, index),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.journal.Close(context.WithoutCancel(ctx))) }()
	for _, step := range []func(context.Context) error{m.fill, m.build, m.filters, m.related, m.intakes} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		debug.FreeOSMemory()
	}
	return m.bars, nil
}

// fill writes the entries in large blocks.
func (m *measurement) fill(ctx context.Context) error {
	began := time.Now()
	for n := 0; n < m.entries; {
		batch := make([]journal.Entry, 0, 2048)
		for len(batch) < cap(batch) && n < m.entries {
			batch = append(batch, m.ci.entry(n))
			n++
		}
		m.at.Store(batch[len(batch)-1].Time.UnixMicro())
		if err := m.journal.Append(ctx, batch...); err != nil {
			return err
		}
		if n%(1<<18) < cap(batch) {
			fmt.Fprintf(m.progress, "%d entries written\n", n)
		}
	}
	m.add(0, float64(time.Since(began).Microseconds())/float64(m.entries), "µs", "writing an entry, in large batches")
	return nil
}

// build builds the index.
func (m *measurement) build(ctx context.Context) error {
	began, before := time.Now(), processorTime()
	err := m.set.CatchUp(ctx, m.journal, func(all []projection.Status) {
		if all[0].Position%(1<<18) < 4096 {
			fmt.Fprintf(m.progress, "%d entries indexed\n", all[0].Position)
		}
	})
	if err != nil {
		return err
	}
	took, used := time.Since(began), processorTime()-before
	size, err := m.set.Size(ctx)
	if err != nil {
		return err
	}
	indexed := float64(m.set.Status()[0].Position)
	m.add(0, indexed/took.Seconds(), "/s", "entries indexed")
	m.add(30, float64(used.Microseconds())/indexed, "µs", "processor time to index an entry, reading it included")
	m.add(45, float64(size)/indexed, "bytes", "index of an entry")
	return nil
}

// pageLimit is the number of entries of a page, as in the API. Its searches end after 40 ms.
const pageLimit = 100

// filters measures first pages.
func (m *measurement) filters(ctx context.Context) error {
	for _, name := range []string{
		"nothing", "since", "until", "kind", "outcome", "registry", "principal", "login", "repository", "below", "digest", "reference", "tag", "action",
		"address", "network", "decision", "credential",
		"kind action", "kind repository", "repository principal", "repository action", "repository outcome", "outcome principal", "outcome credential",
		"repository until", "action until", "tag repository", "address kind",
	} {
		var took []time.Duration
		found, short := 0, 0
		for range m.pages {
			q := m.ci.query(name)
			began := time.Now()
			page, err := m.journal.Search(ctx, q, 0, pageLimit, func(int) bool { return time.Since(began) > 40*time.Millisecond })
			if err != nil {
				return err
			}
			took, found = append(took, time.Since(began)), found+len(page.Entries)
			if page.Next != 0 && len(page.Entries) < pageLimit {
				short++
			}
		}
		slices.Sort(took)
		m.add(50, ms(took[len(took)*9/10]), "ms", "%s, p90 (p50 %.1f; %d of %d pages short; %d found)", name, ms(took[len(took)/2]), short, m.pages, found)
	}
	return nil
}

// related measures what journal show does.
func (m *measurement) related(ctx context.Context) error {
	for _, event := range []bool{false, true} {
		var took []time.Duration
		found := 0
		for range m.pages {
			id := m.ci.id(event)
			began := time.Now()
			e, err := m.journal.FindOne(ctx, id.String())
			if err != nil {
				return err
			}
			related, _, err := m.journal.Related(ctx, e)
			if err != nil {
				return err
			}
			took, found = append(took, time.Since(began)), found+len(related)
		}
		slices.Sort(took)
		what := "show a decision and its events"
		if event {
			what = "show an event and its decision"
		}
		m.add(20, ms(took[len(took)*9/10]), "ms", "%s, p90 (p50 %.1f; %d found)", what, ms(took[len(took)/2]), found)
	}
	return nil
}

// intakes measures how fast events are recorded while the index is built, and while it is not.
func (m *measurement) intakes(ctx context.Context) error {
	for _, with := range []bool{false, true} {
		ctx, stop := context.WithTimeout(ctx, m.intake)
		var indexing sync.WaitGroup
		if with {
			indexing.Go(func() { m.set.Run(ctx, m.journal) })
		}
		var recorded, next atomic.Int64
		next.Store(int64(m.entries) * 2)
		before := processorTime()
		var senders sync.WaitGroup
		for range 32 {
			senders.Go(func() {
				for ctx.Err() == nil {
					e := m.ci.event(int(next.Add(1)))
					if m.journal.Append(ctx, e) == nil {
						recorded.Add(1)
					}
				}
			})
		}
		senders.Wait()
		stop()
		indexing.Wait()
		n := float64(recorded.Load())
		what := "events of 32 senders, without the index"
		if with {
			what = fmt.Sprintf("events of 32 senders, with it (%d behind at the end)", m.set.Status()[0].Behind)
		}
		m.add(0, n/m.intake.Seconds(), "/s", "%s", what)
		m.add(0, float64((processorTime()-before).Microseconds())/n, "µs", "processor time of each")
		m.entries += int(n)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// processorTime returns what this process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// random returns a number below n.
func random(n int) int { return rand.IntN(n) }
