package search_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestMain(m *testing.M) {
	search.SmallSegments()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

// indexedJournal is a journal with an index.
type indexedJournal struct {
	*journal.Journal
	db         *store.DB
	set        *projection.Set
	definition *projection.Definition
}

func open(t testing.TB, url string) *indexedJournal {
	t.Helper()
	db, err := store.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	definition := search.Projection(login)
	set := projection.New(db, projection.Options{Batch: 1}, definition)
	j, err := journal.New(db, journal.Options{Login: login, Index: search.NewIndex(set, definition), Observe: set.Observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(j.Close(context.Background()), set.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return &indexedJournal{j, db, set, definition}
}

func login(p *policy.Principal) string { return p.Name }

// recordRemoval records that entries of a kind were removed up to a position.
func (x *indexedJournal) recordRemoval(t rapid.TB, kind string, upTo int) {
	err := x.db.Write(context.Background(), "", func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO journal_removed (kind, position, unreported, total) VALUES ($1, $2, 0, 0) ON CONFLICT (kind) DO UPDATE SET position = $2`, kind, upTo)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// catchUp indexes up to n batches.
func (x *indexedJournal) catchUp(t rapid.TB, n int) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := x.set.CatchUp(ctx, x.Journal, func([]projection.Status) {
		if n--; n <= 0 {
			stop()
		}
	})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

// The pages of Search have exactly the entries for which Matches is true. This does not depend on
// the page size, on where a search is stopped, or on how much of the journal is indexed.
func TestPropertySearchFindsWhatMatches(t *testing.T) {
	storetest.Each(t, testPropertySearchFindsWhatMatches)
}

func testPropertySearchFindsWhatMatches(t *testing.T, d storetest.Database) {
	j := open(t, d.Ready(t))
	names := []string{"ann", "robot+ci", "", `o"brien <&>`, "zoë", "github:acme/app", "a\x00b\u2028", "not \xff\xfe UTF-8"}
	deep := "a" + strings.Repeat("/a", 10)
	repositories := []string{deep + "/b", deep + "/c/d", "team/app", "team/app/web", "team", "other/app", "a&b"}
	digests := []string{"", "sha256:0f1e2d3c4b5a", "sha256:0f1e999999"}
	addresses := []string{"192.0.2.9", "192.0.2.130", "::ffff:192.0.2.9", "2001:db8::1", "2001:db8:0:0:1::1", "2001:db8:1::1", "fe80::1%eth0"}
	tokens := []journal.ID{}
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
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			asked := rapid.SampledFrom([]scope.Actions{scope.Pull, scope.Push | scope.Pull, scope.Delete}).Draw(t, "asked")
			e.Decision = &journal.Decision{
				Principal: principal(name), Credential: rapid.SampledFrom([]string{"password", "token:laptop"}).Draw(t, "credential"),
				Remote: netip.MustParseAddr(rapid.SampledFrom(addresses).Draw(t, "remote")), Token: e.ID,
				Results: []policy.Result{{
					Asked:   scope.Scope{Type: "repository", Name: repository, Actions: asked},
					Granted: asked & rapid.SampledFrom([]scope.Actions{0, scope.Pull, asked}).Draw(t, "granted"),
				}},
			}
			if tokens = append(tokens, e.ID); rapid.Bool().Draw(t, "reused") {
				e.Decision.Token = rapid.SampledFrom(tokens).Draw(t, "token")
			}
			if rapid.Bool().Draw(t, "refused") {
				e.Decision.Principal, e.Decision.Name, e.Decision.Refused, e.Decision.Results = nil, name, "invalid credentials", nil
				if rapid.Bool().Draw(t, "repeats") {
					e.Decision.Repeats = &journal.Repeats{Of: rapid.SampledFrom(tokens).Draw(t, "of"), Count: 2, First: when, Last: when}
				}
			}
		case 1:
			e.Event = &notification.Event{
				ID: fmt.Sprint(n), Time: at(n), Action: rapid.SampledFrom([]string{"push", "pull", "mount"}).Draw(t, "action"), Repository: repository,
				Digest: rapid.SampledFrom(digests).Draw(t, "digest"), Tag: rapid.SampledFrom([]string{"", "v1", "v10"}).Draw(t, "tag"), Actor: name,
				Request: notification.Request{Address: rapid.SampledFrom(append([]string{"192.0.2.9:4711", "[2001:db8::1]:1", "a proxy"}, addresses...)).Draw(t, "address")},
			}
			if rapid.Bool().Draw(t, "refers") {
				e.Event.References = []notification.Descriptor{{Digest: rapid.SampledFrom(digests).Draw(t, "reference")}}
			}
		case 2:
			e.Change = &journal.Change{Actor: "user:" + name, Action: rapid.SampledFrom([]string{"user.add", "push"}).Draw(t, "action"), Target: name}
		case 3:
			e.Service = &journal.Service{Action: rapid.SampledFrom([]string{"api.sign-in", "push"}).Draw(t, "action"),
				Remote: netip.MustParseAddr(rapid.SampledFrom(addresses).Draw(t, "remote"))}
			if rapid.Bool().Draw(t, "refused") {
				e.Service.Name = name
			} else {
				e.Service.Actor = "user:" + name
			}
		default:
			e.Text = []byte(name + " decision push")
		}
		return e
	}
	all := rapid.SliceOfN(rapid.Custom(draw), 1900, 1900).Example(1)
	for chunk := range slices.Chunk(all, 300) {
		if err := j.Append(context.Background(), chunk...); err != nil {
			t.Fatal(err)
		}
	}
	j.compareCollected(t)
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(draw), 1, 8).Draw(t, "entries")
		// Some entries have a block of their own.
		alone := rapid.IntRange(0, len(entries)).Draw(t, "alone")
		for _, e := range entries[:alone] {
			if err := j.Append(context.Background(), e); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Append(context.Background(), entries[alone:]...); err != nil {
			t.Fatal(err)
		}
		switch rapid.IntRange(0, 9).Draw(t, "index") {
		case 0:
			if err := j.set.Rebuild(context.Background()); err != nil {
				t.Fatal(err)
			}
		case 1, 2, 3:
			j.catchUp(t, rapid.IntRange(1, 4).Draw(t, "batches"))
		case 4:
			j.catchUp(t, 1) // Prune needs existing tables
			j.recordRemoval(t, rapid.SampledFrom([]string{"event", "decision"}).Draw(t, "removed"), rapid.IntRange(0, 2000).Draw(t, "up to"))
			if err := j.set.Prune(context.Background(), j.Journal); err != nil && !errors.Is(err, sql.ErrNoRows) {
				t.Fatal(err)
			}
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
			q.Kind = rapid.SampledFrom([]journal.Kind{"decision", "event", "change", "service", "text"}).Draw(t, "kind")
		}
		if maybe("outcome") {
			q.Outcome = rapid.SampledFrom([]journal.Outcome{"granted", "partial", "refused"}).Draw(t, "outcome")
		}
		if maybe("registry") {
			q.Registry = "r.example.com"
		}
		if maybe("who") {
			name := string([]rune(rapid.SampledFrom(names).Draw(t, "who"))) // the stored form
			q.Who = &journal.Who{Subjects: []string{"user:" + name, "operator:" + name}, Logins: []string{name}}
			if name == "" {
				q.Who.Subjects = []string{"anonymous"}
			}
		}
		if maybe("repository") {
			q.Repository = rapid.SampledFrom([]string{"team/app", "team/**", "a&b", "none", "**", "team/app/**", deep + "/**", deep[:len(deep)-2] + "/**"}).Draw(t, "repository")
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
			q.Address = netip.MustParsePrefix(rapid.SampledFrom([]string{"192.0.2.0/24", "192.0.2.9/32", "192.0.2.0/25", "0.0.0.0/0", "192.0.0.0/13",
				"2001:db8::/32", "2001:db8::/63", "2001:db8::1/128", "2000::/8", "::ffff:192.0.2.0/120", "fe80::/64"}).Draw(t, "address"))
		}
		if maybe("decision") {
			q.Decision = rapid.SampledFrom(append(tokens, entries[0].ID)).Draw(t, "id")
		}
		if maybe("credential") {
			q.Credential = "token:laptop"
		}
		if maybe("below") {
			q.Below = rapid.SliceOfN(rapid.SampledFrom([]string{"team", "team/app", "other", deep, deep[:len(deep)-2], "none"}), 1, 3).Draw(t, "parents")
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
				t.Fatalf("a page has %d entries, want at most %d", len(page.Entries), limit)
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

// compareCollected compares the index that is written from collected entries with the index that is
// written from the journal.
func (x *indexedJournal) compareCollected(t *testing.T) {
	end, err := x.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The journal passes an entry to the collector soon after Append has returned.
	await.Until(t, "the collected entries", func(context.Context) error {
		if last, _ := x.definition.Collector.Collected(0); last != (end+1)/index.GroupSize*index.GroupSize-1 {
			return fmt.Errorf("the entries up to %d of %d were collected", last, end)
		}
		return nil
	})
	x.catchUp(t, 1000)
	collected := x.rows(t)
	definition := search.Projection(login)
	reading := projection.New(x.db, projection.Options{}, definition)
	defer reading.Close()
	if err := errors.Join(reading.Rebuild(t.Context()), reading.CatchUp(t.Context(), x.Journal, nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(x.rows(t), collected); diff != "" {
		t.Fatalf("(-read +collected)\n%s", diff)
	}
}

// If the index is not updated, the collector soon begins again. The index gets the forgotten
// entries from the journal.
func TestTheMemoryOfTheCollectorIsLimited(t *testing.T) {
	const limit = 3000
	before := search.SetMaxCollected(limit)
	t.Cleanup(func() { search.SetMaxCollected(before) }) // after the journal is closed
	j := open(t, storetest.SQLite().Ready(t))
	for i := range 12 {
		entries := make([]journal.Entry, 200)
		for k := range entries {
			entries[k].Change = &journal.Change{Actor: fmt.Sprint("user:", i, "-", k), Action: fmt.Sprint(k), Target: "x"}
		}
		if err := j.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
		// Each entry has three terms.
		if rows := search.CollectedRows(j.definition); rows > limit+3 {
			t.Fatalf("%d rows, want at most about %d", rows, limit)
		}
	}
	j.catchUp(t, 1000)
	q := journal.Query{Who: &journal.Who{Subjects: []string{"user:0-7", "user:5-9", "user:10-3"}}}
	page, err := j.Search(t.Context(), q, 0, 10, func(int) bool { return false })
	if err != nil || len(page.Entries) != 3 {
		t.Errorf("%d entries are found: %v", len(page.Entries), err)
	}
}

// rows returns the content of the index.
func (x *indexedJournal) rows(t *testing.T) map[string][]string {
	v, err := x.set.View(t.Context(), x.definition)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	found := make(map[string][]string)
	for _, table := range x.definition.Tables {
		found[table], err = store.Collect(t.Context(), v, func(row store.Row) (string, error) {
			var a, b, c any
			err := row.Scan(&a, &b, &c)
			return fmt.Sprint(a, b, c), err
		}, map[string]string{
			"search_terms": `SELECT key, entries, 0 FROM search_terms ORDER BY key`,
			"search_times": `SELECT number, earliest, latest FROM search_times ORDER BY number`,
		}[table])
		if err != nil || len(found[table]) == 0 {
			t.Fatal(table, err)
		}
	}
	return found
}

// With the index, a search reads few blocks even if the entries are old.
func TestTheIndexIsUsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		j := open(t, d.Ready(t))
		const blocks, perBlock = 12, 300
		for i := range blocks {
			batch := make([]journal.Entry, perBlock)
			for k := range batch {
				batch[k] = journal.Entry{Time: noon.Add(time.Duration(i) * time.Hour), Change: &journal.Change{Actor: "user:root", Action: "user.add", Target: "x"}}
			}
			batch[7].Change = &journal.Change{Actor: fmt.Sprint("user:u", i), Action: "rare", Target: "x"}
			for k, name := range []string{"team/app", "other/app", "other/web", "other/x/y"} {
				batch[9*k+9] = journal.Entry{Time: batch[7].Time, Event: &notification.Event{ID: fmt.Sprint(i, k), Action: "push", Repository: name, Actor: "ann"}}
			}
			if err := j.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
		}
		j.catchUp(t, 100)
		for _, tt := range []struct {
			what  string
			query journal.Query
			found int
			read  int // number of blocks, without the last block, which is only partly indexed
		}{
			{"other namespaces are not searched", journal.Query{Below: []string{"nobody"}, Kind: journal.KindEvent}, 0, 0},
			{"one of each block", journal.Query{Below: []string{"nobody", "team"}, Kind: journal.KindEvent}, blocks, blocks},
			{"one entry", journal.Query{Who: &journal.Who{Subjects: []string{"user:u3"}}}, 1, 1},
			{"no entry", journal.Query{Who: &journal.Who{Subjects: []string{"user:nobody"}}}, 0, 0},
			{"one of each block", journal.Query{Action: "rare"}, blocks, blocks},
			// The search also reads the preceding block, because that block is in the same group.
			{"one hour", journal.Query{Action: "rare", Since: noon.Add(5 * time.Hour), Until: noon.Add(6 * time.Hour)}, 1, 2},
			{"two filters", journal.Query{Action: "rare", Who: &journal.Who{Subjects: []string{"user:u3", "user:u4"}}}, 2, 2},
			{"filters that no entry has together", journal.Query{Action: "user.add", Who: &journal.Who{Subjects: []string{"user:u3"}}}, 0, 0},
		} {
			searched := 0
			page, err := j.Search(t.Context(), tt.query, 0, 100, func(n int) bool { searched = n; return false })
			if err != nil {
				t.Fatal(err)
			}
			if most := (tt.read + 1) * perBlock; len(page.Entries) != tt.found || searched > most {
				t.Errorf("%s: found %d and searched %d entries, want %d and at most %d", tt.what, len(page.Entries), searched, tt.found, most)
			}
		}
	})
}

// Removed entries are also removed from the index, one segment at a time.
func TestTheIndexShrinksWithTheJournal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		j := open(t, d.Ready(t))
		for range 6 { // three segments
			batch := make([]journal.Entry, 256)
			for k := range batch {
				batch[k] = journal.Entry{Time: noon, Change: &journal.Change{Actor: fmt.Sprint("user:", k), Action: "user.add", Target: "x"}}
			}
			if err := j.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
		}
		j.catchUp(t, 100)
		rows := func() (n int) {
			v, err := j.set.View(t.Context(), j.definition)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			if err := v.QueryRowContext(t.Context(), `SELECT count(*) FROM search_terms`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		prune := func() {
			if err := j.set.Prune(t.Context(), j.Journal); err != nil {
				t.Fatal(err)
			}
		}
		before := rows()
		err := j.db.Write(t.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM journal_blocks WHERE first < 1000`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		prune()
		if now := rows(); now != before {
			t.Errorf("%d rows of %d are left, although no entry was reported as removed", now, before)
		}
		j.recordRemoval(t, "change", 1024)
		for range 5 {
			prune()
		}
		if now := rows(); now > before*4/10 || now < before*3/10 {
			t.Errorf("%d rows of %d are left, want only the rows of the last third", now, before)
		}
		page, err := j.Search(t.Context(), journal.Query{Action: "user.add"}, 0, 1000, func(int) bool { return false })
		if err != nil || len(page.Entries) != 512 {
			t.Errorf("%d entries are found, want 512: %v", len(page.Entries), err)
		}
	})
}
