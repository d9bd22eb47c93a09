package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// farm creates the entries of CI jobs. An entry depends only on its number, so queries can use
// values that occur in entries.
type farm struct {
	entries int
	last    time.Time
	rules   []*policy.Rule
	// the principal of the last job; all entries of a job have the same principal
	principal atomic.Pointer[jobPrincipal]
}

type jobPrincipal struct {
	job int
	*policy.Principal
}

const (
	perJob       = 20 // entries of a job: 2 decisions and 18 events
	jobsADay     = 2000
	repositories = 200
	registryName = "registry.example.com"
)

func newFarm(entries int) *farm {
	f := &farm{entries: entries, last: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)}
	for i := range 40 {
		f.rules = append(f.rules, &policy.Rule{Name: fmt.Sprintf("team-%d", i), Origin: policy.Origin{File: "/etc/tidewaiter/tidewaiter.yaml", Line: 10 * i}})
	}
	return f
}

// time returns when an entry was written.
func (f *farm) time(n int) time.Time {
	const each = 24 * time.Hour / (jobsADay * perJob)
	return f.last.Add(time.Duration(n-f.entries) * each)
}

// entryID returns the id of an entry.
func (f *farm) entryID(n int) journal.ID {
	id := journal.NewID(f.time(n))
	sum := hashOf("id", n)
	copy(id[8:], sum[:8])
	id[8] = id[8]&0x3f | 0x80
	id[6], id[7] = 0x70|sum[8]&0xf, sum[9]
	return id
}

func hashOf(what string, n int) [sha256.Size]byte { return sha256.Sum256(fmt.Append(nil, what, n)) }

func digest(what string, n int) string {
	sum := hashOf(what, n)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func repository(job int) string {
	n := (job * 7919) % repositories
	return fmt.Sprintf("team-%d/service-%d", n%20, n)
}

func address(job int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(32 + job/64%4), byte(job / 4 % 16), byte(job * 37)})
}

func tag(job int) string { return fmt.Sprintf("build-%d", job) }

func (f *farm) job(job int) *policy.Principal {
	if last := f.principal.Load(); last != nil && last.job == job {
		return last.Principal
	}
	p := &policy.Principal{
		Kind: policy.Workload, Name: fmt.Sprintf("github:acme/%s/run-%d", strings.ReplaceAll(repository(job), "/", "-"), job), Source: "oidc:github",
		ID:     fmt.Sprint(job),
		Claims: map[string]any{"run_id": fmt.Sprint(job), "ref": "refs/heads/main", "sha": digest("commit", job)[7:47], "workflow": "build"},
	}
	f.principal.Store(&jobPrincipal{job, p})
	return p
}

func (f *farm) entry(n int) journal.Entry {
	switch n % perJob {
	case 0:
		return f.decision(n, "team-base/builder", scope.Pull)
	case 8:
		return f.decision(n, repository(n/perJob), scope.Pull|scope.Push)
	}
	return f.event(n)
}

func (f *farm) decision(n int, name string, asked scope.Actions) journal.Entry {
	job, id := n/perJob, f.entryID(n)
	d := &journal.Decision{
		Principal: f.job(job), Credential: "id-token", Remote: address(job), Client: "docker/28.2.2", Policy: "3f0c8a91", Token: id,
		Expires: f.time(n).Add(5 * time.Minute).Truncate(time.Second),
		Results: []policy.Result{{
			Asked: scope.Scope{Type: scope.TypeRepository, Name: name, Actions: asked}, Granted: asked,
			Causes: []policy.Cause{{Actions: asked, Reason: policy.Allowed, Rule: f.rules[job%len(f.rules)]}},
		}},
	}
	if job%50 == 7 { // a refusal
		d.Results[0].Granted, d.Results[0].Causes[0].Reason = 0, policy.NoRule
		d.Results[0].Causes[0].Rule = nil
	}
	return journal.Entry{ID: id, Time: f.time(n), Registry: registryName, Decision: d}
}

func (f *farm) event(n int) journal.Entry {
	job, step := n/perJob, n%perJob
	id := hashOf("event", n)
	e := &notification.Event{
		ID: hex.EncodeToString(id[:16]), Time: f.time(n), Action: notification.Pull, Repository: "team-base/builder", MediaType: "application/octet-stream",
		Digest: digest("base layer", step), Size: 12345678, Actor: f.job(job).Name,
		Request: notification.Request{ID: hex.EncodeToString(id[:8]), Address: address(job).String() + ":40000", Host: registryName, Method: "GET", UserAgent: "docker/28.2.2 go/go1.24.3"},
		Source:  notification.Source{Address: "registry-0:5000", Instance: "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"},
	}
	if step >= 8 {
		e.Action, e.Repository, e.Request.Method, e.Digest = notification.Push, repository(job), "PUT", digest("layer", n)
	}
	if step == perJob-1 { // the manifest
		e.Tag, e.MediaType, e.Digest = tag(job), "application/vnd.oci.image.manifest.v1+json", digest("manifest", job)
		for i := 8; i < perJob-1; i++ {
			e.References = append(e.References, notification.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: digest("layer", job*perJob+i), Size: 12345678})
		}
	}
	return journal.Entry{ID: f.entryID(n), Time: f.time(n), Registry: registryName, Event: e}
}

// id returns the id of an entry: the push of a manifest, or the decision that allowed the push.
func (f *farm) id(event bool) journal.ID {
	job := random(f.entries/perJob) * perJob
	for job/perJob%50 == 7 {
		job = random(f.entries/perJob) * perJob
	}
	if event {
		return f.entryID(job + perJob - 1)
	}
	return f.entryID(job + 8)
}

// query returns a query with the named filters. The values of these filters occur somewhere in the
// journal.
func (f *farm) query(filters string) (q journal.Query) {
	job := random(f.entries / perJob)
	for _, name := range strings.Fields(filters) {
		switch name {
		case "since":
			q.Since = f.time(job * perJob)
		case "until":
			q.Until = f.time(job * perJob)
		case "kind":
			q.Kind = journal.KindDecision
		case "outcome":
			q.Outcome = journal.Refused
		case "registry":
			q.Registry = registryName
		case "principal":
			q.Who = &journal.Who{Subjects: []string{f.job(job).String()}, Logins: []string{f.job(job).Name}}
		case "login":
			q.Who = &journal.Who{Logins: []string{f.job(job).Name}}
		case "repository":
			q.Repository = repository(job)
		case "below":
			q.Repository, _, _ = strings.Cut(repository(job), "/")
			q.Repository += "/**"
		case "digest":
			q.Digest = digest("manifest", job)
		case "reference":
			q.Digest = digest("layer", job*perJob+9)[:14]
		case "tag":
			q.Tag = tag(job)
		case "action":
			q.Action = notification.Push
		case "address":
			q.Address = netip.PrefixFrom(address(job), 32)
		case "network":
			q.Address, _ = address(job).Prefix(20)
		case "decision":
			q.Decision = f.entryID(job*perJob + 8)
		case "credential":
			q.Credential = "id-token"
		}
	}
	return q
}

// newEvent returns an event that arrives now.
func (f *farm) newEvent(n int, now time.Time) journal.Entry {
	e := f.event(f.entries + n)
	e.ID, e.Time = journal.ID{}, now
	e.Event.Time, e.Event.ID = now, fmt.Sprint(runText, "-", n)
	return e
}

// random returns a number below n.
func random(n int) int { return rand.IntN(n) }
