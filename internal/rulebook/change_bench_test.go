package rulebook_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// BenchmarkChange is one member more in one of 10,000 namespaces with 100,000 members: what is written, read back, compiled
// and brought into force.
func BenchmarkChange(b *testing.B) {
	d := openDesk(b, storetest.SQLite().New(b), file())
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
	b.ReportMetric(float64(d.Policy().Len()), "rules")
	n := 0
	for b.Loop() {
		n++
		if _, err := d.SetMember(b.Context(), operator, "team-00042", fmt.Sprintf("user:new-%d", n%500), rulebook.Reader, 0); err != nil {
			b.Fatal(err)
		}
	}
}
