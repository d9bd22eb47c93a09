package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
)

// fill writes the entries that are missing, merges their blocks and builds the index.
func (m *measurement) fill(ctx context.Context) error {
	last, err := m.journal.Last(ctx)
	if err != nil {
		return err
	}
	if err := m.write(ctx, int(last)); err != nil {
		return err
	}
	m.setClock(m.ci.last.Add(2 * time.Hour))
	if err := m.journal.Merge(ctx); err != nil {
		return err
	}
	if err := m.index(ctx); err != nil {
		return err
	}
	return m.size(ctx)
}

// write writes the entries that follow the existing ones. At the same time, it merges the blocks
// of the new entries and adds most of these entries to the index. The method index adds the last
// entries.
func (m *measurement) write(ctx context.Context, existing int) error {
	const (
		atOnce    = 512
		workEvery = 1 << 16
		unindexed = 4 * workEvery
	)
	began := time.Now()
	merging, indexing := make(chan error, 1), make(chan error, 1)
	merging <- nil
	indexing <- nil
	for n := existing; n < m.entries; {
		batch := make([]journal.Entry, 0, atOnce)
		for len(batch) < cap(batch) && n < m.entries {
			batch = append(batch, m.ci.entry(n))
			n++
		}
		m.setClock(batch[len(batch)-1].Time)
		if err := m.journal.Append(ctx, batch...); err != nil {
			return err
		}
		if n%workEvery >= atOnce {
			continue
		}
		fmt.Fprintf(m.progress, "%d entries written, %s\n", n, time.Since(began).Round(time.Second))
		if err := <-merging; err != nil {
			return err
		}
		go func() { merging <- m.journal.Merge(ctx) }()
		if n > m.entries-unindexed {
			continue
		}
		select {
		case err := <-indexing:
			if err != nil {
				return err
			}
			go func() { indexing <- m.set.CatchUp(ctx, m.journal, nil) }()
		default: // the index is still being built
		}
	}
	return errors.Join(<-merging, <-indexing)
}

// index builds the index.
func (m *measurement) index(ctx context.Context) error {
	var first journal.Position
	began, before := time.Now(), processorTime()
	err := m.set.CatchUp(ctx, m.journal, func(all []projection.Status) {
		if first == 0 {
			first, began, before = all[0].Position, time.Now(), processorTime()
		}
		if all[0].Position%(1<<18) < 4096 {
			fmt.Fprintf(m.progress, "%d entries indexed, %s\n", all[0].Position, time.Since(began).Round(time.Second))
		}
	})
	took, used := time.Since(began), processorTime()-before
	if err != nil {
		return err
	}
	if n := float64(m.set.Status()[0].Position - first); n > 10_000 {
		m.add(bar{value: n / took.Seconds(), unit: "/s", limit: 5000, atLeast: true}, "entries indexed, without the pauses of the service")
		m.add(bar{value: float64(used.Microseconds()) / n, unit: "µs", limit: 30}, "processor time to read and index an entry")
	}
	return nil
}

// size measures how many bytes the entries take on disk.
func (m *measurement) size(ctx context.Context) error {
	index, err := m.set.Size(ctx)
	if err != nil {
		return err
	}
	var free, page int64
	err = m.db.Read().QueryRowContext(ctx, `SELECT freelist_count, page_size FROM pragma_freelist_count, pragma_page_size`).Scan(&free, &page)
	if err != nil {
		return err
	}
	info, err := os.Stat(m.file)
	if err != nil {
		return err
	}
	// Free pages do not count, because the database uses them again.
	all := float64(info.Size() - free*page + index)
	n := float64(m.entries)
	m.add(bar{value: all / n, unit: "bytes", limit: 350}, "an entry on disk: block, index, principals, keys of events and tree")
	m.add(bar{value: float64(index) / n, unit: "bytes", limit: 45}, "the index of an entry")
	return nil
}
