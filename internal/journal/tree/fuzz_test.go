package tree_test

import (
	"encoding/json"
	"math"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

// A thief of a journal's key can sign any numbers. A proof with such numbers must fail at once:
// it must not panic, and must not keep a witness or an auditor busy.
func FuzzProofsWithAnyNumbers(f *testing.F) {
	const name = "auth.example.com/journal"
	private, public := testKey(f, name)
	for _, size := range []int64{0, 1, 2, 255, 1 << 60, 1<<62 + 1, math.MaxInt64, -1, math.MinInt64} {
		for _, old := range []int64{1, 3, size - 1, size} {
			f.Add(size, old, old, make([]byte, 2*tlog.HashSize), "{}")
			f.Add(size, old, size-1, make([]byte, 70*tlog.HashSize), "")
		}
	}
	f.Fuzz(func(t *testing.T, size, old, leaf int64, path []byte, text string) {
		var hashes []tree.Hash
		for ; len(path) >= tlog.HashSize; path = path[tlog.HashSize:] {
			hashes = append(hashes, tree.Hash(path))
		}
		signed := func(size int64) string {
			s, err := tree.Checkpoint{Origin: name, Size: size, Root: tree.Hash{1}}.Sign(private)
			if err != nil {
				t.Fatal(err)
			}
			return string(s)
		}
		for _, p := range []tree.Proof{
			{Format: tree.ConsistencyFormat, Checkpoint: signed(size), Old: signed(old), Hashes: hashes},
			{Format: tree.EntriesFormat, Checkpoint: signed(size), Entries: []tree.Entry{{Leaf: leaf, Public: text, Path: hashes}}},
		} {
			proof, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			proven, err := tree.Check(proof, public)
			// No known tree has this root, so the only valid proof is that a tree begins with
			// itself.
			if err == nil && (size != old || len(proven.Entries) > 0) {
				t.Errorf("%s holds: %+v", proof, proven)
			}
		}
	})
}

// Check accepts or rejects any text, but never panics.
func FuzzProofTexts(f *testing.F) {
	_, public := testKey(f, "auth.example.com/journal")
	for _, text := range []string{"", "{", "{}", "null", "[]", `{"format":"tidewaiter journal entries 1","entries":[{"leaf":1e9,"path":null}],"checkpoint":"a\n1\n"}`, `{"entries":{}}`, `{"hashes":["AA"]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if proven, err := tree.Check(text, public); err == nil {
			t.Errorf("%q holds: %+v", text, proven)
		}
	})
}

func testKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(zeros{}, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// zeros is a source of randomness that gives the same key each time.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
