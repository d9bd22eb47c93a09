package catalog_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// Registries report any events, in any order and in any batches, with restarts and rebuilds. The
// tables always equal the tables of a rebuild, and the catalog equals the model.
func TestPropertyTheCatalogEqualsItsRebuild(t *testing.T) {
	storetest.Each(t, testPropertyTheCatalogEqualsItsRebuild)
}

func testPropertyTheCatalogEqualsItsRebuild(t *testing.T, d storetest.Database) {
	f := open(t, d.Ready(t), 9)
	own, checks := catalog.Login(f.db.ID()), 0
	rapid.Check(t, func(rt *rapid.T) {
		checks++ // each check has its own repositories
		team, want := fmt.Sprint("team", checks), &model{own: own}
		var entries []journal.Entry
		for range rapid.IntRange(1, 16).Draw(rt, "events") {
			f.sent++
			e := drawEntry(rt, f.sent, team, own)
			if rapid.IntRange(0, 7).Draw(rt, "is a run") == 0 {
				e = drawRun(rt, f.sent, team)
			}
			want.add(f.sent, e)
			entries = append(entries, e)
		}
		for len(entries) > 0 {
			n := rapid.IntRange(1, len(entries)).Draw(rt, "at once")
			if err := f.journal.Append(t.Context(), entries[:n]...); err != nil {
				rt.Fatal(err)
			}
			entries = entries[n:]
			if rapid.IntRange(0, 2).Draw(rt, "read") == 0 {
				f.catchUp()
			}
		}
		switch rapid.IntRange(0, 9).Draw(rt, "what") {
		case 0, 1, 2: // a restart
			if err := f.set.Close(); err != nil {
				rt.Fatal(err)
			}
			f.set = projection.New(f.db, projection.Options{Batch: rapid.IntRange(1, 12).Draw(rt, "batch")}, f.definition)
		case 3: // like journal reindex
			f.catchUp()
			before := f.dump()
			if err := f.set.Rebuild(t.Context()); err != nil {
				rt.Fatal(err)
			}
			f.catchUp()
			if diff := cmp.Diff(before, f.dump()); diff != "" {
				rt.Fatalf("the rebuild differs: %s", diff)
			}
		}
		f.catchUp()
		if diff := cmp.Diff(want.repositories(), f.state(rt, team)); diff != "" {
			rt.Fatalf("the catalog differs from the model: %s", diff)
		}
	})
}

func drawEntry(t *rapid.T, n int, team, own string) journal.Entry {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "digest")
	e := notification.Event{
		ID: fmt.Sprint("e", n), Repository: team + rapid.SampledFrom([]string{"", "/app"}).Draw(t, "repository"),
		Action: rapid.SampledFrom([]string{"push", "push", "pull", "pull", "delete", "mount"}).Draw(t, "action"),
		Actor:  rapid.SampledFrom([]string{"ann", "robot+ci", "", own}).Draw(t, "actor"),
	}
	// All times are within an hour, so that the time between a push or a delete and a later pull
	// is sometimes less than the constant grace. Some events arrive late.
	e.Time = noon.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "at"))*30*time.Second + time.Duration(n)*time.Microsecond)
	received := e.Time.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "late")) * 20 * time.Minute)
	if rapid.IntRange(0, 5).Draw(t, "clock") == 0 {
		e.Time = rapid.SampledFrom([]time.Time{{}, received.AddDate(1, 0, 0), received.AddDate(-3, 0, 0)}).Draw(t, "wrong")
	}
	tag := rapid.SampledFrom([]string{"", "v1", "v2", "latest"}).Draw(t, "tag")
	switch e.Action {
	case "delete":
		e.Request.Method = "DELETE"
		if e.Tag = tag; tag == "" && rapid.IntRange(0, 5).Draw(t, "all") > 0 {
			e.Digest = digestOf(name)
		}
	default:
		e.Digest, e.Tag = digestOf(name), tag
		e.Request.Method = rapid.SampledFrom([]string{"GET", "HEAD", "PUT"}).Draw(t, "method")
		switch rapid.IntRange(0, 4).Draw(t, "form") {
		case 0: // the event is about a blob
			e.Digest, e.Tag, e.MediaType = digestOf("layer1"), "", "application/octet-stream"
			e.URL = "https://r.example.com/v2/" + e.Repository + "/blobs/" + e.Digest
		case 1: // only the URL shows the kind of the object
			e.URL = "https://r.example.com/v2/" + e.Repository + "/manifests/" + e.Digest
		default:
			e.MediaType, e.Size, e.References = imageType, sizes[name], references[name]
		}
	}
	return journal.Entry{Time: received, Registry: rapid.SampledFrom([]string{registry, registry, registry, "s.example.com"}).Draw(t, "registry"), Event: &e}
}

