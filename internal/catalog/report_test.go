package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// event returns an event of team/app, some minutes after noon: "push v1 a", "push a", "pull v1 a",
// "head v1 a", "delete v1", "delete a", "delete".
func event(minutes int, text string) notification.Event {
	words := strings.Fields(text)
	e := notification.Event{
		Time: noon.Add(time.Duration(minutes) * time.Minute), Action: words[0], Repository: "team/app", Actor: "ann", MediaType: imageType,
		Request: notification.Request{Method: map[string]string{"push": "PUT", "pull": "GET", "head": "HEAD", "delete": "DELETE"}[words[0]]},
	}
	if e.Action == "head" {
		e.Action = "pull"
	}
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "v") {
			e.Tag = word
		} else {
			e.Digest = digestOf(word)
		}
	}
	return e
}

// Each row has events and the content of the catalog after these events. The events arrive in any
// order and in any batches.
func TestTheCatalogFollowsEvents(t *testing.T) {
	for _, tt := range []struct {
		what   string
		events map[int]string // by minute
		want   string
	}{
		{"a push sets a tag", map[int]string{0: "push v1 a"}, "v1=a; a"},
		{"a push by digest sets no tag", map[int]string{0: "push a"}, "; a"},
		{"a push moves a tag", map[int]string{0: "push v1 a", 1: "push v1 b"}, "v1=b; a b"},
		{"a delete of the manifest, then of its tags", map[int]string{0: "push v1 a", 1: "push v2 a", 2: "delete a", 3: "delete v1", 4: "delete v2"}, "; "},
		{"a delete of only the manifest", map[int]string{0: "push v1 a", 1: "push v2 a", 2: "push v3 b", 3: "delete a"}, "v3=b; b"},
		{"a delete of a tag keeps the manifest", map[int]string{0: "push v1 a", 1: "push v2 a", 2: "delete v1"}, "v2=a; a"},
		{"a push after a delete", map[int]string{0: "push v1 a", 1: "delete a", 2: "push v2 a"}, "v2=a; a"},
		{"a tag moved before its former manifest was deleted", map[int]string{0: "push v1 a", 1: "push v1 b", 2: "delete a"}, "v1=b; b"},
		{"a delete of the repository", map[int]string{0: "push v1 a", 1: "push v2 b", 2: "delete", 3: "push v3 c"}, "v3=c; c"},
		{"a pull of a manifest whose push was not reported", map[int]string{0: "pull v1 a"}, "v1=a; a"},
		{"a HEAD of a manifest whose push was not reported", map[int]string{0: "head v1 a", 1: "head b"}, "v1=a; a b"},
		{"a pull that began before a push", map[int]string{0: "push v1 a", 1: "push v1 b", 2: "pull v1 a"}, "v1=b; a b"},
		{"a pull of a new manifest, whose push was not reported, long after a push", map[int]string{0: "push v1 a", 7: "pull v1 b"}, "v1=b; a b"},
		{"a pull that began before a delete", map[int]string{0: "push v1 a", 1: "delete a", 2: "pull v1 a"}, "; "},
		{"a pull long after a delete", map[int]string{0: "push v1 a", 1: "delete a", 8: "pull v1 a"}, "v1=a; a"},
		{"a push after a pull", map[int]string{0: "push v1 a", 8: "pull v1 b", 9: "push v1 c"}, "v1=c; a b c"},
		{"deletes of a manifest and a tag that are unknown", map[int]string{0: "delete a", 1: "delete v1"}, "; "},
	} {
		t.Run(tt.what, func(t *testing.T) {
			var minutes []int
			for minute := range 10 {
				if tt.events[minute] != "" {
					minutes = append(minutes, minute)
				}
			}
			for i, order := range ordersOf(minutes) {
				for _, batch := range []int{1, 100} {
					f := open(t, storetest.SQLite().Ready(t), batch)
					for _, minute := range order {
						f.send(event(minute, tt.events[minute]))
					}
					if got := f.summary(); got != tt.want {
						t.Errorf("order %d in batches of %d: %s, want %s", i, batch, got, tt.want)
					}
					f.close()
				}
			}
		})
	}
}

