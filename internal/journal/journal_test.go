package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestMain(m *testing.M) {
	if isChild() {
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

// open returns a journal on the database.
func open(t testing.TB, url string, o journal.Options) (*journal.Journal, *store.DB) {
	t.Helper()
	db, err := store.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return j, db
}

func read(t testing.TB, j *journal.Journal, after journal.Position) (entries []journal.Entry) {
	t.Helper()
	for entry, err := range j.Read(t.Context(), after) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// asKept compares an appended entry with the entry that is read back.
var asKept = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.EquateComparable(netip.Addr{}),
	cmp.Comparer(func(a, b *policy.Rule) bool {
		if a == nil || b == nil {
			return a == b
		}
		from, to := a.Origin, b.Origin
		from.Database, to.Database = false, false // derived from the other fields
		return a.Name == b.Name && from == to
	}),
}

func decision(principal *policy.Principal) *journal.Decision {
	devs := &policy.Rule{Name: "devs", Origin: policy.Origin{File: "tidewaiter.yaml", Line: 14}}
	return &journal.Decision{
		Principal:  principal,
		Credential: "password",
		Remote:     netip.MustParseAddr("10.1.2.3"),
		Client:     "docker",
		Results: []policy.Result{{
			Asked:   scope.Scope{Type: "repository", Name: "team/app", Actions: scope.Pull | scope.Push},
			Granted: scope.Pull,
			Causes: []policy.Cause{
				{Actions: scope.Pull, Reason: policy.Allowed, Rule: devs},
				{Actions: scope.Push, Reason: policy.NoRule},
			},
		}},
		Ignored: []scope.Ignored{{Text: "repository:FOO:pull", Reason: "the name has an upper-case letter"}},
		Policy:  "p1",
	}
}

var alice = &policy.Principal{
	Kind:   policy.User,
	Name:   "alice",
	Source: "ldap:corp",
	ID:     "4711",
	Groups: []string{"devs", "all"},
	Claims: map[string]any{"mail": "alice@example.com", "level": 3.0},
	Limits: []policy.Limit{{Names: []string{"team/**"}, Actions: scope.Repository}},
}

func push(id string) journal.Entry {
	return journal.Entry{Registry: "registry.example.com", Event: &notification.Event{
		ID: id, Time: noon, Action: notification.Push, Repository: "team/app", Tag: "v1", Actor: "alice",
	}}
}

func TestEntriesAreReadBackAsTheyWere(t *testing.T) {
	storetest.Each(t, testEntriesAreReadBackAsTheyWere)
}

func testEntriesAreReadBackAsTheyWere(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	want := []journal.Entry{
		{ID: journal.NewID(noon), Time: noon, Registry: "registry.example.com", Decision: decision(alice)},
		push("e1"),
		{Change: &journal.Change{Actor: "root", Action: "user.disable", Target: "bob", To: map[string]any{"disabled": true}}},
		{Text: []byte("{\"event\":\"data\"}\x00\xff\n")},
	}
	for i := range want {
		want[i].Position = journal.Position(i + 1)
		want[i].ID = journal.NewID(noon)
		want[i].Time = noon
	}
	if err := j.Append(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, j, 0), asKept); diff != "" {
		t.Error(diff)
	}
	for _, entry := range want {
		found, err := j.Find(t.Context(), entry.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entry, found, asKept); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := j.Find(t.Context(), journal.NewID(noon)); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("an unknown id: %v, want ErrNotFound", err)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Entries != 4 {
		t.Errorf("Verify: %+v, %v", v, err)
	}
}

func TestAnEventIsKeptOnceForEachRegistry(t *testing.T) {
	storetest.Each(t, testAnEventIsKeptOnceForEachRegistry)
}

func testAnEventIsKeptOnceForEachRegistry(t *testing.T, d storetest.Database) {
	url := d.Ready(t)
	for range 2 { // the second time after a restart
		j, _ := open(t, url, journal.Options{})
		other := push("e1")
		other.Registry = "other.example.com"
		for _, entry := range []journal.Entry{push("e1"), push("e1"), other, push(""), push("")} {
			if err := j.Append(t.Context(), entry); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Append(t.Context(), push("e2"), push("e2"), push("e1")); err != nil {
			t.Fatal(err)
		}
	}
	j, _ := open(t, url, journal.Options{})
	var got []string
	for _, entry := range read(t, j, 0) {
		got = append(got, fmt.Sprintf("%d %s %s", entry.Position, entry.Registry, entry.Event.ID))
	}
	want := []string{
		"1 registry.example.com e1", "2 other.example.com e1", "3 registry.example.com ", "4 registry.example.com ",
		"5 registry.example.com e2", "6 registry.example.com ", "7 registry.example.com ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRecordedEntriesAreKeptByClose(t *testing.T) {
	storetest.Each(t, testRecordedEntriesAreKeptByClose)
}

func testRecordedEntriesAreKeptByClose(t *testing.T, d storetest.Database) {
	url := d.Ready(t)
	j, _ := open(t, url, journal.Options{Linger: time.Hour})
	for range 100 {
		if err := j.Record(journal.Entry{Decision: decision(alice)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Record(push("late")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Record after Close: %v", err)
	}
	if err := j.Append(t.Context(), push("late")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if n := len(read(t, j, 0)); n != 100 {
		t.Errorf("%d entries were stored, want 100", n)
	}
}

func TestAppendLeavesTheCallersEntriesAlone(t *testing.T) {
	storetest.Each(t, testAppendLeavesTheCallersEntriesAlone)
}

func testAppendLeavesTheCallersEntriesAlone(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	entries := []journal.Entry{push("e1"), push("e1"), push("e2")}
	want := slices.Clone(entries)
	if err := j.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, entries, asKept); diff != "" {
		t.Error(diff)
	}
}

func TestWhatTheCallerLeftOpenIsSet(t *testing.T) { storetest.Each(t, testWhatTheCallerLeftOpenIsSet) }

func testWhatTheCallerLeftOpenIsSet(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{Now: func() time.Time { return noon.Add(999) }})
	if err := j.Append(t.Context(), journal.Entry{Text: bytes.Repeat([]byte("x"), 5000)}); err != nil {
		t.Fatal(err)
	}
	entry := read(t, j, 0)[0]
	if entry.Position != 1 || !entry.Time.Equal(noon) || !entry.ID.Time().Equal(noon.Truncate(time.Millisecond)) || len(entry.Text) != 4096 {
		t.Errorf("%d, %s, %s, %d bytes", entry.Position, entry.Time, entry.ID, len(entry.Text))
	}
}

// An entry is stored even if one of its claims has no JSON form. Its other claims are stored, too.
func TestOddClaimsLoseNothing(t *testing.T) { storetest.Each(t, testOddClaimsLoseNothing) }

func testOddClaimsLoseNothing(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	odd := &policy.Principal{Kind: policy.User, Name: "a\xffb", Claims: map[string]any{
		"nan": math.NaN(), "channel": make(chan int), "mail": "a@example.com", "groups": []string{"x"}, "level": json.Number("12"),
	}}
	if err := j.Append(t.Context(), journal.Entry{Decision: &journal.Decision{Principal: odd}}); err != nil {
		t.Fatal(err)
	}
	got := read(t, j, 0)[0].Decision.Principal
	if got.Name != "a\uFFFDb" {
		t.Errorf("the name is %q", got.Name)
	}
	for claim, want := range map[string]any{"mail": "a@example.com", "nan": "NaN", "level": json.Number("12")} {
		if diff := cmp.Diff(want, got.Claims[claim]); diff != "" {
			t.Errorf("%s: %s", claim, diff)
		}
	}
}

// No field of an entry can contain a secret.
func TestEntriesHaveNoFieldForSecrets(t *testing.T) {
	suspicious := regexp.MustCompile(`(?i)secret|password|passwd|credential|token|key|hash|hmac`)
	allowed := map[string]reflect.Kind{
		"Decision.Credential": reflect.String, // the kind and name, never the secret
		"Decision.Token":      reflect.Array,  // the token's id
	}
	seen := make(map[reflect.Type]bool)
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for field := range typ.Fields() {
				if !field.IsExported() { // not written to the journal
					continue
				}
				name := typ.Name() + "." + field.Name
				if suspicious.MatchString(field.Name) && allowed[name] != field.Type.Kind() {
					t.Errorf("%s: add this field to the test, if it cannot contain a secret", name)
				}
				walk(field.Type)
			}
		}
	}
	walk(reflect.TypeFor[journal.Entry]())
	if len(seen) < 10 {
		t.Errorf("only %d types were checked", len(seen))
	}
}

// Events are recognized by registry and id. Registries choose the ids of their events. A registry
// must not be able to make events of another registry look like repeats, because repeats are
// dropped.
func TestEventsOfTwoRegistriesNeverCollide(t *testing.T) {
	storetest.Each(t, testEventsOfTwoRegistriesNeverCollide)
}

func testEventsOfTwoRegistriesNeverCollide(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	all := [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", "x"}, {"ab", "cx"}, {"b", "bc"}, {"a", "c"}, {"A", "bc"},
		{"a\x00b", "c"}, {"a", "b\x00c"}, {"a", "\x00bc"}, {"a\x00", "bc"}, {"a/b", "c"}, {"a", "/bc"}, {"a:", "bc"}, {"a", ":bc"},
		{"", "\x00\x00\x00\x00\x00\x00\x00\x01abc"}, {"", "\x01abc"}, {"", "1abc"}, {"", "a bc"}, {"a ", "bc"}, {"a", " bc"},
		{"a", string(bytes.Repeat([]byte("x"), 300))}, {"a" + string(bytes.Repeat([]byte("x"), 299)), "x"},
	}
	for range 2 { // the second time, each event is a repeat
		for _, e := range all {
			entry := push(e[1])
			entry.Registry = e[0]
			if err := j.Append(t.Context(), entry); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got [][2]string
	for _, e := range read(t, j, 0) {
		got = append(got, [2]string{e.Registry, e.Event.ID})
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
}
