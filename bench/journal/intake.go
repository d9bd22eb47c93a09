package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
)

// latencies has the latencies of the events that one call of record has recorded, the shortest
// first.
type latencies struct {
	took   []time.Duration
	passed time.Duration
}

func (r *latencies) rate() float64 { return float64(len(r.took)) / r.passed.Seconds() }

func (r *latencies) p99() time.Duration { return r.took[(len(r.took)-1)*99/100] }

var sent atomic.Int64

// record runs senders for the time m.slice, and returns the latencies. Each sender records one
// event at a time. While the senders run, record also builds the index and runs the given
// functions.
func (m *measurement) record(ctx context.Context, o *openDatabase, senders int, background ...func(context.Context)) (r latencies, err error) {
	ctx, stop := context.WithTimeout(ctx, m.slice)
	defer stop()
	var work, all sync.WaitGroup
	for _, f := range append(background, func(ctx context.Context) { o.set.Run(ctx, o.journal) }) {
		work.Go(func() { f(ctx) })
	}
	var mu sync.Mutex
	began := time.Now()
	for range senders {
		all.Go(func() {
			var took []time.Duration
			var failed error
			for ctx.Err() == nil {
				e := m.ci.newEvent(int(sent.Add(1)), o.now())
				began := time.Now()
				if failed = o.journal.Append(context.WithoutCancel(ctx), e); failed != nil {
					break
				}
				took = append(took, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			r.took = append(r.took, took...)
			if failed != nil {
				err = failed
			}
		})
	}
	all.Wait()
	r.passed = time.Since(began)
	stop()
	work.Wait()
	slices.Sort(r.took)
	if err == nil && len(r.took) == 0 {
		err = fmt.Errorf("no event was recorded in %s", m.slice)
	}
	return r, err
}

// lag records events at full rate, and then measures how many of these events are not indexed yet.
// It does this twice: first as if this process wrote the events, and then as if other processes
// wrote the events. In the second case, the events must be read from the journal. After that, lag
// measures how fast the index catches up. Then it measures the delay of the index at 1,000 events
// a second.
func (m *measurement) lag(ctx context.Context) error {
	var first, last journal.Position
	for _, of := range []string{"this process", "others"} {
		m.observing.Store(of != "others")
		for range m.rounds {
			if _, err := m.record(ctx, m.openDatabase, 32); err != nil {
				return err
			}
		}
		var err error
		if last, err = m.journal.Last(ctx); err != nil {
			return err
		}
		first = m.set.Status()[0].Position
		m.add(bar{value: float64(last - first), unit: ""}, "entries of %s, recorded at full rate for %s, that are not indexed yet", of, time.Duration(m.rounds)*m.slice)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var indexing sync.WaitGroup
	indexing.Go(func() { m.set.Run(ctx, m.journal) })
	defer indexing.Wait()
	defer stop()
	began := time.Now()
	const group = 256 // entries are indexed only in whole groups
	for m.set.Status()[0].Position < last-group && ctx.Err() == nil {
		_ = clock.Sleep(ctx, 10*time.Millisecond)
	}
	m.add(bar{value: float64(last-first) / time.Since(began).Seconds(), unit: "/s", limit: 5000, atLeast: true}, "entries indexed by the service, with its pauses")
	m.observing.Store(true)
	return m.follow(ctx)
}

// follow measures how long it takes until a new entry is indexed, at 1,000 entries a second.
func (m *measurement) follow(ctx context.Context) error {
	const each = 10 // entries in 10 ms
	var longest time.Duration
	at := make(map[journal.Position]time.Time)
	indexed := m.set.Status()[0].Position
	for end := time.Now().Add(time.Duration(m.rounds) * m.slice); time.Now().Before(end) && ctx.Err() == nil; _ = clock.Sleep(ctx, 10*time.Millisecond) {
		var batch []journal.Entry
		for range each {
			batch = append(batch, m.ci.newEvent(int(sent.Add(1)), m.now()))
		}
		if err := m.journal.Append(ctx, batch...); err != nil {
			return err
		}
		last, err := m.journal.Last(ctx)
		if err != nil {
			return err
		}
		at[last] = time.Now()
		if now := m.set.Status()[0].Position; now > indexed {
			for p, t := range at {
				if p <= now {
					longest = max(longest, time.Since(t))
					delete(at, p)
				}
			}
			indexed = now
		}
	}
	m.add(bar{value: ms(longest), unit: "ms", limit: 1000}, "longest time until an entry is indexed, at 1,000 entries a second")
	return nil
}

// intake measures how fast the full journal records events. It compares this rate with the rate of
// an empty journal. It measures the two journals in turn.
func (m *measurement) intake(ctx context.Context) (err error) {
	empty, err := open(ctx, filepath.Join(m.work, "empty.db"), m.now())
	if err != nil {
		return err
	}
	defer func() {
		if e := empty.close(ctx); err == nil {
			err = e
		}
	}()
	empty.observing.Store(true)
	m.observing.Store(true)
	for _, senders := range []int{1, 32} {
		var ratios, rates []float64
		for round := range m.rounds {
			both := []*openDatabase{empty, m.openDatabase}
			if round%2 == 1 {
				slices.Reverse(both)
			}
			rate := make(map[*openDatabase]float64)
			for _, o := range both {
				r, err := m.record(ctx, o, senders, o.maintain)
				if err != nil {
					return err
				}
				rate[o] = r.rate()
			}
			ratios, rates = append(ratios, 100*rate[m.openDatabase]/rate[empty]), append(rates, rate[m.openDatabase])
		}
		slices.Sort(ratios)
		m.add(bar{value: median(ratios), unit: "%", limit: 90, atLeast: true}, "intake of %d senders, compared with an empty journal (%.0f to %.0f; %.0f/s)",
			senders, ratios[0], ratios[len(ratios)-1], median(rates))
	}
	return nil
}

func (o *openDatabase) maintain(ctx context.Context) { o.journal.Maintain(ctx, retention.Limits{}) }

// retention measures the latency of events while the older half of the entries is removed. It
// compares this latency with the latency while no entries are removed. In each round, a time slice
// without removal is followed by a slice with removal.
func (m *measurement) retention(ctx context.Context) error {
	age := m.now().Sub(m.ci.time(m.entries / 2))
	half := retention.Limit{Age: age}
	limits := retention.Limits{Decisions: half, Refused: half, Events: half, Changes: half, Service: half}
	for _, senders := range []int{1, 32} {
		var ratios, quiet, during []float64
		before, err := m.countRemoved(ctx)
		if err != nil {
			return err
		}
		for range m.rounds {
			a, err := m.record(ctx, m.openDatabase, senders, m.maintain)
			if err != nil {
				return err
			}
			b, err := m.record(ctx, m.openDatabase, senders, func(ctx context.Context) { m.journal.Maintain(ctx, limits) })
			if err != nil {
				return err
			}
			quiet, during = append(quiet, ms(a.p99())), append(during, ms(b.p99()))
			ratios = append(ratios, ms(b.p99())/ms(a.p99()))
		}
		after, err := m.countRemoved(ctx)
		if err != nil {
			return err
		}
		slices.Sort(ratios)
		m.add(bar{value: median(ratios), unit: "times", limit: 2}, "p99 of %d senders while entries are removed, compared with none removed (%.2f to %.2f; %.2f ms and %.2f ms)",
			senders, ratios[0], ratios[len(ratios)-1], median(during), median(quiet))
		m.add(bar{value: float64(after-before) / (time.Duration(m.rounds) * m.slice).Seconds(), unit: "/s"}, "entries removed during this")
	}
	return nil
}

// countRemoved returns how many entries were removed.
func (m *measurement) countRemoved(ctx context.Context) (n int64, err error) {
	err = m.db.Read().QueryRowContext(ctx, `SELECT coalesce(sum(total), 0) FROM journal_removed`).Scan(&n)
	return n, err
}

func median(all []float64) float64 {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

// runText makes the ids of events differ from the ids in other runs.
var runText = rand.Text()
