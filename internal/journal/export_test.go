package journal

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/policy"
)

// EpochLength is how long a number of events' epoch lasts.
const EpochLength = epochLength

// Write is how a journal reaches its database.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite puts a misbehaving database before the real one. It must be called before the first entry.
func (j *Journal) SetWrite(wrap func(real Write) Write) { j.write = wrap(j.write) }

// SumOf returns the hash that a block of these columns must have.
func SumOf(first Position, entries, earliest, latest int64, previous, content []byte) [32]byte {
	b := block{first: first, entries: entries, earliest: earliest, latest: latest, previous: hash(previous), content: content}
	return b.sum()
}

// Remembered says how much of principals a writer keeps in memory after it has seen them.
func Remembered(names func(i int) string, n int) (entries int) {
	known := newPrincipals()
	for i := range n {
		known.number(&policy.Principal{Name: names(i)})
		known.settle(true)
	}
	return len(known.byPointer.young) + len(known.byPointer.old) + len(known.byText.young) + len(known.byText.old) +
		len(known.stored.young) + len(known.stored.old)
}

// ReportEvery is how often losses and failures are told at most.
const ReportEvery = reportEvery

// EventKey names an event of a registry.
func EventKey(registry, id string) []byte { return eventKey(registry, id) }
