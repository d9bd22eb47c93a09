package catalog_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
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

// A cursor has the last examined place. The reader may not be allowed to see the repository at
// this place. Neither the text of a cursor nor its length reveals this place.
func TestPropertyCursorsRevealNoName(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 100)
		for _, name := range []string{"a", "b/secret/hidden", "b/secret/" + strings.Repeat("long/", 20) + "hidden", "c", "d/\"secret\"/hidden"} {
			push := event(f.sent, "push v1 a")
			push.Repository = name
			f.send(push)
		}
		r := f.newReader()
		defer r.Close()
		defer catalog.SetMaxExamined(catalog.SetMaxExamined(1)) // so each row is the last of a page
		length := 0
		rapid.Check(t, func(t *rapid.T) {
			q := catalog.Query{
				Sort:   rapid.SampledFrom([]catalog.Sort{catalog.ByName, catalog.ByPush, catalog.ByPull, catalog.BySize}).Draw(t, "sort"),
				Page:   admin.Page{Limit: rapid.IntRange(1, 3).Draw(t, "limit")},
				Filter: visibleFilter{{}},
			}
			for pages := 0; ; pages++ {
				_, next, err := r.Repositories(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				if q.After = next; next == "" {
					if pages < 5 {
						t.Fatalf("only %d pages: no row was the last of a page", pages)
					}
					break
				}
				decoded, err := base64.RawURLEncoding.DecodeString(next)
				if err != nil || strings.Contains(next+string(decoded), "secret") || length > 0 && len(next) != length {
					t.Fatalf("%q, %v", decoded, err)
				}
				length = len(next)
			}
		})
	})
}

func TestAWrongCursorIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), 10)
		list := func(q catalog.Query) (next string, err error) {
			r := f.newReader()
			defer r.Close()
			q.Limit = 1
			_, next, err = r.Repositories(t.Context(), q)
			return next, err
		}
		refuse := func(name, cursor string, q catalog.Query) {
			t.Helper()
			q.After = cursor
			_, err := list(q)
			if invalid, ok := errors.AsType[*admin.InvalidError](err); !ok || invalid.Field != "after" {
				t.Errorf("%s: %v", name, err)
			}
		}
		refuse("a cursor of an empty catalog", "AAAA", catalog.Query{})
		for _, name := range []string{"a", "b", "c"} {
			push := event(f.sent, "push v1 a")
			push.Repository = name
			f.send(push)
		}
		q := catalog.Query{Registry: registry, Sort: catalog.BySize}
		cursor, err := list(q)
		if err != nil || cursor == "" {
			t.Fatalf("%q, %v", cursor, err)
		}
		second := q
		second.After = cursor
		if _, err := list(second); err != nil {
			t.Fatal(err)
		}
		plain := base64.RawURLEncoding.EncodeToString([]byte(`[0,"a","r"]`))
		for _, wrong := range []string{"x", "!", plain, cursor[1:], cursor + "AAAA"} {
			refuse(wrong, wrong, q)
		}
		for i := range cursor {
			altered := []byte(cursor)
			if altered[i]++; i%7 == 0 && altered[i] != 'Z'+1 && altered[i] != 'z'+1 && altered[i] != '9'+1 {
				refuse(fmt.Sprint("altered at ", i), string(altered), q)
			}
		}
		refuse("the cursor of another order", cursor, catalog.Query{Registry: registry, Sort: catalog.ByName})
		refuse("the cursor of all registries", cursor, catalog.Query{Sort: catalog.BySize})
		refuse("the cursor of another prefix", cursor, catalog.Query{Registry: registry, Sort: catalog.BySize, Prefix: "b"})
		if err := f.set.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		refuse("the cursor of an earlier catalog", cursor, q)
	})
}
