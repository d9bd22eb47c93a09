package catalog_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
)

// visibleFilter is a Filter. It shows the names in the ranges, except names that end with
// "hidden".
type visibleFilter []policy.NameRange

func (v visibleFilter) Ranges(registry string) []policy.NameRange {
	if registry == "hidden.example.com" {
		return nil
	}
	return v
}

func (v visibleFilter) Sees(registry, name string) bool {
	return registry != "hidden.example.com" && !strings.HasSuffix(name, "hidden") &&
		slices.ContainsFunc(v, func(r policy.NameRange) bool { return name >= r.From && (r.To == "" || name < r.To) })
}

// The pages of a list have exactly the repositories that the reader may see, in the order of the
// list. This does not depend on the size of pages, or on the number of examined rows.
func TestPropertyPagesHaveWhatTheReaderSees(t *testing.T) {
	storetest.Each(t, testPropertyPagesHaveWhatTheReaderSees)
}

func testPropertyPagesHaveWhatTheReaderSees(t *testing.T, d storetest.Database) {
	f := open(t, d.Ready(t), 1000)
	var all []catalog.Repository
	var entries []journal.Entry
	for i, name := range []string{"a", "a-b", "a/a", "a/b", "a/b/hidden", "a.b", "b", "b/x", "b/y", "b/z/hidden", "c/1", "c/2", "c/3", "c/4", "zoo"} {
		for k, service := range []string{registry, "s.example.com", "hidden.example.com"} {
			if (i+k)%5 == 4 {
				continue
			}
			r := catalog.Repository{Registry: service, Name: name, Size: int64(i * 7 % 4 * 100), Pushed: catalog.Event{Time: noon.Add(time.Duration(i*5%3) * time.Minute)}}
			if r.Size > 0 {
				r.Pulled.Time = noon.Add(time.Duration(i%4) * time.Hour)
			}
			push := notification.Event{ID: fmt.Sprint(i, k, "push"), Time: r.Pushed.Time, Action: "push", Repository: name, Digest: digestOf("a"), Size: r.Size, MediaType: imageType}
			pull := push
			pull.ID, pull.Action, pull.Time = fmt.Sprint(i, k, "pull"), "pull", r.Pulled.Time
			received := noon.Add(24 * time.Hour)
			entries = append(entries, journal.Entry{Time: received, Registry: service, Event: &push})
			if r.Size > 0 {
				entries = append(entries, journal.Entry{Time: received, Registry: service, Event: &pull})
			}
			all = append(all, r)
		}
	}
	gone := notification.Event{ID: "gone", Time: noon, Action: "delete", Repository: "a/gone", Tag: "v1"}
	entries = append(entries, journal.Entry{Time: noon.Add(time.Hour), Registry: registry, Event: &gone})
	if err := f.journal.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	r := f.newReader()
	defer r.Close()
	defer catalog.SetMaxExamined(catalog.SetMaxExamined(0))

	rapid.Check(t, func(t *rapid.T) {
		catalog.SetMaxExamined(rapid.SampledFrom([]int{1, 9, 20, 1000}).Draw(t, "examined"))
		q := catalog.Query{
			Registry: rapid.SampledFrom([]string{"", "", registry, "other.example.com"}).Draw(t, "registry"),
			Prefix:   rapid.SampledFrom([]string{"", "", "a", "a/", "b/x", "é", "c/\u00ff"}).Draw(t, "prefix"),
			Sort:     rapid.SampledFrom([]catalog.Sort{"", catalog.ByName, catalog.ByPush, catalog.ByPull, catalog.BySize}).Draw(t, "sort"),
			Page:     admin.Page{Limit: rapid.IntRange(1, 50).Draw(t, "limit")},
		}
		var filter visibleFilter
		switch rapid.IntRange(0, 4).Draw(t, "filter") {
		case 0:
			filter = visibleFilter{{}}
		case 1:
			filter = policy.ClipNames(visibleFilter{{}}, "a/")
		case 2, 3:
			filter = visibleFilter{{From: "a", To: "a!"}, {From: "a/b", To: "a/c"}, {From: "c/2", To: "c/3!"}, {From: "x", To: "y"}, {From: "zoo", To: "zoo!"}}
		}
		if q.Filter = filter; rapid.IntRange(0, 3).Draw(t, "everything") == 0 {
			q.Filter = nil
		}
		var want []string
		for _, r := range ordered(all, q.Sort) {
			if (q.Registry == "" || q.Registry == r.Registry) && strings.HasPrefix(r.Name, q.Prefix) && (q.Filter == nil || filter.Sees(r.Registry, r.Name)) {
				want = append(want, r.Registry+"/"+r.Name)
			}
		}
		var got []string
		for pages := 0; ; pages++ {
			page, next, err := r.Repositories(context.Background(), q)
			if err != nil || pages > 200 {
				t.Fatalf("after %d pages: %v", pages, err)
			}
			if len(page) > q.Limit {
				t.Fatalf("a page has %d rows", len(page))
			}
			for _, r := range page {
				got = append(got, r.Registry+"/"+r.Name)
			}
			if q.After = next; next == "" {
				break
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func ordered(all []catalog.Repository, sort catalog.Sort) []catalog.Repository {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b catalog.Repository) int {
		rank := 0
		switch sort {
		case catalog.ByPush:
			rank = b.Pushed.Time.Compare(a.Pushed.Time)
		case catalog.ByPull:
			rank = b.Pulled.Time.Compare(a.Pulled.Time)
		case catalog.BySize:
			rank = cmp.Compare(b.Size, a.Size)
		}
		return cmp.Or(rank, cmp.Compare(a.Name, b.Name), cmp.Compare(a.Registry, b.Registry))
	})
	return all
}

func TestAWrongCursorIsRefused(t *testing.T) {
	f := open(t, storetest.SQLite().Ready(t), 10)
	r := f.newReader()
	defer r.Close()
	for _, cursor := range []string{"x", "!", "e30", "WzEsMl0"} { // …, {}, [1,2]
		if _, _, err := r.Repositories(t.Context(), catalog.Query{Page: admin.Page{After: cursor}}); err == nil {
			t.Errorf("%s was accepted", cursor)
		}
	}
}
