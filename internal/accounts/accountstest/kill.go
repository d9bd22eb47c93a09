package accountstest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Open opens the journal and the accounts of a database, in a process that a test kills
// (storetest.Killed).
func Open(db *store.DB) (*accounts.Accounts, *journal.Journal, error) {
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return nil, nil, err
	}
	a, err := accounts.Open(accounts.Options{Options: credentials.Options{
		Writer: admin.NewWriter(db, j, nil), Hashing: password.New(password.Options{HashMemory: 64}),
	}})
	return a, j, err
}

// Check makes two comparisons after processes were killed. It compares the acknowledged writes of
// these processes with the journal, and the journal with the tables.
type Check struct {
	Journal      *journal.Journal
	Acknowledged storetest.Acknowledged
	// the worker that made a change; "": no worker made it
	WorkerOf     func(*journal.Change) string
	Apply        func(t testing.TB, c *journal.Change) // adds a change to Want's contents
	Want, Tables func() []string                       // the contents of the tables
}

// Run reports each difference as a test error that begins with the given text.
func (c Check) Run(t testing.TB, prefix string) {
	t.Helper()
	journaled := make(map[string][]string)
	for entry, err := range c.Journal.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		change := entry.Change
		if s := entry.Service; s != nil { // a session was started
			change = &journal.Change{Actor: s.Actor, Action: "session.add", Target: s.Target, From: s.Details, To: s.Details}
		}
		if who := c.WorkerOf(change); who != "" {
			journaled[who] = append(journaled[who], change.Action)
		}
		c.Apply(t, change)
	}
	c.Acknowledged.Compare(t, prefix, journaled)
	if diff := cmp.Diff(c.Want(), c.Tables()); diff != "" {
		t.Errorf("%s: the tables differ from the journal (-journal +tables):\n%s", prefix, diff)
	}
	if _, err := c.Journal.Verify(t.Context(), 0); err != nil {
		t.Errorf("%s: %v", prefix, err)
	}
}

// WorkerOf returns the worker that made a change, or "".
func WorkerOf(c *journal.Change) string { return storetest.WorkerOf(c.Actor, c.Target) }