// drawRun returns an entry with the findings of a comparison of a registry with the catalog.
func drawRun(t *rapid.T, n int, team string) journal.Entry {
	run := catalog.Run{Registry: registry, Complete: true}
	at := noon.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "at"))*30*time.Second + time.Duration(n)*time.Microsecond)
	for range rapid.IntRange(0, 4).Draw(t, "findings") {
		run.Findings = append(run.Findings, rapid.SampledFrom([]catalog.Finding{
			{Repository: team, Time: at, Tag: "v1", Digest: digestOf("a"), MediaType: imageType},
			{Repository: team, Time: at, Tag: "v2", Digest: digestOf("b")},
			{Repository: team + "/app", Time: at, Tag: "v1", Digest: digestOf("b"), MediaType: imageType},
			{Repository: team, Time: at, Tag: "v1"},
			{Repository: team + "/app", Time: at, Tag: "latest"},
			{Repository: team, Time: at, Digest: digestOf("a")},
			{Repository: team + "/app", Time: at, Digest: digestOf("c")},
		}).Draw(t, "finding"))
	}
	entry, err := run.Entry("operator:root")
	if err != nil {
		t.Fatal(err)
	}
	entry.Time = at.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "late")) * 20 * time.Minute)
	return entry
}

// The objects to which the manifests a, b and c refer. The manifests share layers, and a has a
// layer twice.
var (
	sizes      = map[string]int64{"a": 400, "b": 500, "c": 600}
	references = map[string][]notification.Descriptor{
		"a": {{MediaType: "application/octet-stream", Digest: digestOf("layer1"), Size: 1000}, {Digest: digestOf("layer1"), Size: 1000}, {Digest: "sha512:beef", Size: 7}},
		"b": {{Digest: digestOf("layer1"), Size: 1000}, {Digest: digestOf("layer2"), Size: 30_000}},
		"c": {{MediaType: imageType, Digest: digestOf("a"), Size: 400}},
	}
)

// model computes the catalog from all events at once.
type model struct {
	own    string
	events []modelEvent
}

type modelEvent struct {
	number int
	at     time.Time
	in     string
	*notification.Event
}

// modelRepository is a repository in the model.
type modelRepository struct {
	Tags            map[string]string
	Manifests       []string
	Size, Pulls     int64
	Pushed, Pulled  string
	PullsOfManifest map[string]int64
}

func (m *model) add(n int, entry journal.Entry) {
	if run, ok := catalog.RunOf(&entry); ok {
		m.addRun(n, entry.Registry, run.Findings)
		return
	}
	e := *entry.Event
	at := e.Time
	if at.After(entry.Time) || at.Before(entry.Time.AddDate(0, 0, -30)) {
		at = entry.Time
	}
	blob := e.MediaType == "application/octet-stream"
	if e.Action != "mount" && !blob {
		m.events = append(m.events, modelEvent{n, at, entry.Registry + " " + e.Repository, &e})
	}
}

func (m *model) addRun(n int, registry string, findings []catalog.Finding) {
	for _, f := range findings {
		e, at := notification.Event{Action: "pull", Tag: f.Tag, Digest: f.Digest, Actor: m.own}, f.Time
		e.Request.Method = "HEAD"
		if f.Tag == "" {
			e.Action, at = "delete", at.Add(-grace)
		}
		m.events = append(m.events, modelEvent{n, at, registry + " " + f.Repository, &e})
	}
}

// last returns the latest event that the given function accepts, and the time of this event.
func last(events []modelEvent, is func(*modelEvent) bool) (found *modelEvent, at time.Time) {
	for i := range events {
		e := &events[i]
		if is(e) && !e.at.Before(at) {
			found, at = e, e.at
		}
	}
	return found, at
}

const grace = 5 * time.Minute

func contradicts(pull, earlier time.Time) bool {
	return !pull.IsZero() && (earlier.IsZero() || pull.After(earlier.Add(grace)))
}

func (m *model) repositories() map[string]modelRepository {
	byRepository := make(map[string][]modelEvent)
	for _, e := range m.events {
		byRepository[e.in] = append(byRepository[e.in], e)
	}
	all := make(map[string]modelRepository)
	for name, events := range byRepository {
		all[name] = m.repository(events)
	}
	return all
}

