package journal_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// measureCPU returns a function that reports how much processor time this process has used per
// round since the call of measureCPU. Other load on the machine does not change the result.
func measureCPU(b *testing.B) (report func()) {
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

// BenchmarkRecord records decisions on disk, like a busy token service. It reports the total time
// and memory for each decision.
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
			report := measureCPU(b)
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
					// The queue is full, so Append waits until the writer empties the queue.
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
	report := measureCPU(b)
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

// ciJobs returns the entries of CI jobs. Each job has its own principal, with the claims of a
// GitLab job. Each job makes two token requests, and causes six events, each with its own
// digests.
func ciJobs(n int, at time.Time, pause time.Duration) (entries []journal.Entry) {
	rule := &policy.Rule{Name: "CI pushes what it builds", Origin: policy.Origin{File: "/etc/tidewaiter/policy/ci.yaml", Line: 14}}
	for i := range n {
		project := fmt.Sprintf("team%d/app%d", i%40, i%200)
		sum := func(what string) string {
			return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s of %d", what, i)))
		}
		job := &policy.Principal{
			Kind: policy.Workload, Name: "project_path:" + project + ":ref_type:branch:ref:main", Source: "oidc:gitlab",
			ID: "project_path:" + project + ":ref_type:branch:ref:main",
			Claims: map[string]any{
				"project_path": project, "job_id": fmt.Sprint(7_000_000_000 + i*13), "pipeline_id": fmt.Sprint(1_900_000_000 + i*5),
				"sha": sum("commit")[:40], "ref": "main", "ref_protected": "true", "user_login": fmt.Sprintf("dev%d", i%300),
			},
		}
		var token journal.ID
		for _, actions := range []scope.Actions{scope.Pull, scope.Pull | scope.Push} {
			token = journal.NewID(at)
			entries = append(entries, journal.Entry{ID: token, Time: at, Registry: "registry.example.com", Decision: &journal.Decision{
				Token: token, Principal: job, Credential: "id token", Remote: netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}),
				Client: "docker/29.0.1 go/go1.25.4 git-commit/abcdef1 kernel/6.12.0 os/linux arch/amd64 UpstreamClient(Docker-Client/29.0.1 \\(linux\\))",
				Policy: "3f0c8a91", Expires: at.Add(15 * time.Minute),
				Results: []policy.Result{{
					Asked: scope.Scope{Type: "repository", Name: project, Actions: actions}, Granted: actions,
					Causes: []policy.Cause{{Actions: actions, Reason: policy.Allowed, Rule: rule}},
				}},
			}})
			at = at.Add(pause)
		}
		for e := range 6 {
			event := &notification.Event{
				ID: fmt.Sprintf("%s-%d", sum("event")[:32], e), Time: at, Action: notification.Push, Repository: project,
				MediaType: "application/octet-stream", Digest: "sha256:" + sum(fmt.Sprint("blob ", e)), Size: int64(1000 + i*7919%50_000_000),
				Actor: job.Name, Request: notification.Request{
					ID: sum(fmt.Sprint("request ", e))[:32], Address: fmt.Sprintf("10.3.%d.%d:51234", byte(i>>8), byte(i)), Host: "registry.example.com",
					Method: "PUT", UserAgent: "docker/29.0.1 go/go1.25.4 git-commit/abcdef1 kernel/6.12.0 os/linux arch/amd64",
				},
				Source: notification.Source{Address: "registry-0:5000", Instance: "6f1b2c3d-0000-4000-8000-0123456789ab"},
			}
			if e == 5 {
				event.MediaType, event.Tag = "application/vnd.oci.image.manifest.v1+json", fmt.Sprintf("main-%d", i)
			}
			entries = append(entries, journal.Entry{ID: journal.NewID(at), Time: at, Registry: "registry.example.com", Event: event})
			at = at.Add(pause)
		}
	}
	return entries
}

// BenchmarkMerge merges and compresses the entries of CI jobs. It reports the time per entry, and
// the bytes per entry on disk before and after the merge. The bytes include all tables and
// indexes.
func BenchmarkMerge(b *testing.B) {
	merged := 0
	for b.Loop() {
		b.StopTimer()
		clock := clocktest.New(noon)
		j, db := open(b, storetest.SQLite().New(b), journal.Options{Now: clock.Now})
		entries := ciJobs(4000, noon, 40*time.Millisecond)
		for chunk := range slices.Chunk(entries, 4) {
			if err := j.Append(b.Context(), chunk...); err != nil {
				b.Fatal(err)
			}
		}
		used := func() float64 {
			var pages, free, size int64
			for query, to := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
				if err := db.Read().QueryRow("PRAGMA " + query).Scan(to); err != nil {
					b.Fatal(err)
				}
			}
			return float64((pages-free)*size) / float64(len(entries))
		}
		before := used()
		clock.Pass(24 * time.Hour)
		k := journal.NewMaintainer(j, retention.Limits{})
		b.StartTimer()
		runSteps(b, k)
		merged += len(entries)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(merged), "ns/entry")
		b.ReportMetric(before, "B/entry-before")
		b.ReportMetric(used(), "B/entry-after")
	}
}