// ordersOf returns the given order, its reverse, and the order with the last event first.
func ordersOf(minutes []int) [][]int {
	n := len(minutes)
	reverse := make([]int, n)
	for i, minute := range minutes {
		reverse[n-1-i] = minute
	}
	if n < 3 {
		return [][]int{minutes, reverse}
	}
	return [][]int{minutes, reverse, append([]int{minutes[n-1]}, minutes[:n-1]...)}
}

// summary returns the tags and manifests of team/app: "v1=a v2=b; a b".
func (f *fixture) summary() string {
	f.t.Helper()
	r := f.newReader()
	defer r.Close()
	ctx := context.Background()
	repository, err := r.Repository(ctx, nil, "", "team/app")
	if err != nil {
		return err.Error()
	}
	tags, _, err := r.Tags(ctx, repository, admin.Page{})
	if err != nil {
		f.t.Fatal(err)
	}
	var text, manifests []string
	for _, tag := range tags {
		for _, name := range []string{"a", "b", "c"} {
			if tag.Manifest.Digest == digestOf(name) {
				text = append(text, tag.Name+"="+name)
			}
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		m, err := r.Manifest(ctx, repository, digestOf(name))
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			f.t.Fatal(err)
		}
		if err == nil && m.Present {
			manifests = append(manifests, name)
		}
	}
	return strings.Join(text, " ") + "; " + strings.Join(manifests, " ")
}

// One batch can move a tag and delete the tag's former manifest.
func TestATagMovesInTheBatchOfADelete(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 100)
		f.send(event(0, "push v1 a"), event(0, "push v2 a"))
		f.catchUp()
		f.send(event(2, "delete a"), event(1, "push v1 b"))
		if got := f.summary(); got != "v1=b; b" {
			t.Error(got)
		}
		r := f.newReader()
		defer r.Close()
		repository, err := r.Repository(t.Context(), nil, registry, "team/app")
		if err != nil || repository.Tags != 1 || repository.Manifests != 1 {
			t.Errorf("%+v, %v", repository, err)
		}
	})
}

// For a manifest and for a repository, the catalog has the size, and the actors of the last push,
// pull and delete.
func TestAManifest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 2)
		push := event(0, "push v1 a")
		push.Actor, push.Size, push.References = "robot+ci", 400, references["a"]
		again := push
		again.ID, push.ID = "same", "same"
		other := event(1, "push v2 b")
		other.Size, other.References = 500, references["b"]
		own := event(9, "pull v1 a")
		own.Actor = catalog.Login(f.db.ID())
		bob := event(24*60+2, "pull a")
		bob.Actor = "bob"
		f.send(push, again, other, event(3, "pull v1 a"), event(4, "pull v1 a"), event(5, "head v1 a"), own, bob)

		r := f.newReader()
		defer r.Close()
		repository, err := r.Repository(t.Context(), nil, "", "team/app")
		if err != nil {
			t.Fatal(err)
		}
		at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
		wantRepository := catalog.Repository{
			Registry: registry, Name: "team/app", Tags: 2, Manifests: 2, Size: 400 + 500 + 1000 + 7 + 30_000, Pulls: 3,
			Pushed: catalog.Event{Time: at(1), By: "ann"}, Pulled: catalog.Event{Time: at(24*60 + 2), By: "bob"},
		}
		if diff := cmp.Diff(wantRepository, repository, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".id" }, cmp.Ignore())); diff != "" {
			t.Error(diff)
		}
		tag, err := r.Tag(t.Context(), repository, "v1")
		if err != nil {
			t.Fatal(err)
		}
		want := catalog.Tag{Name: "v1", Set: catalog.Event{Time: at(0), By: "robot+ci"}, Manifest: catalog.Manifest{
			Digest: digestOf("a"), MediaType: imageType, Size: 400 + 1000 + 7, Present: true, Pulls: 3,
			Pushed: catalog.Event{Time: at(0), By: "robot+ci"}, Pulled: catalog.Event{Time: at(24*60 + 2), By: "bob"},
			Refers: []catalog.Reference{{Digest: digestOf("layer1"), Size: 1000}, {Digest: "sha512:beef", Size: 7}},
		}}
		if diff := cmp.Diff(want, tag); diff != "" {
			t.Error(diff)
		}
		tags, err := r.TagsOf(t.Context(), repository, tag.Manifest, 10)
		days, err2 := r.PullsOf(t.Context(), repository, tag.Manifest, 10)
		day := at(-12 * 60)
		wantDays := []catalog.Pulls{{Day: day.AddDate(0, 0, 1), Pulls: 1}, {Day: day, Pulls: 2}}
		if diff := cmp.Diff([]any{[]string{"v1"}, wantDays}, []any{tags, days}); diff != "" || err != nil || err2 != nil {
			t.Error(diff, err, err2)
		}
		for _, missing := range []string{"v9", ""} {
			if _, err := r.Tag(t.Context(), repository, missing); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("tag %q: %v", missing, err)
			}
		}
	})
}

