package api_test

import (
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// An export ends with a signed checkpoint that covers all exported entries. This also holds if no
// checkpoint was signed after the newest of these entries.
func TestAnExportEndsWithACheckpoint(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("carol", "tidewaiter-auditors")
	_, secret := h.createToken("carol", "t")
	key, err := notekey.New("r.example.com/journal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.ClaimKey(t.Context(), h.db, key.Public(), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	h.server.Checkpoints = checkpoint.New(checkpoint.Options{
		DB: h.db, Tree: h.journal.Tree, Signer: key, Key: key.Public(), Now: h.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
	check := func(what, signed, covers, exported string) {
		t.Helper()
		c, _, err := tree.OpenCheckpoint([]byte(signed), verifier)
		last, parseErr := strconv.ParseInt(exported, 10, 64)
		if err != nil || parseErr != nil || c.Size <= last || strconv.FormatInt(c.Size-1, 10) != covers {
			t.Errorf("%s of entries up to %s ends with a checkpoint of %d leaves (%v) that covers %s", what, exported, c.Size, err, covers)
		}
	}
	for range 3 {
		if err := h.journal.Append(t.Context(), journal.Entry{Time: h.clock.Now(), Text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(h.requireStatus(200, bearer(secret), "GET", "/journal", nil, header("Accept", "text/csv")).Body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		last := rows[len(rows)-1]
		if last[3] != "checkpoint" {
			t.Fatalf("the last row is %q", last)
		}
		check("CSV", strings.ReplaceAll(last[len(last)-1], `\n`, "\n"), last[0], rows[1][0])

		if err := h.journal.Append(t.Context(), journal.Entry{Time: h.clock.Now(), Text: []byte("y")}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(h.requireStatus(200, bearer(secret), "GET", "/journal?after=0", nil, header("Accept", "application/jsonl")).Body), "\n")
		var newest struct{ Position int64 }
		var end struct {
			Checkpoint string
			Covers     int64
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-2]), &newest); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
			t.Fatal(err)
		}
		check("JSON lines", end.Checkpoint, strconv.FormatInt(end.Covers, 10), strconv.FormatInt(newest.Position, 10))
	}
}
