package manifests_test

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

	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/manifests"
	"github.com/tidewaiter/tidewaiter/internal/projection"
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

const (
	service = "r.example.com"
	day     = 24 * time.Hour
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func digestOf(name string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(name))) }

// fixture is a registry with the repository team/app, and its catalog. The function digestOf
// returns the digest of a manifest with a given name.
type fixture struct {
	*testing.T
	tags    map[string]string // the names of manifests by tag
	content map[string]string // contents of manifests by name
	broken  map[string]bool   // requests that fail
	written []string          // "delete NAME", "put TAG CONTENT"
	journal *journal.Journal
	set     *projection.Set
	options manifests.Options
}

func newFixture(t *testing.T) *fixture {
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
	f := &fixture{T: t, tags: map[string]string{}, content: map[string]string{}, broken: map[string]bool{}, journal: j, set: projection.New(db, projection.Options{}, d)}
	f.options = manifests.Options{
		Service: service, Reader: f, Writer: f, Catalog: catalog.New(f.set, d), Append: j.Append, Actor: "operator:root", Now: func() time.Time { return noon },
		Refresh: func(ctx context.Context) error { return f.set.CatchUp(ctx, j, nil) },
	}
	t.Cleanup(func() {
		if err := errors.Join(f.set.Close(), j.Close(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) nameOf(reference string) string {
	for name := range f.content {
		if digestOf(name) == reference {
			return name
		}
	}
	return f.tags[reference]
}

func (f *fixture) check(request string) error {
	if f.broken[request] {
		return errors.New("503 Service Unavailable")
	}
	return nil
}

func (f *fixture) Tags(_ context.Context, _ string, found func([]string) error) error {
	for tag := range f.tags {
		if err := found([]string{tag}); err != nil {
			return err
		}
	}
	return f.check("tags")
}

func (f *fixture) Head(ctx context.Context, repository, reference string) (registryapi.Manifest, error) {
	m, _, err := f.Get(ctx, repository, reference)
	return m, errors.Join(err, f.check("head "+reference))
}

func (f *fixture) Get(_ context.Context, _, reference string) (registryapi.Manifest, []byte, error) {
	name := f.nameOf(reference)
	text, ok := f.content[name]
	if !ok {
		return registryapi.Manifest{}, nil, registryapi.ErrNotFound
	}
	return registryapi.Manifest{Digest: digestOf(name)}, []byte(text), f.check("get " + name)
}

func (f *fixture) Delete(_ context.Context, _ string, m registryapi.Manifest) error {
	name := f.nameOf(m.Digest)
	if name == "" {
		return registryapi.ErrNotFound
	}
	if err := f.check("delete " + name); err != nil {
		return err
	}
	f.written = append(f.written, "delete "+name)
	delete(f.content, name)
	return nil
}

func (f *fixture) Put(_ context.Context, _, tag string, m registryapi.Manifest, text []byte) error {
	f.written = append(f.written, fmt.Sprintf("put %s %s", tag, text))
	f.tags[tag] = f.nameOf(m.Digest)
	return nil
}

// push adds a manifest to the registry, and reports its push. The content is "{}" if it is "".
func (f *fixture) push(name, tag string, age time.Duration, content string) {
	f.Helper()
	f.has(name, tag, content)
	f.event(notification.Event{Action: notification.Push, Digest: digestOf(name), Tag: tag, Size: 7}, age)
}

// has adds a manifest to the registry only.
func (f *fixture) has(name, tag, content string) {
	if f.content[name] = content; content == "" {
		f.content[name] = "{}"
	}
	if tag != "" {
		f.tags[tag] = name
	}
}

func (f *fixture) event(e notification.Event, age time.Duration) {
	f.Helper()
	e.ID, e.Time = fmt.Sprint(e.Action, e.Digest, e.Tag, age), noon.Add(-age)
	e.Repository, e.MediaType, e.Actor = "team/app", "application/vnd.oci.image.manifest.v1+json", "ann"
	if err := f.journal.Append(f.Context(), journal.Entry{Time: e.Time, Registry: service, Event: &e}); err != nil {
		f.Fatal(err)
	}
}

// selected returns the names of the manifests that a rule selects.
func (f *fixture) selected(rule manifests.Rule) (all []manifests.Selected, names string) {
	f.Helper()
	if err := f.set.CatchUp(f.Context(), f.journal, nil); err != nil {
		f.Fatal(err)
	}
	all, err := manifests.Select(f.Context(), &f.options, "team/app", rule)
	if err != nil {
		return nil, err.Error()
	}
	var list []string
	for _, s := range all {
		list = append(list, f.nameOf(s.Digest))
	}
	return all, strings.Join(list, " ")
}

func sortedWords(text string) string {
	words := strings.Fields(text)
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestARuleSelectsManifests(t *testing.T) {
	f := newFixture(t)
	f.push("new", "latest", 30*time.Minute, "")
	f.push("week", "v2", 7*day+time.Hour, "")
	f.push("old", "v1", 90*day, "")
	f.push("untagged", "", 20*day, "")
	// the catalog does not know that the tag was moved to this manifest
	f.push("moved", "v3", 20*day, "")
	f.tags["stable"] = "moved"
	delete(f.tags, "v3")
	f.push("used", "v4", 90*day, "")
	f.event(notification.Event{Action: notification.Pull, Digest: digestOf("used"), Request: notification.Request{Method: "GET"}}, 2*day)
	f.has("unknown", "v5", "")
	f.event(notification.Event{Action: notification.Pull, Digest: digestOf("unreported"), Request: notification.Request{Method: "GET"}}, 90*day)
	f.has("unreported", "v6", "")
	for _, tt := range []struct {
		rule manifests.Rule
		want string
	}{
		{manifests.Rule{}, ""},
		{manifests.Rule{OlderThan: 8 * day}, "moved old untagged used"},
		// new is younger than an hour.
		{manifests.Rule{OlderThan: time.Minute}, "moved old untagged used week"},
		{manifests.Rule{NeverPulledSince: 8 * day}, "moved old untagged"},
		{manifests.Rule{NeverPulledSince: 8 * day, OlderThan: 30 * day}, "old"},
		{manifests.Rule{Untagged: true}, "untagged"},
		{manifests.Rule{Untagged: true, OlderThan: 30 * day}, ""},
		{manifests.Rule{Keep: 2}, "moved old untagged used"},
		{manifests.Rule{Keep: 100}, "untagged"},
	} {
		if _, got := f.selected(tt.rule); sortedWords(got) != tt.want {
			t.Errorf("%+v selects %s, want %s", tt.rule, got, tt.want)
		}
	}
}

func index(children ...string) string {
	var list []string
	for _, child := range children {
		list = append(list, fmt.Sprintf(`{"digest":%q}`, digestOf(child)))
	}
	return `{"manifests":[` + strings.Join(list, ",") + `]}`
}

func subject(name string) string { return fmt.Sprintf(`{"subject":{"digest":%q}}`, digestOf(name)) }

// A manifest is not selected if a manifest that stays needs it.
func TestManifestsThatOthersNeedStay(t *testing.T) {
	old := 90 * day
	signature := func(name string) string { return strings.Replace(digestOf(name), ":", "-", 1) + ".sig" }
	for _, tt := range []struct {
		what string
		push func(*fixture)
		want string
	}{
		{"the manifests of an index", func(f *fixture) {
			f.push("index", "v1", day, index("amd64", "arm64"))
			f.push("amd64", "", old, "")
			f.push("arm64", "", old, "")
			f.push("other", "", old, "")
		}, "other"},
		{"an index in an index", func(f *fixture) {
			f.push("outer", "v1", day, index("inner"))
			f.push("inner", "", old, index("amd64"))
			f.push("amd64", "", old, "")
		}, ""},
		{"the manifests of an index that the catalog does not have", func(f *fixture) {
			f.has("index", "v1", index("amd64"))
			f.push("amd64", "", old, "")
		}, ""},
		{"an index before its manifests", func(f *fixture) {
			f.push("amd64", "", old, "")
			f.push("inner", "", old, index("amd64"))
			f.push("outer", "v1", old, index("amd64", "inner"))
		}, "outer inner amd64"},
		{"a manifest in two indexes", func(f *fixture) {
			f.push("old", "v1", old, index("amd64"))
			f.push("new", "v2", day, index("amd64"))
			f.push("amd64", "", old, "")
		}, "old"},
		{"a signature by its subject", func(f *fixture) {
			f.push("image", "v1", day, "")
			f.push("signature", "", old, subject("image"))
			f.push("attestation", "", old, subject("signature"))
			f.push("dangling", "", old, subject("gone"))
		}, "dangling"},
		{"a signature by its tag", func(f *fixture) {
			f.push("image", "v1", day, "")
			f.push("signature", signature("image"), old, "")
			f.push("dangling", signature("gone"), old, "")
		}, "dangling"},
		{"indexes that contain each other", func(f *fixture) {
			f.push("a", "", old, index("b", "a", "b"))
			f.push("b", "", old, index("a", "b"))
		}, "a b"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			f := newFixture(t)
			tt.push(f)
			_, got := f.selected(manifests.Rule{OlderThan: 7 * day})
			if strings.Contains(tt.what, "each other") {
				got = sortedWords(got)
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// A signature is pushed after its image, so it would otherwise take the place of the image.
func TestKeepDoesNotCountSignatures(t *testing.T) {
	f := newFixture(t)
	for i, name := range []string{"older", "old", "new"} {
		age := time.Duration(9-i) * day
		f.push(name, "v"+name, age, "")
		for k, suffix := range []string{".sig", ".att", ""} {
			f.push(name+"-referrer"+suffix, strings.Replace(digestOf(name), ":", "-", 1)+suffix, age-time.Duration(k+1)*time.Minute, "")
		}
	}
	const older = "older older-referrer older-referrer.att older-referrer.sig"
	if _, got := f.selected(manifests.Rule{Keep: 2}); sortedWords(got) != older {
		t.Errorf("selected %s", got)
	}
	// A referrer with another tag counts.
	f.tags["signature"] = "new-referrer.sig"
	if _, got := f.selected(manifests.Rule{Keep: 2}); sortedWords(got) != "old old-referrer old-referrer.att old-referrer.sig "+older {
		t.Errorf("with another tag: selected %s", got)
	}
}

// If it is not known what a manifest needs, nothing is selected.
func TestAnErrorSelectsNothing(t *testing.T) {
	f := newFixture(t)
	f.push("index", "v1", day, index("amd64"))
	f.push("amd64", "", 90*day, "")
	f.push("old", "v2", 90*day, "")
	rule := manifests.Rule{OlderThan: 7 * day}
	for _, request := range []string{"tags", "head v1", "get index"} {
		f.broken = map[string]bool{request: true}
		if all, got := f.selected(rule); len(all) > 0 || !strings.Contains(got, "503") {
			t.Errorf("%s fails: selected %s", request, got)
		}
	}
	f.broken, f.content["old"] = nil, "not JSON"
	if all, got := f.selected(rule); len(all) > 0 || !strings.Contains(got, "not JSON") {
		t.Errorf("no JSON: selected %s", got)
	}
}

// While a selection is deleted, a client can push an index of old manifests, or give one of them
// another tag.
func TestAPushStopsTheDelete(t *testing.T) {
	f := newFixture(t)
	f.push("amd64", "", 90*day, "")
	f.push("old", "v1", 80*day, "")
	f.event(notification.Event{Action: notification.Pull, Digest: digestOf("old"), Request: notification.Request{Method: "GET"}}, 9*day)
	all, names := f.selected(manifests.Rule{OlderThan: 7 * day})
	if sortedWords(names) != "amd64 old" {
		t.Fatal(names)
	}
	f.event(notification.Event{Action: notification.Pull, Digest: digestOf("old"), Request: notification.Request{Method: "GET"}}, time.Minute)
	if err := manifests.Delete(t.Context(), &f.options, &all[slices.IndexFunc(all, func(s manifests.Selected) bool { return len(s.Tags) > 0 })]); err != nil {
		t.Error(err)
	}
	f.push("index", "v2", time.Second, index("amd64"))
	for i := range all {
		if err := manifests.Delete(t.Context(), &f.options, &all[i]); !errors.Is(err, manifests.ErrPushed) {
			t.Errorf("%s: error %v", all[i].Digest, err)
		}
	}
	if !slices.Equal(f.written, []string{"delete old"}) {
		t.Errorf("written: %v", f.written)
	}
	if _, names := f.selected(manifests.Rule{OlderThan: 7 * day}); names != "" {
		t.Errorf("selected again: %s", names)
	}
}

func TestADeleteIsRecorded(t *testing.T) {
	f := newFixture(t)
	f.push("old", "v1", 90*day, "")
	f.push("older", "", 100*day, "")
	all, names := f.selected(manifests.Rule{OlderThan: 7 * day})
	if sortedWords(names) != "old older" {
		t.Fatal(names)
	}
	f.broken["delete old"] = true
	delete(f.content, "older")
	for i := range all {
		err := manifests.Delete(t.Context(), &f.options, &all[i])
		if failed := f.broken["delete "+f.nameOf(all[i].Digest)]; failed != (err != nil) {
			t.Error(all[i].Digest, err)
		}
	}
	var got []string
	for e, err := range f.journal.ReadKinds(t.Context(), 0, journal.KindChange) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Change != nil {
			got = append(got, e.Summary())
		}
	}
	want := []string{"change catalog.delete by operator:root: manifest team/app@" + digestOf("older") + " deleted"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// The catalog knows that the manifest is deleted, even without an event from the registry.
	if _, names := f.selected(manifests.Rule{OlderThan: 7 * day}); names != "old" {
		t.Errorf("selected again: %s", names)
	}
}

func TestATagIsRolledBack(t *testing.T) {
	f := newFixture(t)
	f.has("first", "", `{"first":1}`)
	f.has("second", "latest", "")
	before, err := manifests.RollBack(t.Context(), &f.options, "team/app", "latest", digestOf("first"))
	if before != digestOf("second") || err != nil {
		t.Error(before, err)
	}
	if before, err = manifests.RollBack(t.Context(), &f.options, "team/app", "latest", digestOf("first")); before != digestOf("first") || err != nil {
		t.Error(before, err)
	}
	if before, err = manifests.RollBack(t.Context(), &f.options, "team/app", "new", digestOf("first")); before != "" || err != nil {
		t.Error(before, err)
	}
	for _, wrong := range []string{"new", "", "sha256:00", digestOf("first") + "0"} {
		if _, err := manifests.RollBack(t.Context(), &f.options, "team/app", "latest", wrong); err == nil || !strings.Contains(err.Error(), "is not a digest") {
			t.Errorf("the digest %q: %v", wrong, err)
		}
	}
	if _, err := manifests.RollBack(t.Context(), &f.options, "team/app", "latest", digestOf("gone")); !errors.Is(err, registryapi.ErrNotFound) || !strings.Contains(err.Error(), "any more") {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{`put latest {"first":1}`, `put new {"first":1}`}, f.written); diff != "" {
		t.Error(diff)
	}
	if last, err := f.journal.Last(t.Context()); last != 2 || err != nil {
		t.Errorf("the journal has %d entries, %v", last, err)
	}
}