func TestTheHistoryOfATag(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 100)
		f.send(event(0, "push v1 a"), event(2, "delete v1"), event(4, "push v1 b"), event(1, "push v1 c"), event(20, "delete b"), event(30, "pull v1 c"))
		r := f.newReader()
		defer r.Close()
		repository, err := r.Repository(t.Context(), nil, registry, "team/app")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for page := (admin.Page{Limit: 2}); ; {
			moves, next, err := r.History(t.Context(), repository, "v1", page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range moves {
				got = append(got, fmt.Sprintf("%d %s %s %v", int(m.Time.Sub(noon).Minutes()), m.By, strings.TrimPrefix(m.Digest, "sha256:"+strings.Repeat("0", 62)), m.Seen))
			}
			if page.After = next; next == "" {
				break
			}
		}
		want := []string{"30  63 true", "20 ann  false", "4 ann 62 false", "2 ann  false", "1 ann 63 false", "0 ann 61 false"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if _, _, err := r.History(t.Context(), repository, "v9", admin.Page{}); !errors.Is(err, catalog.ErrNotFound) {
			t.Error(err)
		}
		if _, _, err := r.History(t.Context(), repository, "v1", admin.Page{After: "x"}); err == nil {
			t.Error("a wrong cursor was accepted")
		}
	})
}

