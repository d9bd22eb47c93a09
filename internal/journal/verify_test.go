package journal_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// run returns a function that executes statements.
func run(statements string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec(statements)
		return err
	}
}

// edit returns a function that replaces an old text by a new text in a column of a row.
func edit(table, column, where, old, replacement string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		var content []byte
		if err := tx.QueryRow("SELECT " + column + " FROM " + table + " WHERE " + where).Scan(&content); err != nil {
			return err
		}
		content = bytes.ReplaceAll(content, []byte(old), []byte(replacement))
		_, err := tx.Exec("UPDATE "+table+" SET "+column+" = $1 WHERE "+where, content)
		return err
	}
}

func TestVerifyFindsTheFirstBrokenBlock(t *testing.T) {
	storetest.Each(t, testVerifyFindsTheFirstBrokenBlock)
}

func testVerifyFindsTheFirstBrokenBlock(t *testing.T, d storetest.Database) {
	for _, tt := range []struct {
		what   string
		tamper func(*sql.Tx) error
		block  journal.Position
		why    string
	}{
		{"nothing was changed", run(``), 0, ""},
		{"a decision was changed", edit("journal_blocks", "content", "first = 5", "team/app", "team/own"),
			5, "changed after it was written"},
		{"a time was changed", run(`UPDATE journal_blocks SET latest = latest + 1 WHERE first = 3`), 3, "changed after it was written"},
		{"a hash was changed", run(`UPDATE journal_blocks SET hash = previous WHERE first = 3`), 3, "changed after it was written"},
		{"a block was deleted", run(`DELETE FROM journal_blocks WHERE first = 3`), 3, "entries up to 4 are missing"},
		{"the last block was deleted", run(`DELETE FROM journal_blocks WHERE first = 9`), 9, "entries up to 10 are missing"},
		{"the last blocks and the head were cut", run(`DELETE FROM journal_blocks WHERE first = 9; UPDATE journal_head SET next = 9`), 7, "not the block that the journal's head refers to"},
		{"all blocks were deleted", run(`DELETE FROM journal_blocks`), 1, "entries up to 10 are missing"},
		{"a block was added", run(`INSERT INTO journal_blocks SELECT 6, 1, earliest, latest, previous, hash, content FROM journal_blocks WHERE first = 1`), 5, "overlaps"},
		{"a block was added at the end", run(`INSERT INTO journal_blocks SELECT 12, 1, earliest, latest, previous, hash, content FROM journal_blocks WHERE first = 1`), 12, "begins after"},
		{"the head was cut", run(`UPDATE journal_head SET next = 10`), 9, "not the block that the journal's head refers to"},
		{"two blocks changed places", run(`UPDATE journal_blocks SET first = 100 WHERE first = 3; UPDATE journal_blocks SET first = 3 WHERE first = 5; UPDATE journal_blocks SET first = 5 WHERE first = 100`),
			3, "does not follow"},
		{"a principal was changed", edit("journal_principals", "principal", "number = 2", "user2", "root2"),
			5, "principal 2 is not the original one"},
		{"a principal was deleted", run(`DELETE FROM journal_principals WHERE number = 4`), 9, "principal 4 is missing"},
		{"the first blocks were deleted", run(`DELETE FROM journal_blocks WHERE first < 5`), 1, "entries up to 4 are missing"},
		{"an entry refers to another principal", edit("journal_blocks", "content", "first = 5", "\n0,0\t", "\n-,0\t"), 5, "changed after it was written"},
		{"a rule was changed", edit("journal_blocks", "content", "first = 5", `"line":14`, `"line":15`), 5, "changed after it was written"},
		{"the first line was changed", edit("journal_blocks", "content", "first = 5", `{"form"`, `{ "form"`), 5, "first line was changed"},
		{"the first line has an additional rule", edit("journal_blocks", "content", "first = 5", `"rules":[`, `"rules":[{"name":"x"},`), 5, "changed after it was written"},
		{"an index is written as 00", edit("journal_blocks", "content", "first = 5", "\n0,0\t", "\n0,00\t"), 5, "not an index"},
		{"an address was changed", edit("journal_blocks", "content", "first = 5", "10.1.2.3", "10.1.2.4"), 5, "changed after it was written"},
		{"a part is missing", edit("journal_blocks", "content", "first = 5", "\n0,0\t", "\n0,0 "), 5, "three parts"},
		{"a block has another format", edit("journal_blocks", "content", "first = 5", `"form":2`, `"form":1`), 5, "format differs"},
		{"the frontier was changed", run(`UPDATE journal_head SET frontier = hash`), 9, "not the block that the journal's head refers to"},
		{"the base was changed", run(`UPDATE journal_head SET base = base + 1`), 1, "changed after it was written"},
		{"the chain was changed", run(`UPDATE journal_head SET chain = hash`), 1, "does not follow"},
	} {
		j, db := open(t, d.Ready(t), journal.Options{})
		for i := range 5 {
			who := *alice
			who.Name = fmt.Sprint("user", i)
			who.Claims = nil
			entry := journal.Entry{Decision: decision(&who)}
			if i == 0 {
				entry = push("e0")
			}
			if err := j.Append(t.Context(), entry, journal.Entry{Text: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Write(t.Context(), "", tt.tamper); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		v, err := j.Verify(t.Context(), 0)
		var broken *journal.BrokenError
		switch {
		case tt.block == 0 && (err != nil || v.Last != 10):
			t.Errorf("%s: %+v, %v", tt.what, v, err)
		case tt.block != 0 && !errors.As(err, &broken):
			t.Errorf("%s: %v, want a broken block", tt.what, err)
		case tt.block != 0 && (broken.Block != tt.block || !regexp.MustCompile(tt.why).MatchString(broken.Why)):
			t.Errorf("%s: %v, want %q at %d", tt.what, err, tt.why, tt.block)
		}
	}
}

func TestVerifyFromTheMiddle(t *testing.T) { storetest.Each(t, testVerifyFromTheMiddle) }

func testVerifyFromTheMiddle(t *testing.T, d storetest.Database) {
	j, db := open(t, d.Ready(t), journal.Options{})
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Blocks != 0 {
		t.Errorf("an empty journal: %+v, %v", v, err)
	}
	for i := range 5 {
		if err := j.Append(t.Context(), push(fmt.Sprint("a", i)), push(fmt.Sprint("b", i))); err != nil {
			t.Fatal(err)
		}
	}
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE journal_blocks SET earliest = 0 WHERE first = 1")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := j.Verify(t.Context(), 6); err != nil || v.First != 5 || v.Last != 10 || v.Blocks != 3 || v.Entries != 6 {
		t.Errorf("from position 6: %+v, %v", v, err)
	}
	if v, err := j.Verify(t.Context(), 11); err != nil || v.Blocks != 0 {
		t.Errorf("from the end: %+v, %v", v, err)
	}
	if _, err := j.Verify(t.Context(), 2); err == nil {
		t.Error("the broken block was not checked")
	}
}

// Moving a byte from one column to the next changes the hash.
func TestTheHashSeparatesItsParts(t *testing.T) {
	zero := make([]byte, 32)
	base := journal.SumOf(1, 2, 3, 4, zero, []byte("content"))
	for what, other := range map[string][32]byte{
		"first":    journal.SumOf(2, 2, 3, 4, zero, []byte("content")),
		"entries":  journal.SumOf(1, 3, 3, 4, zero, []byte("content")),
		"earliest": journal.SumOf(1, 2, 4, 4, zero, []byte("content")),
		"latest":   journal.SumOf(1, 2, 3, 5, zero, []byte("content")),
		"previous": journal.SumOf(1, 2, 3, 4, bytes.Repeat([]byte{1}, 32), []byte("content")),
		"content":  journal.SumOf(1, 2, 3, 4, zero, []byte("content\x00")),
	} {
		if other == base {
			t.Errorf("the hash does not cover %s", what)
		}
	}
}

func TestABlockThatCannotBeReadIsAnError(t *testing.T) {
	storetest.Each(t, testABlockThatCannotBeReadIsAnError)
}

func testABlockThatCannotBeReadIsAnError(t *testing.T, d storetest.Database) {
	for _, content := range []string{
		"", "\n", "{}\n{}\n", "x", `{"form":2}` + "\n-\t{}\n", `{"form":2}` + "\n1\t{}\t\n", `{"form":2}` + "\n-,0\t{}\t\n", `{"form":2}` + "\n-\t{}\t{\n",
		`{"form":2}` + "\n~0 AA\n", `{"form":2}` + "\n~1 " + strings.Repeat("A", 43) + "\n", `{"form":3}` + "\n{}\n", `{"form":2}` + "\n{}\n", `{"form":1}` + "\nnonsense\n", `{"form":1}` + "\n{}\n{}\n",
		`{"form":1,"principals":[{"number":1,"sha256":"AA"}]}` + "\n{}\n",
		`{"form":1}` + "\n" + `{"id":"0198c1f2-7a3b-7c4d-8e5f-60718293a4b5","decision":{"principal":0}}` + "\n",
		`{"form":1}` + "\n" + `{"id":"0198c1f2-7a3b-7c4d-8e5f-60718293a4b5","decision":{"principal":-1}}` + "\n",
		`{"form":1}` + "\n" + `{"id":"0198c1f2-7a3b-7c4d-8e5f-60718293a4b5","decision":{"results":[{"causes":[{"rule":0}]}]}}` + "\n",
		`{"form":1}` + "\n" + `{"id":"short"}` + "\n",
	} {
		j, db := open(t, d.Ready(t), journal.Options{})
		if err := j.Append(t.Context(), push("e1")); err != nil {
			t.Fatal(err)
		}
		err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec("UPDATE journal_blocks SET content = $1", []byte(content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var failed error
		for entry, err := range j.Read(t.Context(), 0) {
			failed = err
			if err == nil {
				t.Errorf("%q was read as %s", content, entry.Summary())
			}
		}
		if failed == nil {
			t.Errorf("%q was skipped", content)
		}
	}
}
