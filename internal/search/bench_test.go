package search_test

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// BenchmarkIndex indexes decisions. In "reused", all answers have the same token. In "signed",
// each answer has its own token. In "people", the principals and repositories differ, too. The
// benchmark reports the processor time per entry, because other load on the machine hardly
// changes the processor time.
func BenchmarkIndex(b *testing.B) {
	const entries = 16 << 10
	rule := &policy.Rule{Name: "devs"}
	reused := journal.NewID(noon)
	for _, one := range []struct {
		what  string
		token func(id journal.ID) journal.ID
		name  func(i int) string
	}{
		{"reused", func(journal.ID) journal.ID { return reused }, func(int) string { return "app" }},
		{"signed", func(id journal.ID) journal.ID { return id }, func(int) string { return "app" }},
		{"people", func(id journal.ID) journal.ID { return id }, func(i int) string { return fmt.Sprint("app", i*7919%1000) }},
	} {
		b.Run(one.what, func(b *testing.B) {
			x := open(b, storetest.SQLite().Ready(b))
			set := projection.New(x.db, projection.Options{}, x.definition)
			defer set.Close()
			var block []journal.Entry
			for i := range entries {
				name := one.name(i)
				id := journal.NewID(noon.Add(time.Duration(i) * time.Millisecond))
				block = append(block, journal.Entry{ID: id, Registry: "registry.example.com", Time: id.Time(), Decision: &journal.Decision{
					Principal: &policy.Principal{Kind: policy.User, Name: "of " + name, Source: "htpasswd"}, Token: one.token(id), Credential: "password",
					Remote: netip.AddrFrom4([4]byte{10, 0, byte(len(name)), 1}), Client: "docker/29", Policy: "3f0c8a91", Expires: id.Time().Add(time.Minute),
					Results: []policy.Result{{
						Asked: scope.Scope{Type: "repository", Name: "team/" + name, Actions: scope.Pull}, Granted: scope.Pull,
						Causes: []policy.Cause{{Actions: scope.Pull, Reason: policy.Allowed, Rule: rule}},
					}},
				}})
				if len(block) == 256 {
					if err := x.Append(context.Background(), block...); err != nil {
						b.Fatal(err)
					}
					block = nil
				}
			}
			var before, after syscall.Rusage
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := set.Rebuild(context.Background()); err != nil && i > 0 {
					b.Fatal(err)
				}
				if i == 0 {
					_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
				}
				if err := set.CatchUp(context.Background(), x.Journal, nil); err != nil {
					b.Fatal(err)
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(used)/float64(b.N*entries), "cpu-ns/entry")
		})
	}
}
