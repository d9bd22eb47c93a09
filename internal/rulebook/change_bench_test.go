package rulebook_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// newLargeHarness returns a harness with 10,000 namespaces that have 100,000 members.
func newLargeHarness(b *testing.B) *harness {
	d := openHarness(b, storetest.SQLite().New(b), file())
	err := d.db.Write(b.Context(), "rulebook", func(tx *sql.Tx) error {
		for n := range 10_000 {
			id := fmt.Sprintf("id-%05d", n)
			if _, err := tx.Exec("INSERT INTO namespaces (id, name, version, created, changed, visibility) VALUES ($1, $2, 1, 1, 1, 'internal')", id, fmt.Sprintf("team-%05d", n)); err != nil {
				return err
			}
			for m := range 10 {
				role := []string{rulebook.Owner, rulebook.Maintainer, rulebook.Writer, rulebook.Reader}[m%4]
				if _, err := tx.Exec("INSERT INTO namespace_members (namespace_id, subject, role, created) VALUES ($1, $2, $3, 1)", id, fmt.Sprintf("user:u%d", n*7+m), role); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		err = d.Load(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkChange measures adding a member: writing, reading the database, compiling and
// activating the policy, without a cooldown.
func BenchmarkChange(b *testing.B) {
	d := newLargeHarness(b)
	d.SetWait(func(context.Context, time.Duration) error { return nil })
	n := 0
	for b.Loop() {
		n++
		if _, err := d.SetMember(b.Context(), operator, "team-00042", fmt.Sprintf("user:new-%d", n%500), rulebook.Reader, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChangesOfMany measures adding members by 16 concurrent owners, with cooldowns. It
// reports the number of policies per change.
func BenchmarkChangesOfMany(b *testing.B) {
	d := newLargeHarness(b)
	before := d.policies()
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := n.Add(1)
			if _, err := d.SetMember(b.Context(), actor("u7"), "team-00001", fmt.Sprintf("user:new-%d", i%500), []string{rulebook.Reader, rulebook.Writer}[i/500%2], 0); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(d.policies()-before)/float64(b.N), "policies/op")
}
