package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// steps are the possible values of --steps, in order. With --keep, steps that change the journal
// use a copy.
var steps = []struct {
	name    string
	run     func(*measurement, context.Context) error
	changes bool
}{
	{"fill", (*measurement).fill, false},
	{"filters", (*measurement).filter, false},
	{"show", (*measurement).show, false},
	{"verify", (*measurement).verify, false},
	{"lag", (*measurement).lag, true},
	{"intake", (*measurement).intake, true},
	{"retention", (*measurement).retention, true},
}

// measurement is one run of the program.
type measurement struct {
	settings
	*openDatabase
	progress io.Writer
	work     string // a folder that is removed at the end
	ci       *farm
	bars     []bar
	// profileTo is the destination of the profile. It becomes nil when the profile begins.
	profileTo io.Writer
}

// openDatabase is an open database with a journal and its index.
type openDatabase struct {
	file    string
	db      *store.DB
	journal *journal.Journal
	set     *projection.Set
	ahead   atomic.Int64 // nanoseconds that the journal's clock is ahead of this machine's clock
	// If observing is true, the index is written from the entries in memory, as in the service.
	// Otherwise all entries are read from the journal, as if other processes had written them.
	observing atomic.Bool
}

func (m *measurement) add(b bar, what string, args ...any) {
	b.what = fmt.Sprintf(what, args...)
	m.bars = append(m.bars, b)
	fmt.Fprintf(m.progress, "%s: %.1f %s\n", b.what, b.value, b.unit)
}

func measure(ctx context.Context, s settings, progress io.Writer) (_ []bar, err error) {
	m := &measurement{settings: s, progress: progress, ci: newFarm(s.entries)}
	if m.work, err = os.MkdirTemp(s.folder, "tidewaiter-journal-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.work)) }()
	file := filepath.Join(m.work, "state.db")
	if m.keep {
		file = filepath.Join(s.folder, "state.db")
	}
	if m.openDatabase, err = open(ctx, file, m.ci.last.Add(2*time.Hour)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.openDatabase.close(ctx)) }()
	if s.profile != "" {
		out, err := os.Create(s.profile)
		if err != nil {
			return nil, err
		}
		defer out.Close()
		defer pprof.StopCPUProfile()
		m.profileTo = out
	}
	copied := !m.keep
	for _, step := range steps {
		if !slices.Contains(m.steps, step.name) {
			continue
		}
		if m.profileTo != nil && step.name != "fill" {
			if err := pprof.StartCPUProfile(m.profileTo); err != nil {
				return m.bars, err
			}
			m.profileTo = nil
		}
		if step.changes && !copied {
			copied = true
			if err := m.copy(ctx); err != nil {
				return m.bars, err
			}
		}
		if err := step.run(m, ctx); err != nil {
			return m.bars, fmt.Errorf("%s: %w", step.name, err)
		}
		debug.FreeOSMemory()
	}
	return m.bars, nil
}

// open opens a database. The clock of its journal begins at the given time.
func open(ctx context.Context, file string, now time.Time) (_ *openDatabase, err error) {
	o := &openDatabase{file: file}
	o.setClock(now)
	if o.db, err = store.Open(ctx, "sqlite:"+file); err != nil {
		return nil, err
	}
	index := search.Projection(username.Login)
	o.set = projection.New(o.db, projection.Options{}, index)
	o.journal, err = journal.New(o.db, journal.Options{
		Now: o.now, Login: username.Login, Index: search.NewIndex(o.set, index), Settle: -1,
		Observe: func(entries []journal.Entry) {
			if o.observing.Load() {
				o.set.Observe(entries)
			}
		},
	})
	return o, err
}

// setClock sets the journal's clock.
func (o *openDatabase) setClock(now time.Time) { o.ahead.Store(int64(time.Until(now))) }

func (o *openDatabase) now() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

func (o *openDatabase) close(ctx context.Context) error {
	return errors.Join(o.journal.Close(context.WithoutCancel(ctx)), o.set.Close(), o.db.Close())
}

// copy copies the database, and opens the copy.
func (m *measurement) copy(ctx context.Context) error {
	if err := m.openDatabase.close(ctx); err != nil {
		return err
	}
	to := filepath.Join(m.work, "state.db")
	for _, end := range []string{"", ".index"} {
		if err := copyFile(m.file+end, to+end); err != nil {
			return err
		}
	}
	o, err := open(ctx, to, m.now())
	if err == nil {
		m.openDatabase = o
	}
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// processorTime returns the processor time that this process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
