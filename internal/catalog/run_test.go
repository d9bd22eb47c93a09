package catalog_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// record appends the entry of a run that began some minutes after noon.
func (f *fixture) record(minutes int, findings ...catalog.Finding) {
	f.t.Helper()
	for i := range findings {
		findings[i].Repository, findings[i].Time = "team/app", at(minutes)
	}
	run := catalog.Run{Registry: registry, Complete: true, Findings: findings}
	entry, err := run.Entry("operator:root")
	entry.Time = at(60)
	if err == nil {
		err = f.journal.Append(f.t.Context(), entry)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// Each row has the minutes of a run, its findings, and events before and after the run.
func TestTheCatalogFollowsRuns(t *testing.T) {
	has := func(tag, digest string) catalog.Finding {
		return catalog.Finding{Tag: tag, Digest: digestOf(digest), MediaType: imageType, Size: 7}
	}
	missing := func(tag string) catalog.Finding { return catalog.Finding{Tag: tag} }
	gone := func(digest string) catalog.Finding { return catalog.Finding{Digest: digestOf(digest)} }
	for _, tt := range []struct {
		what          string
		before, after []notification.Event
		minutes       int
		findings      []catalog.Finding
		want          string
	}{
		{"tags that were never reported", nil, nil, 0, []catalog.Finding{has("v1", "a"), has("v2", "b"), has("v3", "a")}, "v1=a v2=b v3=a; a b"},
		{"a tag that moved without an event", []notification.Event{event(0, "push v1 a")}, nil, 6, []catalog.Finding{has("v1", "b")}, "v1=b; a b"},
		{"a tag that was pushed while the run compared it", []notification.Event{event(0, "push v1 a")}, nil, 4, []catalog.Finding{has("v1", "b")}, "v1=a; a b"},
		{"a tag that was deleted without an event", []notification.Event{event(0, "push v1 a")}, nil, 6, []catalog.Finding{missing("v1")}, "; a"},
		{"a manifest that was deleted without an event", []notification.Event{event(0, "push v1 a"), event(1, "push v2 b")}, nil, 6, []catalog.Finding{gone("a")}, "v2=b; b"},
		{"a manifest that was pushed while the run compared it", []notification.Event{event(3, "push v1 a")}, nil, 6, []catalog.Finding{gone("a")}, "v1=a; a"},
		{"pushes after the run", nil, []notification.Event{event(7, "push v1 a")}, 6, []catalog.Finding{missing("v1"), gone("a")}, "v1=a; a"},
		{"a pull after the run", []notification.Event{event(0, "push v1 a")}, []notification.Event{event(9, "pull v1 a")}, 6, []catalog.Finding{missing("v1")}, "v1=a; a"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			f := open(t, storetest.SQLite().Ready(t), 2)
			f.send(tt.before...)
			f.record(tt.minutes, tt.findings...)
			f.send(tt.after...)
			if got := f.summary(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A run never counts as a pull, and the history shows the findings of the run.
func TestWhatARunLeavesBehind(t *testing.T) { storetest.Each(t, testWhatARunLeavesBehind) }

func testWhatARunLeavesBehind(t *testing.T, d storetest.Database) {
	f := open(t, d.Ready(t), 100)
	f.send(event(0, "push v1 a"), event(1, "pull v1 a"))
	f.record(20, catalog.Finding{Tag: "v1"}, catalog.Finding{Tag: "v3\x00", Digest: digestOf("c")}, catalog.Finding{Tag: "v2", Digest: digestOf("b"), MediaType: imageType, Size: 500})
	r := f.newReader()
	defer r.Close()
	repository, err := r.Repository(t.Context(), nil, registry, "team/app")
	if err != nil {
		t.Fatal(err)
	}
	if repository.Pulls != 1 || repository.Pulled != (catalog.Event{Time: at(1), By: "ann"}) {
		t.Errorf("%+v", repository)
	}
	moves, _, err := r.History(t.Context(), repository, "v1", admin.Page{})
	want := []catalog.Move{{Event: catalog.Event{Time: at(20)}, Seen: true}, {Event: catalog.Event{Time: at(0), By: "ann"}, Digest: digestOf("a")}}
	if diff := cmp.Diff(want, moves); diff != "" || err != nil {
		t.Error(diff, err)
	}
	var digests []string
	for page := (admin.Page{Limit: 1}); ; {
		found, next, err := r.Manifests(t.Context(), repository, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			digests = append(digests, m.Digest)
		}
		if page.After = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{digestOf("a"), digestOf("b")}, digests); diff != "" {
		t.Error(diff)
	}
}
