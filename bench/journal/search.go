package main

import (
	"context"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// The limits of a page in the API: the number of entries, and the time after which a search ends.
const (
	pageLimit = 100
	pageTime  = 40 * time.Millisecond
)

// pairs are filters, and pairs of common filters; see farm.query.
var pairs = []string{
	"nothing", "since", "until", "kind", "outcome", "registry", "principal", "login", "repository", "below", "digest", "reference", "tag", "action",
	"address", "network", "decision", "credential",
	"kind action", "kind repository", "repository principal", "repository action", "repository outcome", "outcome principal", "outcome credential",
	"repository until", "action until", "tag repository", "address kind", "below outcome", "network action", "credential repository",
}

// filter measures how long the first page of each filter takes.
func (m *measurement) filter(ctx context.Context) error {
	before := journal.Position(m.entries + 1) // entries after these positions are not from CI jobs
	for _, name := range m.filters {
		var took []time.Duration
		found, cut, empty, used := 0, 0, 0, processorTime()
		for range m.pages {
			q := m.ci.query(name)
			began := time.Now()
			page, err := m.journal.Search(ctx, q, before, pageLimit, func(int) bool { return time.Since(began) > pageTime })
			if err != nil {
				return err
			}
			took, found = append(took, time.Since(began)), found+len(page.Entries)
			if page.Next != 0 && len(page.Entries) < pageLimit {
				cut++
				if len(page.Entries) == 0 {
					empty++
				}
			}
		}
		used = (processorTime() - used) / time.Duration(m.pages)
		slices.Sort(took)
		m.add(bar{value: ms(took[len(took)*95/100]), unit: "ms", limit: 50}, "%s, p95 (p50 %.1f; processor %.1f; %d found; %d of %d pages cut, %d empty)",
			name, ms(took[len(took)/2]), ms(used), found/m.pages, cut, m.pages, empty)
	}
	return nil
}

// show measures how long the command "journal show" takes.
func (m *measurement) show(ctx context.Context) error {
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
		m.add(bar{value: ms(took[len(took)*95/100]), unit: "ms", limit: 20}, "%s, p95 (p50 %.1f; %d found)", what, ms(took[len(took)/2]), found)
	}
	return nil
}

// verify measures how long it takes to verify all entries.
func (m *measurement) verify(ctx context.Context) error {
	began, before := time.Now(), processorTime()
	v, err := m.journal.Verify(ctx, 1)
	took, used := time.Since(began), processorTime()-before
	if err != nil {
		return err
	}
	m.add(bar{value: took.Seconds(), unit: "s", limit: 60}, "verify %d entries", v.Entries)
	m.add(bar{value: float64(used.Nanoseconds()) / 1000 / float64(v.Entries), unit: "µs"}, "processor time to verify an entry")
	return nil
}
