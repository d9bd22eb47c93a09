package journal_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Search finds page by page exactly the entries for which Matches is true, for every page size
// and wherever enough stops it.
func TestPropertySearchFindsWhatMatches(t *testing.T) {
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{})
	names := []string{"ann", "robot+ci", "", `o"brien <&>`, "zoë", "github:acme/app", "a\x00b\u2028"}
	repositories := []string{"team/app", "team/app/web", "team", "other/app", "a&b"}
	digests := []string{"", "sha256:0f1e2d3c4b5a", "sha256:0f1e999999"}
	n := 0
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Minute) }
	principal := func(name string) *policy.Principal {
		if name == "" {
			return &policy.Principal{}
		}
		return &policy.Principal{Kind: policy.User, Name: name, Source: "accounts", ID: name}
	}
	draw := func(t *rapid.T) journal.Entry {
		n++
		name := rapid.SampledFrom(names).Draw(t, "name")
		repository := rapid.SampledFrom(repositories).Draw(t, "repository")
		when := at(n)
		if rapid.IntRange(0, 5).Draw(t, "wrong clock") == 0 {
			when = when.Add(rapid.SampledFrom([]time.Duration{-400_000 * time.Hour, -3 * time.Hour, 2 * time.Hour, 600_000 * time.Hour}).Draw(t, "ahead"))
		}
		e := journal.Entry{
			Time: when, ID: journal.NewID(when),
			Registry: rapid.SampledFrom([]string{"", "r.example.com", "s.example.com"}).Draw(t, "registry"),
		}
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			asked := rapid.SampledFrom([]scope.Actions{scope.Pull, scope.Push | scope.Pull, scope.Delete}).Draw(t, "asked")
			e.Decision = &journal.Decision{
				Principal: principal(name), Credential: "password", Remote: netip.MustParseAddr("192.0.2.9"), Token: e.ID,
				Results: []policy.Result{{
					Asked:   scope.Scope{Type: "repository", Name: repository, Actions: asked},
					Granted: asked & rapid.SampledFrom([]scope.Actions{0, scope.Pull, asked}).Draw(t, "granted"),
				}},
			}
			if rapid.Bool().Draw(t, "refused") {
				e.Decision.Principal, e.Decision.Name, e.Decision.Refused, e.Decision.Results = nil, name, "invalid credentials", nil
			}
		case 1:
			e.Event = &notification.Event{
				ID: fmt.Sprint(n), Time: at(n), Action: rapid.SampledFrom([]string{"push", "pull", "mount"}).Draw(t, "action"), Repository: repository,
				Digest: rapid.SampledFrom(digests).Draw(t, "digest"), Tag: rapid.SampledFrom([]string{"", "v1", "v10"}).Draw(t, "tag"), Actor: name,
				Request: notification.Request{Address: rapid.SampledFrom([]string{"192.0.2.9:4711", "192.0.2.9", "[2001:db8::1]:1", "a proxy"}).Draw(t, "address")},
			}
			if rapid.Bool().Draw(t, "refers") {
				e.Event.References = []notification.Descriptor{{Digest: rapid.SampledFrom(digests).Draw(t, "reference")}}
			}
		case 2:
			e.Change = &journal.Change{Actor: "user:" + name, Action: rapid.SampledFrom([]string{"user.add", "push"}).Draw(t, "action"), Target: name}
		default:
			e.Text = []byte(name + " decision push")
		}
		return e
	}
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(draw), 1, 8).Draw(t, "entries")
		// Some entries are in blocks of their own.
		alone := rapid.IntRange(0, len(entries)).Draw(t, "alone")
		for _, e := range entries[:alone] {
			if err := j.Append(context.Background(), e); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Append(context.Background(), entries[alone:]...); err != nil {
			t.Fatal(err)
		}
		maybe := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
		var q journal.Query
		if maybe("since") {
			q.Since = at(rapid.IntRange(0, n).Draw(t, "from"))
		}
		if maybe("until") {
			q.Until = at(rapid.IntRange(0, n).Draw(t, "to"))
		}
		if maybe("kind") {
			q.Kind = rapid.SampledFrom([]journal.Kind{"decision", "event", "change", "text"}).Draw(t, "kind")
		}
		if maybe("outcome") {
			q.Outcome = rapid.SampledFrom([]journal.Outcome{"granted", "partial", "refused"}).Draw(t, "outcome")
		}
		if maybe("registry") {
			q.Registry = "r.example.com"
		}
		if maybe("who") {
			name := rapid.SampledFrom(names).Draw(t, "who")
			q.Who = &journal.Who{Subjects: []string{"user:" + name, "operator:" + name}, Logins: []string{name}}
			if name == "" {
				q.Who.Subjects = []string{"anonymous"}
			}
		}
		if maybe("repository") {
			q.Repository = rapid.SampledFrom([]string{"team/app", "team/**", "a&b", "none", "**"}).Draw(t, "repository")
		}
		if maybe("digest") {
			q.Digest = rapid.SampledFrom([]string{"sha256:0f1e2d3", "sha256:0f1e9999999", "sha256:0f1e"}).Draw(t, "digest")
		}
		if maybe("tag") {
			q.Tag = "v1"
		}
		if maybe("action") {
			q.Action = rapid.SampledFrom([]string{"push", "pull", "user.add"}).Draw(t, "action")
		}
		if maybe("address") {
			q.Address = rapid.SampledFrom([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}).Draw(t, "address")
		}
		if maybe("decision") {
			q.Decision = entries[0].ID
		}
		var want, got []journal.Position
		for e, err := range j.Read(context.Background(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if q.Matches(&e) {
				want = append(want, e.Position)
			}
		}
		slices.Reverse(want)
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		for from := journal.Position(0); ; {
			page, err := j.Search(context.Background(), q, from, limit, func(int) bool { return rapid.Bool().Draw(t, "enough") })
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Entries) > limit {
				t.Fatalf("%d entries on a page of %d", len(page.Entries), limit)
			}
			for _, e := range page.Entries {
				got = append(got, e.Position)
			}
			if from = page.Next; from == 0 {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v (-want +got)\n%s", q, diff)
		}
	})
}

// A registry can post events whose entries are large. A page of them is shorter than its limit, and
// the next page continues.
func TestPagesOfLargeEntriesAreShort(t *testing.T) {
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{})
	var references []notification.Descriptor
	for range 256 {
		references = append(references, notification.Descriptor{MediaType: strings.Repeat("<", 500), Digest: strings.Repeat("‹", 170)})
	}
	const n = 60
	for i := range n {
		e := push(fmt.Sprint("e", i))
		e.Event.References = references
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for before := journal.Position(0); ; {
		page, err := j.Search(t.Context(), journal.Query{}, before, 1000, func(int) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) == 0 || len(page.Entries) > n/2 {
			t.Fatalf("a page has %d entries", len(page.Entries))
		}
		found += len(page.Entries)
		if before = page.Next; before == 0 {
			break
		}
	}
	if found != n {
		t.Errorf("%d entries on all pages, want %d", found, n)
	}
}
