package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Merging changes no proof. Retention changes no proof of a remaining entry, whether or not other
// entries of its group were removed.
func TestProofsOfMergedAndRemovedEntries(t *testing.T) {
	storetest.Each(t, testProofsOfMergedAndRemovedEntries)
}

func testProofsOfMergedAndRemovedEntries(t *testing.T, d storetest.Database) {
	c := clocktest.New(noon)
	j, db := open(t, d.Ready(t), journal.Options{Now: c.Now})
	signer, key := claimedKey(t, db)
	// Leaf n is position n. The first group has events only. The others have changes, too.
	stored := make(map[int64][]byte) // checkpoints by size
	for n := 1; n < 700; n++ {
		e := push(fmt.Sprint("e", n))
		if n > 256 && n%50 == 0 {
			e = journal.Entry{Change: &journal.Change{Actor: "root", Action: "test", Target: fmt.Sprint(n)}}
		}
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		c.Pass(time.Second)
		switch n + 1 {
		case 100, 256, 257, 301, 511, 512, 600:
			stored[int64(n+1)] = sign(t, j, signer)
		}
	}
	last := sign(t, j, signer)
	before := proofsOf(t, j, last, key, 700)
	if len(before) != 69 {
		t.Fatalf("%d proofs", len(before))
	}
	c.Pass(time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{})) // merge
	if diff := differ(before, proofsOf(t, j, last, key, 700)); diff != "" {
		t.Errorf("after merging: %s", diff)
	}
	checkConsistency(t, "after merging", j, last, stored, key)

	c.Pass(100 * 24 * time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 90 * 24 * time.Hour}}))
	after := proofsOf(t, j, last, key, 700)
	if n := len(after); n < 8 || n > 20 {
		t.Errorf("%d entries are left", n)
	}
	for position, text := range after {
		if before[position] != text {
			t.Errorf("after removal, the proof of entry %d is\n%s\nand before\n%s", position, text, before[position])
		}
	}
	// The entries around the ends of three checkpoints are removed.
	checkConsistency(t, "after removal", j, last, stored, key, 100, 257, 511)
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Removed < 400 {
		t.Errorf("%+v, %v", v, err)
	}
}

// proofsOf returns the proofs of those entries that can be proved. A proof reads a whole group, so
// proofsOf tries only every tenth entry. These entries include all changes.
func proofsOf(t *testing.T, j *journal.Journal, signed []byte, key note.Verifier, to journal.Position) map[journal.Position]string {
	t.Helper()
	all := make(map[journal.Position]string)
	for position := journal.Position(10); position < to; position += 10 {
		proof, err := j.Prove(t.Context(), signed, true, position)
		if _, gone := errors.AsType[*tree.NotProvableError](err); gone {
			if !strings.Contains(err.Error(), "no longer stored") {
				t.Fatal(err)
			}
			continue
		}
		text := textOf(t, proof, err)
		if _, err := tree.Check(text, key); err != nil {
			t.Fatalf("entry %d: %v", position, err)
		}
		all[position] = string(text)
	}
	return all
}

func differ(a, b map[journal.Position]string) string {
	for position := range a {
		if a[position] != b[position] {
			return fmt.Sprintf("entry %d: %s\n%s", position, a[position], b[position])
		}
	}
	return ""
}

// checkConsistency checks that each stored checkpoint has a proof. The proof shows that the tree
// of the last checkpoint begins with the tree of the stored checkpoint. Checkpoints of the given
// sizes must not have a proof.
func checkConsistency(t *testing.T, when string, j *journal.Journal, last []byte, stored map[int64][]byte, key note.Verifier, withoutProof ...int64) {
	t.Helper()
	for size, old := range stored {
		proof, err := j.ProveConsistency(t.Context(), last, old)
		if slices.Contains(withoutProof, size) {
			if _, ok := errors.AsType[*tree.NotProvableError](err); !ok || !strings.Contains(err.Error(), "ends among entries that retention has removed") {
				t.Errorf("%s: the checkpoint of %d leaves: %v", when, size, err)
			}
			continue
		}
		if _, err := tree.Check(textOf(t, proof, err), key); err != nil {
			t.Errorf("%s: the checkpoint of %d leaves: %v", when, size, err)
		}
	}
}