func (m *model) repository(events []modelEvent) modelRepository {
	r := modelRepository{Tags: map[string]string{}, PullsOfManifest: map[string]int64{}}
	deleted := func(digest string) time.Time {
		_, at := last(events, func(e *modelEvent) bool {
			return e.Action == "delete" && e.Tag == "" && (e.Digest == digest || e.Digest == "")
		})
		return at
	}
	blobs := map[string]int64{}
	for _, name := range []string{"a", "b", "c"} {
		digest := digestOf(name)
		_, pushed := last(events, func(e *modelEvent) bool { return e.Action == "push" && e.Digest == digest })
		_, seen := last(events, func(e *modelEvent) bool { return e.Action == "pull" && e.Digest == digest })
		gone := deleted(digest)
		if !pushed.IsZero() && !pushed.Before(gone) || contradicts(seen, gone) {
			r.Manifests = append(r.Manifests, digest)
			known := slices.ContainsFunc(events, func(e modelEvent) bool { return e.Digest == digest && e.Size > 0 })
			if known {
				r.Size += sizes[name]
				for _, d := range references[name] {
					if d.MediaType != imageType {
						blobs[d.Digest] = d.Size
					}
				}
			}
		}
	}
	for size := range maps.Values(blobs) {
		r.Size += size
	}
	for _, tag := range []string{"v1", "v2", "latest"} {
		changed, at := last(events, func(e *modelEvent) bool { return e.Tag == tag && e.Action != "pull" })
		seen, seenAt := last(events, func(e *modelEvent) bool { return e.Tag == tag && e.Action == "pull" })
		digest := ""
		if changed != nil && changed.Action == "push" && !deleted(changed.Digest).After(at) {
			digest = changed.Digest
		}
		if seen != nil && seen.Digest != digest && contradicts(seenAt, at) && contradicts(seenAt, deleted(seen.Digest)) {
			digest = seen.Digest
		}
		if digest != "" {
			r.Tags[tag] = digest
		}
	}
	if e, _ := last(events, func(e *modelEvent) bool { return e.Action == "push" }); e != nil {
		r.Pushed = e.Actor
	}
	counted := func(e *modelEvent) bool {
		return e.Action == "pull" && e.Request.Method != "HEAD" && e.Actor != m.own
	}
	if e, _ := last(events, counted); e != nil {
		r.Pulled = e.Actor
	}
	for i := range events {
		if counted(&events[i]) {
			r.Pulls++
			r.PullsOfManifest[events[i].Digest]++
		}
	}
	return r
}

// state returns the content of the catalog, in the form of the model.
func (f *fixture) state(t *rapid.T, team string) map[string]modelRepository {
	r := f.newReader()
	defer r.Close()
	ctx := f.t.Context()
	all := make(map[string]modelRepository)
	for _, registry := range []string{registry, "s.example.com"} {
		for _, name := range []string{team, team + "/app"} {
			repository, err := r.Repository(ctx, nil, registry, name)
			if errors.Is(err, catalog.ErrNotFound) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			m := modelRepository{
				Tags: map[string]string{}, PullsOfManifest: map[string]int64{},
				Size: repository.Size, Pulls: repository.Pulls, Pushed: repository.Pushed.By, Pulled: repository.Pulled.By,
			}
			tags, _, err := r.Tags(ctx, repository, admin.Page{})
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range tags {
				m.Tags[tag.Name] = tag.Manifest.Digest
				if !tag.Manifest.Present {
					t.Fatalf("the tag %s has %s, which is deleted", tag.Name, tag.Manifest.Digest)
				}
			}
			for _, object := range []string{"a", "b", "c"} {
				manifest, err := r.Manifest(ctx, repository, digestOf(object))
				if errors.Is(err, catalog.ErrNotFound) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if manifest.Present {
					m.Manifests = append(m.Manifests, manifest.Digest)
				}
				days, err := r.PullsOf(ctx, repository, manifest, 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, day := range days {
					m.PullsOfManifest[manifest.Digest] += day.Pulls
				}
				if m.PullsOfManifest[manifest.Digest] != manifest.Pulls {
					t.Fatalf("%d pulls on %v", manifest.Pulls, days)
				}
			}
			if int(repository.Tags) != len(m.Tags) || int(repository.Manifests) != len(m.Manifests) {
				t.Fatalf("%+v has %+v", repository, m)
			}
			all[registry+" "+name] = m
		}
	}
	return all
}
