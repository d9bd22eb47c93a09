package journal_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
)

// headOf has the columns of the journal's head.
type headOf struct {
	next, base            int64
	hash, chain, frontier []byte
}

func readHead(t testing.TB, db *store.DB) (h headOf) {
	t.Helper()
	err := db.Read().QueryRow("SELECT next, base, hash, chain, frontier FROM journal_head").Scan(&h.next, &h.base, &h.hash, &h.chain, &h.frontier)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// leavesOf computes the leaves from the rows. It follows only the description in encode.go.
func leavesOf(t testing.TB, db *store.DB) (leaves []tlog.Hash) {
	t.Helper()
	h := readHead(t, db)
	origin := append([]byte("tidewaiter journal tree\n"), make([]byte, 8)...)
	binary.BigEndian.PutUint64(origin[len(origin)-8:], uint64(h.base))
	leaves = append(leaves, tlog.RecordHash(append(origin, h.chain...)))
	rows, err := db.Read().Query("SELECT content FROM journal_blocks WHERE first > $1 ORDER BY first", h.base)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	length := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for rows.Next() {
		var content []byte
		if err := rows.Scan(&content); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		var first struct {
			Principals []struct{ SHA256 string }
			Rules      []json.RawMessage
		}
		if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
			t.Fatal(err)
		}
		for _, line := range lines[1:] {
			parts := strings.Split(line, "\t")
			refs := strings.Split(parts[0], ",")
			private := sha256.Sum256([]byte(parts[2]))
			data := "tidewaiter entry 2\n" + string(length(len(parts[1]))) + parts[1] + string(private[:])
			if refs[0] == "-" {
				data += "\x00"
			} else {
				index, _ := strconv.Atoi(refs[0])
				sum, err := base64.RawURLEncoding.DecodeString(first.Principals[index].SHA256)
				if err != nil {
					t.Fatal(err)
				}
				data += "\x01" + string(sum)
			}
			data += string(length(len(refs) - 1))
			for _, ref := range refs[1:] {
				index, _ := strconv.Atoi(ref)
				data += string(length(len(first.Rules[index]))) + string(first.Rules[index])
			}
			leaves = append(leaves, tlog.RecordHash([]byte(data)))
		}
	}
	return leaves
}

// hashes is a tree that stores all hashes.
type hashes []tlog.Hash

func (s hashes) ReadHashes(indexes []int64) (found []tlog.Hash, err error) {
	for _, i := range indexes {
		found = append(found, s[i])
	}
	return found, nil
}

func treeOf(t testing.TB, leaves []tlog.Hash) (all hashes) {
	t.Helper()
	for i, leaf := range leaves {
		added, err := tlog.StoredHashesForRecordHash(int64(i), leaf, all)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, added...)
	}
	return all
}

// The hashes of the blocks, the head and the stored subtrees belong to the tree of RFC 6962 over
// the documented leaves. It does not matter in which batches the entries were written.
func TestTheTreeIsThatOfTheDocumentedLeaves(t *testing.T) {
	storetest.Each(t, testTheTreeIsThatOfTheDocumentedLeaves)
}