// The events of registries 2.8 and 3 have different fields. Events of blobs look similar to events
// of manifests.
func TestEventsOfRegistries(t *testing.T) {
	for _, tt := range []struct {
		what  string
		event notification.Event
		want  string
	}{
		{"a manifest by its address", notification.Event{Action: "push", Digest: digestOf("a"), MediaType: "application/x", URL: "http://r/v2/team/app/manifests/" + digestOf("a")}, "; a"},
		{"a manifest by its tag", notification.Event{Action: "push", Digest: digestOf("a"), Tag: "v1"}, "v1=a; a"},
		{"a manifest by its media type", notification.Event{Action: "push", Digest: digestOf("a"), MediaType: "application/vnd.docker.distribution.manifest.list.v2+json"}, "; a"},
		{"a blob", notification.Event{Action: "push", Digest: digestOf("a"), MediaType: "application/octet-stream", URL: "http://r/v2/manifests/app/blobs/" + digestOf("a")}, missing},
		{"a blob of a repository manifests", notification.Event{Action: "push", Digest: digestOf("a"), MediaType: "application/octet-stream", URL: "http://r/v2/x/manifests/blobs/" + digestOf("a")}, missing},
		{"a push without a digest", notification.Event{Action: "push", Tag: "v1"}, missing},
		{"a mount", notification.Event{Action: "mount", Digest: digestOf("a"), MediaType: imageType}, missing},
		{"another action", notification.Event{Action: "scan", Digest: digestOf("a"), MediaType: imageType}, missing},
		{"a delete of a blob", notification.Event{Action: "delete", Digest: digestOf("a")}, "; "},
	} {
		f := open(t, storetest.SQLite().Ready(t), 100)
		tt.event.Time, tt.event.Repository = noon, "team/app"
		f.send(tt.event)
		if got := f.summary(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
}

const missing = "repository team/app: the catalog does not have it"

// Clients choose the sizes of the layers in a manifest, because registries check only the digests.
// So anybody who may push to one repository can report any size, any number of times.
func TestReportedSizesCannotStopTheCatalog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		for _, reported := range []struct {
			size  int64
			times int // in each manifest
		}{{math.MaxInt64, 1}, {math.MaxInt64, 3}, {catalog.MaxSize, notification.MaxReferences}} {
			f := open(t, d.Ready(t), 1)
			for i := range 4 {
				push := event(i, "push v1 "+string(rune('a'+i)))
				push.Size = reported.size
				for range reported.times {
					push.References = append(push.References, notification.Descriptor{Digest: digestOf("layer"), Size: reported.size})
				}
				f.send(push)
			}
			f.send(event(5, "push v2 z"), event(6, "delete a"), event(7, "delete b"), event(8, "delete c"), event(9, "delete d"))
			if got := f.summary(); got != "; " {
				t.Errorf("%+v: %s", reported, got)
			}
			r := f.newReader()
			repository, err := r.Repository(t.Context(), nil, registry, "team/app")
			if err != nil || repository.Size != 0 || repository.Tags != 1 || repository.Manifests != 1 {
				t.Errorf("%+v: %+v, %v", reported, repository, err)
			}
			r.Close()
			f.close()
		}
	})
}

// A total near the limit of 64 bits stops growing.
func TestTheTotalSizeOfABlobIsLimited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 1)
		apply := f.definition.Apply
		f.definition.Apply = func(ctx context.Context, tx projection.Tx, entries iter.Seq2[journal.Entry, error]) error {
			if err := apply(ctx, tx, entries); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `UPDATE catalog_blobs SET total = $1`, math.MaxInt64-10)
			return err
		}
		for i, name := range []string{"a", "b", "c"} {
			push := event(i, "push v1 "+name)
			push.References = []notification.Descriptor{{Digest: digestOf("layer"), Size: 1000}}
			f.send(push)
		}
		f.send(event(4, "delete a"))
		if got := f.summary(); got != "v1=c; b c" {
			t.Error(got)
		}
	})
}

// PostgreSQL stores no text with NUL. An event with NUL must not stop the catalog.
func TestTextWithNULCannotStopTheCatalog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 100)
		for i, change := range []func(*notification.Event){
			func(e *notification.Event) { e.Repository = "team/\x00" },
			func(e *notification.Event) { e.Tag = "v\x00" },
			func(e *notification.Event) { e.Action, e.Tag = "delete", "v\x00" },
			func(e *notification.Event) { e.Action, e.Tag = "pull", "v\x00" },
			func(e *notification.Event) { e.Digest = "sha256:\x00" },
			func(e *notification.Event) { e.References = []notification.Descriptor{{Digest: "\x00", Size: 1}} },
			func(e *notification.Event) { e.Actor, e.MediaType = "a\x00nn", imageType+"\x00" },
		} {
			e := event(i, "push v1 a")
			change(&e)
			f.send(e)
		}
		if got := f.summary(); got != "v1=a; a" {
			t.Error(got)
		}
		r := f.newReader()
		defer r.Close()
		repository, err := r.Repository(t.Context(), nil, registry, "team/app")
		if err != nil || repository.Pushed.By != "a\ufffdnn" {
			t.Errorf("%+v, %v", repository, err)
		}
	})
}
