package reconcile_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/reconcile"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

func TestMain(m *testing.M) {
	code := m.Run()
	storetest.Stop()
	os.Exit(code)
}

const service = "r.example.com"

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func digestOf(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

// fakeRegistry has the digests of tags by "repository:tag", and other manifests by
// "repository@digest". The constant broken is the digest of a manifest that the registry cannot
// read.
type fakeRegistry struct {
	tags     map[string]string
	listed   []string // tags and repositories that are listed, but are not in the field tags
	requests int
	before   func(request string) error // nil: does nothing
}

const broken = "broken"

func (f *fakeRegistry) request(what string) error {
	f.requests++
	if f.before == nil {
		return nil
	}
	return f.before(what)
}

func (f *fakeRegistry) all() (names []string) {
	for name := range f.tags {
		names = append(names, name)
	}
	return append(names, f.listed...)
}

func (f *fakeRegistry) Repositories(_ context.Context, found func([]string) error) error {
	if err := f.request("repositories"); err != nil {
		return err
	}
	for _, name := range f.all() {
		repository, _, _ := strings.Cut(name, ":")
		if err := found([]string{repository}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeRegistry) Tags(_ context.Context, repository string, found func([]string) error) error {
	if err := f.request(repository); err != nil {
		return err
	}
	for _, name := range f.all() {
		if tag, ok := strings.CutPrefix(name, repository+":"); ok {
			if err := found([]string{tag}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fakeRegistry) Head(_ context.Context, repository, reference string) (registryapi.Manifest, error) {
	if err := f.request(repository + ":" + reference); err != nil {
		return registryapi.Manifest{}, err
	}
	digest := f.tags[repository+":"+reference]
	for name, has := range f.tags {
		if !strings.HasPrefix(reference, "sha256:") {
			break
		}
		if has == reference && strings.HasPrefix(name, repository+":") {
			digest = has
		}
	}
	switch digest {
	case broken:
		return registryapi.Manifest{}, errors.New("500 Internal Server Error")
	case "":
		return registryapi.Manifest{}, registryapi.ErrNotFound
	}
	return registryapi.Manifest{Digest: digest, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 7}, nil
}

// fixture is a journal, its catalog, and a registry.
type fixture struct {
	*testing.T
	*fakeRegistry
	journal  *journal.Journal
	set      *projection.Set
	catalog  *catalog.Catalog
	now      time.Time
	progress []string
}

func newFixture(t *testing.T, tags map[string]string) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := catalog.Projection()
	f := &fixture{T: t, fakeRegistry: &fakeRegistry{tags: tags}, journal: j, set: projection.New(db, projection.Options{}, d), now: noon.Add(time.Hour)}
	f.catalog = catalog.New(f.set, d)
	t.Cleanup(func() {
		if err := errors.Join(f.set.Close(), j.Close(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return f
}

// push reports the push of "repository:tag", some minutes after noon.
func (f *fixture) push(minutes int, name, digest string) {
	f.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	at := noon.Add(time.Duration(minutes) * time.Minute)
	err := f.journal.Append(f.Context(), journal.Entry{Time: at, Registry: service, Event: &notification.Event{
		ID: fmt.Sprint(name, minutes), Time: at, Action: notification.Push, Repository: repository, Tag: tag, Digest: digest, Actor: "ann",
	}})
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) catchUp() {
	f.Helper()
	if err := f.set.CatchUp(f.Context(), f.journal, nil); err != nil {
		f.Fatal(err)
	}
}

// run compares the registry with the catalog.
func (f *fixture) run(ctx context.Context, after string) (reconcile.Total, error) {
	f.Helper()
	f.catchUp()
	defer f.catchUp()
	return reconcile.Run(ctx, reconcile.Options{
		Service: service, Registry: f.fakeRegistry, Catalog: f.catalog, Append: f.journal.Append, Actor: "operator:root", After: after,
		Now:      func() time.Time { return f.now },
		Progress: func(done, all int) { f.progress = append(f.progress, fmt.Sprintf("%d of %d", done, all)) },
	})
}

// content returns the tags of the catalog, in the form of fakeRegistry.tags.
func (f *fixture) content() map[string]string {
	f.Helper()
	r, err := f.catalog.Read(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	repositories, _, err := r.Repositories(f.Context(), catalog.Query{Page: admin.Page{Limit: 1000}})
	if err != nil {
		f.Fatal(err)
	}
	all := make(map[string]string)
	for _, of := range repositories {
		for page := (admin.Page{Limit: 1000}); ; {
			tags, next, err := r.Tags(f.Context(), of, page)
			if err != nil {
				f.Fatal(err)
			}
			for _, tag := range tags {
				all[of.Name+":"+tag.Name] = tag.Manifest.Digest
			}
			if page.After = next; next == "" {
				break
			}
		}
	}
	return all
}

// wantEqual checks that the catalog has the tags of the registry, and that a rebuilt catalog has
// them, too.
func (f *fixture) wantEqual() {
	f.Helper()
	for range 2 {
		if diff := cmp.Diff(f.tags, f.content()); diff != "" {
			f.Errorf("the catalog differs: %s", diff)
		}
		if err := f.set.Rebuild(f.Context()); err != nil {
			f.Fatal(err)
		}
		f.catchUp()
	}
}

func TestTheCatalogEqualsTheRegistryAfterARun(t *testing.T) {
	f := newFixture(t, map[string]string{
		"team/app:same": digestOf("a"), "team/app:moved": digestOf("b"), "team/app:new": digestOf("c"), "team/new:v1": digestOf("d"),
	})
	f.listed = []string{"team/empty:", "team/app:dangling"}
	f.push(0, "team/app:same", digestOf("a"))
	f.push(0, "team/app:moved", digestOf("a"))
	f.push(0, "team/app:deleted", digestOf("b"))
	f.push(0, "team/app:dangling", digestOf("e"))
	f.push(0, "team/gone:v1", digestOf("a"))
	total, err := f.run(t.Context(), "")
	want := reconcile.Total{Repositories: 4, Tags: 6, Manifests: 2, Found: 3, Missing: 5, Entries: 1, Through: "team/new", Complete: true}
	if diff := cmp.Diff(want, total); diff != "" || err != nil {
		t.Error(diff, err)
	}
	f.wantEqual()
	if diff := cmp.Diff([]string{"1 of 4", "2 of 4", "3 of 4", "4 of 4"}, f.progress); diff != "" {
		t.Error(diff)
	}
	total, err = f.run(t.Context(), "")
	if err != nil || total.Found+total.Missing != 0 || total.Entries != 1 {
		t.Errorf("again: %+v, %v", total, err)
	}
}

// The event of a recent push or delete can still be on its way, so a recent difference is not a
// finding.
func TestRecentPushesAreNoFindings(t *testing.T) {
	f := newFixture(t, map[string]string{"team/app:v1": digestOf("b")})
	f.push(57, "team/app:v1", digestOf("a"))
	f.push(58, "team/app:v2", digestOf("a"))
	if total, err := f.run(t.Context(), ""); err != nil || total.Found+total.Missing != 0 {
		t.Errorf("%+v, %v", total, err)
	}
	f.now = noon.Add(2 * time.Hour)
	if total, err := f.run(t.Context(), ""); err != nil || total.Found != 1 || total.Missing != 2 {
		t.Errorf("%+v, %v", total, err)
	}
	f.wantEqual()
}

// A run that is stopped has written the differences that it found. The next run continues after
// the last repository that was compared completely.
func TestAnInterruptedRun(t *testing.T) {
	f := newFixture(t, map[string]string{"a:v1": digestOf("a"), "b:v1": digestOf("b"), "c:v1": digestOf("c"), "d:v1": digestOf("d")})
	ctx, stop := context.WithCancel(t.Context())
	f.before = func(request string) error {
		if request == "c:v1" {
			stop()
		}
		return ctx.Err()
	}
	total, err := f.run(ctx, "")
	if !errors.Is(err, context.Canceled) || total.Through != "b" || total.Complete || total.Found != 2 {
		t.Fatalf("%+v, %v", total, err)
	}
	f.before, f.requests = nil, 0
	total, err = f.run(t.Context(), total.Through)
	if err != nil || total.Found != 2 || !total.Complete || f.requests != 5 {
		t.Errorf("%+v, %v, %d requests", total, err, f.requests)
	}
	f.wantEqual()
}

func TestErrorsOfARegistry(t *testing.T) {
	tags := map[string]string{"team/app:v1": digestOf("a"), "team/app:v2": broken, "team/app:v3": digestOf("c")}
	f := newFixture(t, tags)
	f.push(0, "team/app:v2", digestOf("b"))
	invalid := []string{}
	for i := range 20 {
		invalid = append(invalid, fmt.Sprintf("team/app:-%d", i))
	}
	f.listed = invalid
	f.before = func(request string) error {
		switch {
		case slices.Contains(invalid, request):
			return fmt.Errorf("tag: %w", registryapi.ErrInvalidName)
		case request == "team/app:"+digestOf("b"):
			return errors.New("500 Internal Server Error")
		}
		return nil
	}
	total, err := f.run(t.Context(), "")
	if err != nil || total.Found != 2 || total.Missing != 0 || total.Failed != 22 {
		t.Errorf("a damaged manifest: %+v, %v", total, err)
	}
	tags["team/app:v2"] = digestOf("b") // an error is no proof that the tag is missing
	f.wantEqual()

	for _, name := range []string{"x", "y"} {
		for i := range 20 {
			tags[fmt.Sprintf("%s:v%d", name, i)] = digestOf("a")
		}
	}
	f.before = func(request string) error {
		if strings.HasPrefix(request, "y:") {
			return errors.New("connection refused")
		}
		return nil
	}
	total, err = f.run(t.Context(), "team/app")
	if err == nil || !strings.Contains(err.Error(), "comparing y with the catalog: connection refused") || total.Through != "x" || total.Failed != 10 {
		t.Errorf("a registry that does not answer: %+v, %v", total, err)
	}
	f.before = func(string) error { return errors.New("no such host") }
	if total, err = f.run(t.Context(), ""); err == nil || total.Entries != 0 {
		t.Errorf("a registry that never answers: %+v, %v", total, err)
	}
}

// A run on 10,000 tags has one entry, whether the journal knew all or none of them.
func TestARunOnManyTagsHasOneEntry(t *testing.T) {
	tags := make(map[string]string)
	for i := range 10_000 {
		tags[fmt.Sprintf("team/app%d:v%d", i%4, i)] = digestOf(fmt.Sprint(i))
	}
	f := newFixture(t, nil)
	f.tags = tags
	for _, found := range []int64{10_000, 0} {
		total, err := f.run(t.Context(), "")
		if want := (reconcile.Total{Repositories: 4, Tags: 10_000, Found: found, Entries: 1, Through: "team/app3", Complete: true}); total != want || err != nil {
			t.Errorf("%+v, %v", total, err)
		}
	}
	if last, err := f.journal.Last(t.Context()); last != 2 || err != nil {
		t.Errorf("the journal has %d entries, %v", last, err)
	}
	if diff := cmp.Diff(f.tags, f.content()); diff != "" {
		t.Errorf("the catalog differs: %s", diff)
	}
}