func testTheTreeIsThatOfTheDocumentedLeaves(t *testing.T, d storetest.Database) {
	j, db := open(t, d.Ready(t), journal.Options{})
	n := 0
	for _, batch := range []int{1, 3, 250, 1, 1, 513, 256, 260} {
		entries := make([]journal.Entry, batch)
		for i := range entries {
			n++
			switch n % 4 {
			case 0:
				entries[i] = push(fmt.Sprint("e", n))
			case 1:
				entries[i] = journal.Entry{Decision: decision(&policy.Principal{Name: fmt.Sprint("user", n%7)})}
			case 2:
				entries[i] = journal.Entry{Change: &journal.Change{Actor: "root", Action: "user.add", Target: fmt.Sprint(n)}}
			case 3:
				entries[i] = journal.Entry{Text: []byte("text")}
			}
		}
		var err error
		if batch == 3 {
			err = db.Write(t.Context(), "", func(tx *sql.Tx) error { return j.AppendTx(t.Context(), tx, entries...) })
		} else {
			err = j.Append(t.Context(), entries...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	leaves := leavesOf(t, db)
	all := treeOf(t, leaves)
	h := readHead(t, db)
	root, err := tlog.TreeHash(int64(len(leaves)), all)
	if err != nil || int64(len(leaves)) != h.next || !bytes.Equal(root[:], h.hash) {
		t.Errorf("%d leaves with the root %v, %v; the head has %d and %x", len(leaves), root, err, h.next, h.hash)
	}
	want := map[string]tlog.Hash{}
	for level := 8; 1<<level <= len(leaves); level++ {
		for number := range int64(len(leaves) >> level) {
			want[fmt.Sprint(level, number)] = all[tlog.StoredHashIndex(level, number)]
		}
	}
	rows, err := db.Read().Query("SELECT level, number, hash FROM journal_nodes")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := map[string]tlog.Hash{}
	for rows.Next() {
		var level, number int64
		var sum []byte
		if err := rows.Scan(&level, &number, &sum); err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprint(level, number)] = tlog.Hash(sum)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Error(diff)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Entries != int64(n) || v.Hash != root {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	for from := journal.Position(1); from < journal.Position(n); from += 37 {
		if v, err := j.Verify(t.Context(), from); err != nil || v.Last != journal.Position(n) || v.First > from || v.Hash != root {
			t.Errorf("Verify from %d: %+v, %v", from, v, err)
		}
	}
}

// oldJournal is a journal of an earlier version. Its blocks have format 1.
type oldJournal struct {
	Blocks []struct {
		First, Entries, Earliest, Latest int64
		Previous, Hash                   []byte
		Content                          string
	}
	Principals []struct {
		Number    int64
		Hash      []byte
		Principal string
	}
	Head struct {
		Next, Principal int64
		Hash            []byte
	}
	Entries []map[string]any
}

// withOld returns a new database with the old journal in it, after the migration.
func withOld(t testing.TB, d storetest.Database) (url string, o oldJournal) {
	t.Helper()
	text, err := os.ReadFile("testdata/format1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	url = d.Ready(t)
	_, db := open(t, url, journal.Options{})
	err = db.Write(t.Context(), "", func(tx *sql.Tx) error {
		for _, b := range o.Blocks {
			if _, err := tx.Exec("INSERT INTO journal_blocks (first, entries, earliest, latest, previous, hash, content) VALUES ($1, $2, $3, $4, $5, $6, $7)",
				b.First, b.Entries, b.Earliest, b.Latest, b.Previous, b.Hash, []byte(b.Content)); err != nil {
				return err
			}
		}
		for _, p := range o.Principals {
			if _, err := tx.Exec("INSERT INTO journal_principals (number, hash, principal) VALUES ($1, $2, $3)", p.Number, p.Hash, []byte(p.Principal)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("UPDATE journal_head SET next = $1, principal = $2, hash = $3", o.Head.Next, o.Head.Principal, o.Head.Hash); err != nil {
			return err
		}
		// Migration 14 executes the same statement.
		_, err := tx.Exec("UPDATE journal_head SET base = next - 1, chain = hash")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return url, o
}

func TestAnOldJournalIsReadSearchedVerifiedAndContinued(t *testing.T) {
	storetest.Each(t, testAnOldJournalIsReadSearchedVerifiedAndContinued)
}

func testAnOldJournalIsReadSearchedVerifiedAndContinued(t *testing.T, d storetest.Database) {
	url, o := withOld(t, d)
	j, db := open(t, url, journal.Options{})
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Entries != 6 || !bytes.Equal(v.Hash[:], o.Head.Hash) {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	entries := read(t, j, 0)
	var got []map[string]any
	for _, e := range entries {
		text, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var plain map[string]any
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatal(err)
		}
		got = append(got, plain)
	}
	if diff := cmp.Diff(o.Entries, got); diff != "" {
		t.Error(diff)
	}
	if err := j.Append(t.Context(), journal.Entry{Registry: "registry.example.com", Decision: decision(alice)}, push("e9")); err != nil {
		t.Fatal(err)
	}
	if found, err := j.Find(t.Context(), entries[1].ID); err != nil || found.Event.ID != "e1" {
		t.Errorf("Find: %v, %v", found, err)
	}
	page, err := j.Search(t.Context(), journal.Query{Who: &journal.Who{Subjects: []string{"user:alice"}}}, 0, 10, func(int) bool { return false })
	if err != nil || len(page.Entries) != 2 || page.Entries[0].Position != 7 || page.Entries[1].Position != 1 {
		t.Errorf("Search: %v, %v", page.Entries, err)
	}
	if diff := cmp.Diff(page.Entries[0].Decision, page.Entries[1].Decision, asKept, cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".Token"
	}, cmp.Ignore())); diff != "" {
		t.Errorf("the same decision in both formats: %s", diff)
	}
	for from, first := range map[journal.Position]journal.Position{0: 1, 5: 5, 6: 5, 7: 7, 8: 7} {
		if v, err := j.Verify(t.Context(), from); err != nil || v.First != first || v.Last != 8 {
			t.Errorf("Verify from %d: %+v, %v", from, v, err)
		}
	}
	if leaves := leavesOf(t, db); len(leaves) != 3 {
		t.Errorf("%d leaves, want one for the old blocks and one for each new entry", len(leaves))
	}
	for _, tt := range []struct {
		what   string
		tamper func(*sql.Tx) error
		block  journal.Position
		why    string
	}{
		{"the last old block was deleted", run(`DELETE FROM journal_blocks WHERE first = 5`), 5, "entries up to 6 are missing"},
		{"an old block was changed", edit("journal_blocks", "content", "first = 5", "mallory", "malory"), 5, "changed after"},
		{"the base was changed", run(`UPDATE journal_head SET base = base - 1`), 5, "not the block that the journal's head refers to"},
		{"the chain was changed", run(`UPDATE journal_head SET chain = hash`), 5, "not the block that the journal's head refers to"},
		{"old blocks were deleted by age", run(`DELETE FROM journal_blocks WHERE first < 5`), 0, ""},
		{"all old blocks were deleted by age", run(`DELETE FROM journal_blocks WHERE first < 7`), 0, ""},
	} {
		undone := errors.New("undone")
		err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
			if err := tt.tamper(tx); err != nil {
				return err
			}
			v, err := j.VerifyIn(t.Context(), tx)
			broken, _ := errors.AsType[*journal.BrokenError](err)
			switch {
			case tt.block == 0 && (err != nil || v.Last != 8):
				t.Errorf("%s: %+v, %v", tt.what, v, err)
			case tt.block != 0 && (broken == nil || broken.Block != tt.block || !strings.Contains(broken.Why, tt.why)):
				t.Errorf("%s: %v, want %q at %d", tt.what, err, tt.why, tt.block)
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
	}
}

// Verify finds any change of a stored byte. It does not check two values that prove nothing: the
// number of the next new principal, and the keys of repeated events.
func TestPropertyAnyChangedByteIsFound(t *testing.T) {
	storetest.Each(t, testPropertyAnyChangedByteIsFound)
}

func testPropertyAnyChangedByteIsFound(t *testing.T, d storetest.Database) {
	url, _ := withOld(t, d)
	j, db := open(t, url, journal.Options{})
	for i := range 60 {
		err := j.Append(t.Context(), push(fmt.Sprint("e", i)), journal.Entry{Decision: decision(&policy.Principal{Name: fmt.Sprint("user", i%5)})},
			journal.Entry{Text: []byte("text")}, journal.Entry{Decision: decision(nil)}, journal.Entry{Decision: decision(alice)})
		if err != nil {
			t.Fatal(err)
		}
	}
	type place struct{ table, column, key string }
	var places []place
	for table, of := range map[string]struct {
		columns []string
		key     string
	}{
		"journal_blocks":     {[]string{"first", "entries", "earliest", "latest", "previous", "hash", "content"}, "first"},
		"journal_principals": {[]string{"number", "hash", "principal"}, "number"},
		"journal_head":       {[]string{"next", "hash", "base", "chain", "frontier"}, "one"},
		"journal_nodes":      {[]string{"level", "number", "hash"}, "number"},
	} {
		keys := ints(t, db, "SELECT "+of.key+" FROM "+table)
		for _, key := range keys {
			for _, column := range of.columns {
				places = append(places, place{table, column, fmt.Sprintf("%s = %d", of.key, key)})
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SampledFrom(places).Draw(t, "place")
		undone := errors.New("undone")
		err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
			var value any
			if err := tx.QueryRow("SELECT " + at.column + " FROM " + at.table + " WHERE " + at.key).Scan(&value); err != nil {
				return err
			}
			switch v := value.(type) {
			case int64:
				value = v ^ 1<<rapid.IntRange(0, 62).Draw(t, "bit")
			case []byte:
				v = bytes.Clone(v)
				v[rapid.IntRange(0, len(v)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				value = v
			}
			if _, err := tx.Exec("UPDATE "+at.table+" SET "+at.column+" = $1 WHERE "+at.key, value); err != nil {
				return err
			}
			v, err := j.VerifyIn(t.Context(), tx)
			if err == nil {
				t.Errorf("not found: %+v", v)
			}
			return undone
		})
		if !errors.Is(err, undone) && !strings.Contains(err.Error(), "UNIQUE") && !strings.Contains(err.Error(), "unique") {
			t.Fatal(err)
		}
	})
}

func ints(t testing.TB, db *store.DB, query string) (all []int64) {
	t.Helper()
	rows, err := db.Read().Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// Personal data is only in the private part. If the private part is erased, the journal can still
// be verified.
func TestPersonalDataCanBeErased(t *testing.T) { storetest.Each(t, testPersonalDataCanBeErased) }

func testPersonalDataCanBeErased(t *testing.T, d storetest.Database) {
	j, db := open(t, d.Ready(t), journal.Options{})
	allowed := decision(alice)
	allowed.Remote, allowed.Client = netip.MustParseAddr("192.0.2.77"), "canary-client"
	refused := decision(nil)
	refused.Name, refused.Refused, refused.Results = "canary-name", "invalid credentials", nil
	event := push("e1")
	event.Event.Request = notification.Request{ID: "r1", Method: "PUT", Address: "192.0.2.77:1", Host: "canary-host", UserAgent: "canary-agent"}
	if err := j.Append(t.Context(), journal.Entry{Decision: allowed}, journal.Entry{Decision: refused}, event, journal.Entry{Text: []byte("canary-text")}, push("e2")); err != nil {
		t.Fatal(err)
	}
	want := read(t, j, 0)
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		var content []byte
		if err := tx.QueryRow("SELECT content FROM journal_blocks").Scan(&content); err != nil {
			return err
		}
		lines := strings.Split(string(content), "\n")
		for i, line := range lines[1:] {
			parts := strings.Split(line, "\t")
			if len(parts) != 3 || parts[2] == "" {
				continue
			}
			if !strings.HasPrefix(parts[2], `{"salt":"`) {
				t.Errorf("the private part has no salt: %s", parts[2])
			}
			sum := sha256.Sum256([]byte(parts[2]))
			lines[1+i] = parts[0] + "\t" + parts[1] + "\t#" + base64.RawURLEncoding.EncodeToString(sum[:])
		}
		erased := strings.Join(lines, "\n")
		for _, personal := range []string{"canary", "192.0.2.77", base64.StdEncoding.EncodeToString([]byte("canary-text"))} {
			if strings.Contains(erased, personal) {
				t.Errorf("%s is still in %s", personal, erased)
			}
		}
		_, err := tx.Exec("UPDATE journal_blocks SET content = $1", []byte(erased))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Erased != 4 || v.Entries != 5 {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	want[0].Decision.Remote, want[0].Decision.Client = netip.Addr{}, ""
	want[1].Decision.Remote, want[1].Decision.Client, want[1].Decision.Name = netip.Addr{}, "", ""
	want[2].Event.Request = notification.Request{ID: "r1", Method: "PUT"}
	want[3].Text = nil
	if diff := cmp.Diff(want, read(t, j, 0), asKept); diff != "" {
		t.Error(diff)
	}
}

// Retention removes entries, but the hashes of their subtrees stay. Within a group, the hashes are
// in the block. For whole groups, they are in the table of stored subtrees.
func TestAJournalWithRemovedEntriesIsReadAndVerified(t *testing.T) {
	storetest.Each(t, testAJournalWithRemovedEntriesIsReadAndVerified)
}

func testAJournalWithRemovedEntriesIsReadAndVerified(t *testing.T, d storetest.Database) {
	j, db := open(t, d.Ready(t), journal.Options{})
	// leaf 0 and the entries fill three groups; ten entries begin a fourth group
	for _, batch := range []int{255, 256, 256, 10} {
		entries := make([]journal.Entry, batch)
		for i := range entries {
			entries[i] = journal.Entry{Text: []byte("x")}
		}
		if err := j.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	all := treeOf(t, leavesOf(t, db))
	verified := func(what string, removed, entries int64) {
		t.Helper()
		if v, err := j.Verify(t.Context(), 0); err != nil || v.Removed != removed || v.Entries != entries || v.Last != 777 {
			t.Errorf("%s: %+v, %v", what, v, err)
		}
		if n := len(read(t, j, 0)); n != int(entries) {
			t.Errorf("%s: %d entries are read, want %d", what, n, entries)
		}
		page, err := j.Search(t.Context(), journal.Query{}, 0, 1000, func(int) bool { return false })
		if err != nil || len(page.Entries) != int(entries) {
			t.Errorf("%s: %d entries are found, want %d, %v", what, len(page.Entries), entries, err)
		}
	}
	verified("nothing is removed", 0, 777)
	// Remove the entries 513 to 515 and 520 to 527 of the third group. Leaf 512 is entry 512.
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		var content []byte
		if err := tx.QueryRow("SELECT content FROM journal_blocks WHERE first = 512").Scan(&content); err != nil {
			return err
		}
		lines := strings.SplitAfter(string(content), "\n")
		kept := []string{lines[0], lines[1]}
		for _, at := range [][2]int{{0, 513}, {1, 514}} {
			h := all[tlog.StoredHashIndex(at[0], int64(at[1]>>at[0]))]
			kept = append(kept, fmt.Sprintf("~%d %s\n", at[0], base64.RawURLEncoding.EncodeToString(h[:])))
		}
		kept = append(kept, lines[1+516-512:1+520-512]...)
		h := all[tlog.StoredHashIndex(3, 520>>3)]
		kept = append(kept, fmt.Sprintf("~3 %s\n", base64.RawURLEncoding.EncodeToString(h[:])))
		kept = append(kept, lines[1+528-512:]...)
		_, err := tx.Exec("UPDATE journal_blocks SET content = $1 WHERE first = 512", []byte(strings.Join(kept, "")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Verify(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "11 entries are missing, but only 0 were removed because of the limits") {
		t.Errorf("Verify although no entry reports the removed entries: %v", err)
	}
	if err := db.Write(t.Context(), "", run("INSERT INTO journal_removed (kind, position, unreported, total) VALUES ('event', 0, 600, 600)")); err != nil {
		t.Fatal(err)
	}
	verified("eleven entries of a group are removed", 11, 766)
	if v, err := j.Verify(t.Context(), 770); err != nil || v.First != 768 || v.Removed != 0 {
		t.Errorf("Verify from a later block: %+v, %v", v, err)
	}
	for _, first := range []int64{256, 1} {
		if err := db.Write(t.Context(), "", run(fmt.Sprintf("DELETE FROM journal_blocks WHERE first = %d", first))); err != nil {
			t.Fatal(err)
		}
		verified(fmt.Sprintf("the group from %d is removed", first), 11+512-first, 766-512+first)
	}
	if err := db.Write(t.Context(), "", run("DELETE FROM journal_nodes WHERE level = 8 AND number = 1")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Verify(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "position 256: the entries up to 511 are missing") {
		t.Errorf("without the stored subtree: %v", err)
	}
}
