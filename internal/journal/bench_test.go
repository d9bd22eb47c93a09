package journal_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// cpu returns a function that reports the process's processor time per round since now. Other
// load on the machine does not change it.
func cpu(b *testing.B) (report func()) {
	used := func() (total int64) {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return usage.Utime.Nano() + usage.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkRecord records decisions as a busy token service does, to disk. It reports the total
// time and memory for each decision.
func BenchmarkRecord(b *testing.B) {
	rules := make([]*policy.Rule, 100)
	for i := range rules {
		rules[i] = &policy.Rule{Name: fmt.Sprintf("team %d", i), Origin: policy.Origin{File: "/etc/tidewaiter/tidewaiter.yaml", Line: i}}
	}
	principals := make([]*policy.Principal, 500)
	for i := range principals {
		principals[i] = &policy.Principal{
			Kind: policy.User, Name: fmt.Sprintf("user%d", i), Source: "ldap:corp", ID: fmt.Sprint(i), Groups: []string{"devs", "all"},
		}
	}
	remote := netip.MustParseAddr("10.11.12.13")
	for _, bench := range []struct {
		name      string
		principal func(i int) *policy.Principal
	}{
		{"warm principals", func(i int) *policy.Principal { return principals[i%len(principals)] }},
		{"anonymous, newly created", func(int) *policy.Principal { return &policy.Principal{Name: "anonymous", Source: "anyone"} }},
		{"always a different one", func(i int) *policy.Principal {
			return &policy.Principal{Kind: policy.Workload, Name: fmt.Sprintf("job%d", i), Source: "oidc:github", ID: fmt.Sprint(i)}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			j, _ := open(b, storetest.SQLite().New(b), journal.Options{})
			b.ReportAllocs()
			report := cpu(b)
			for i := 0; b.Loop(); i++ {
				id := journal.NewID(time.Now())
				entry := journal.Entry{ID: id, Registry: "registry.example.com", Decision: &journal.Decision{
					Token:      id,
					Principal:  bench.principal(i),
					Credential: "password",
					Remote:     remote,
					Client:     "docker",
					Policy:     "3f0c8a91",
					Results: []policy.Result{{
						Asked:   scope.Scope{Type: "repository", Name: "team/app", Actions: scope.Pull | scope.Push},
						Granted: scope.Pull | scope.Push,
						Causes:  []policy.Cause{{Actions: scope.Pull | scope.Push, Reason: policy.Allowed, Rule: rules[i%len(rules)]}},
					}},
				}}
				for j.Record(entry) != nil {
					// The queue is full. Append waits until the writer takes the queue.
					if err := j.Append(context.Background(), journal.Entry{Text: []byte("full")}); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := j.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
			report()
			if stats := j.Stats(); stats.LastError != nil {
				b.Fatal(stats.LastError)
			} else {
				b.ReportMetric(float64(stats.Written)/float64(stats.Commits), "entries/commit")
			}
		})
	}
}

// BenchmarkAppend appends events from 64 registries at once. Each event is acknowledged when it
// is on disk.
func BenchmarkAppend(b *testing.B) {
	j, _ := open(b, storetest.SQLite().New(b), journal.Options{})
	var id atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	report := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			entry := journal.Entry{Registry: "registry.example.com", Event: &notification.Event{
				ID: fmt.Sprintf("0198c1f2-7a3b-7c4d-8e5f-%012d", id.Add(1)), Time: noon, Action: notification.Push,
				Repository: "team/app", Tag: "v1", Digest: "sha256:1b2c3d4e5f60718293a4b5c6d7e8f9011b2c3d4e5f60718293a4b5c6d7e8f901",
				Actor: "alice", Request: notification.Request{Method: "PUT", UserAgent: "docker/28.2.2"},
			}}
			if err := j.Append(context.Background(), entry); err != nil {
				b.Error(err)
				return
			}
		}
	})
	report()
	stats := j.Stats()
	b.ReportMetric(float64(stats.Written)/float64(max(stats.Commits, 1)), "entries/commit")
}
