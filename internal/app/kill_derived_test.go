package app_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/search"
)

// checkpointsIn removes the published checkpoints from the printed lines, and returns them.
func checkpointsIn(t *testing.T, lines map[string]bool) (published []string) {
	t.Helper()
	for line := range lines {
		text, ok := strings.CutPrefix(line, "checkpoint ")
		if !ok {
			continue
		}
		delete(lines, line)
		signed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		published = append(published, string(signed))
	}
	if len(published) < *kills {
		t.Errorf("only %d checkpoints were published", len(published))
	}
	return published
}

// consistentWith proves that the journal still begins with the tree of each checkpoint. A few
// checkpoints end among entries that retention has removed. For these checkpoints, there is no
// proof.
func consistentWith(t *testing.T, a *app.App, published []string) {
	t.Helper()
	h := a.Handler()
	a.SignCheckpoint(t.Context())
	last := do(h, "GET", "/journal/checkpoint", "").Body.Bytes()
	key, err := note.NewVerifier(strings.TrimSpace(do(h, "GET", "/journal/key", "").Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	unprovable := 0
	for _, old := range published {
		proof, err := a.Journal().ProveConsistency(t.Context(), last, []byte(old))
		if reason, ok := errors.AsType[*tree.NotProvableError](err); ok && strings.Contains(reason.Error(), "that retention has removed") {
			unprovable++
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", old, err)
		}
		text, err := json.Marshal(proof)
		if err == nil {
			_, err = tree.Check(text, key)
		}
		if err != nil {
			t.Errorf("the checkpoint %s: %v", old, err)
		}
	}
	if unprovable > len(published)/4 {
		t.Errorf("%d of %d checkpoints cannot be compared", unprovable, len(published))
	}
}

// sameAfterRebuild builds the projections anew, and compares the tables before and after the
// rebuild. Retention may have removed entries that are still indexed. So it compares only those
// parts of the search index that are about entries in the journal.
func sameAfterRebuild(t *testing.T, a *app.App) {
	t.Helper()
	if err := a.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored := make(map[journal.Position]bool)
	for e, err := range a.Journal().Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		stored[e.Position] = true
	}
	before := derivedRows(t, a, stored)
	if err := a.Projections().Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := derivedRows(t, a, stored)
	for _, table := range slices.Sorted(maps.Keys(before)) {
		if len(before[table]) == 0 && (table == "search_terms" || strings.HasPrefix(table, "catalog_") && table != "catalog_blobs") {
			t.Errorf("%s is empty", table)
		}
		for _, of := range []struct {
			what         string
			these, those map[string]bool
		}{{"only before the rebuild", before[table], after[table]}, {"only after the rebuild", after[table], before[table]}} {
			n := 0
			for row := range of.these {
				if !of.those[row] {
					if n++; n <= 3 {
						t.Errorf("%s: %s is there %s", table, row, of.what)
					}
				}
			}
			if n > 3 {
				t.Errorf("%s: %d rows are there %s", table, n, of.what)
			}
		}
	}
}

// derivedRows returns the rows of all tables of the projections as texts.
func derivedRows(t *testing.T, a *app.App, stored map[journal.Position]bool) map[string]map[string]bool {
	t.Helper()
	all := make(map[string]map[string]bool)
	for _, d := range []*projection.Definition{search.Projection(username.Login), catalog.Projection()} {
		v, err := a.Projections().View(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		all[d.Name] = map[string]bool{fmt.Sprint(v.Position, v.Last, v.Entry): true}
		for _, table := range d.Tables {
			rows := make(map[string]bool)
			if err := eachRow(t.Context(), v.Tx.Tx, table, func(row []any) { addRow(rows, table, row, stored) }); err != nil {
				t.Fatal(err)
			}
			all[table] = rows
		}
		v.Close()
	}
	return all
}

// addRow adds the text of a row. A row of the search index is split into one text for each entry.
func addRow(rows map[string]bool, table string, row []any, stored map[journal.Position]bool) {
	const groupBits, termBits, group = 10, 36, 256 // see package search
	switch table {
	case "search_terms":
		key, places := row[0].(int64), row[1].([]byte)
		first := (key>>(groupBits+termBits)<<groupBits | key&(1<<groupBits-1)) * group
		for _, place := range placesIn(places) {
			if at := journal.Position(first + int64(place)); stored[at] {
				rows[fmt.Sprint(key, " at ", at)] = true
			}
		}
	case "search_times":
		// If some entries of a group were removed, the times of the group can include the times of
		// the removed entries.
		if number := row[0].(int64); number >= 0 {
			for at := journal.Position(number * group); at < journal.Position((number+1)*group); at++ {
				if at > 0 && !stored[at] {
					return
				}
			}
			rows[fmt.Sprint(row...)] = true
		}
	case "catalog_key":
		rows["a key"] = true // the key is random, and each rebuild creates a new key
	default:
		rows[fmt.Sprintf("%v", row)] = true
	}
}

// placesIn decodes a row of the search index, and returns the places in its group. The row has one
// byte for each place, or a set of 256 bits.
func placesIn(places []byte) (list []int) {
	if len(places) < 32 {
		for _, place := range places {
			list = append(list, int(place))
		}
		return list
	}
	for i := range 256 {
		if places[i/8]>>(i%8)&1 == 1 {
			list = append(list, i)
		}
	}
	return list
}

func eachRow(ctx context.Context, tx *sql.Tx, table string, visit func(row []any)) error {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		row, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			places[i] = &row[i]
		}
		if err := rows.Scan(places...); err != nil {
			return err
		}
		visit(row)
	}
	return rows.Err()
}
