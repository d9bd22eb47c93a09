package journal_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
	"github.com/tidewaiter/tidewaiter/internal/notekey/notekeytest"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
)

func textOf(t testing.TB, proof *tree.Proof, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(proof)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ciJob is the principal of a CI job, with the claims that GitHub sends.
var ciJob = &policy.Principal{
	Kind: policy.Workload, Name: "repo:example/app:ref:refs/heads/main", Source: "oidc:github", ID: "repo:example/app:ref:refs/heads/main",
	Claims: map[string]any{
		"repository": "example/app", "repository_id": "123456789", "repository_owner": "example", "ref": "refs/heads/main", "sha": strings.Repeat("ab", 20),
		"workflow": "release", "run_id": "12345678901", "run_number": "42", "run_attempt": "1", "actor": "alice", "event_name": "push",
		"job_workflow_ref": "example/app/.github/workflows/release.yml@refs/heads/main", "environment": "production", "runner_environment": "github-hosted",
	},
}

func pushByCI(id string) journal.Entry {
	e := push(id)
	e.Event.Actor, e.Event.Digest, e.Event.Size = ciJob.Name, "sha256:"+strings.Repeat("1b2c", 16), 1234
	e.Event.MediaType, e.Event.URL = "application/vnd.oci.image.manifest.v1+json", "https://registry.example.com/v2/team/app/manifests/sha256:"+strings.Repeat("1b2c", 16)
	e.Event.References = []notification.Descriptor{{MediaType: "application/vnd.oci.image.config.v1+json", Digest: "sha256:" + strings.Repeat("3d4e", 16), Size: 7}}
	e.Event.Request = notification.Request{ID: "0198c1f2-7a3b-7c4d-8e5f-60718293a4b5", Method: "PUT", Address: "192.0.2.77:4711", Host: "registry.example.com", UserAgent: "docker/28.2.2 go/go1.24.3 git-commit/45873be kernel/6.8.0-1021-azure os/linux arch/amd64"}
	return e
}

func TestAProofStandsAlone(t *testing.T) { storetest.Each(t, testAProofStandsAlone) }

func testAProofStandsAlone(t *testing.T, d storetest.Database) {
	url, _ := withOld(t, d)
	j, db := open(t, url, journal.Options{})
	signer, key := notekeytest.New(t)
	allowed := decision(ciJob)
	allowed.Remote = netip.MustParseAddr("192.0.2.77")
	refused := decision(nil)
	refused.Name, refused.Refused, refused.Results = "canary-name", "invalid credentials", nil
	for _, e := range []journal.Entry{{Registry: "registry.example.com", Decision: allowed}, pushByCI("e9"), {Decision: refused}, {Text: []byte("canary-text")}} {
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Prove(t.Context(), nil, true, 7); err == nil || !strings.Contains(err.Error(), "no signed checkpoint yet") {
		t.Errorf("without a checkpoint: %v", err)
	}
	signed := sign(t, j, signer)
	want := read(t, j, 6)
	for i := range want {
		want[i].Position -= 6 // the leaf
	}
	text := proof(t)(j.Prove(t.Context(), signed, true, 8, 7))
	if len(text) > 4096 {
		t.Errorf("a proof of an event and its decision has %d bytes:\n%s", len(text), text)
	}
	proven, err := tree.Check(text, key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]journal.Entry{want[1], want[0]}, entriesOf(t, proven), asKept); diff != "" {
		t.Error(diff)
	}
	if proven.Checkpoint.Size != 5 || proven.Checkpoint.Origin != "auth.example.com/journal" || len(proven.Note.Sigs) != 1 {
		t.Errorf("%+v", proven)
	}
	for i := range want {
		text := proof(t)(j.Prove(t.Context(), signed, false, want[i].Position+6))
		if strings.Contains(string(text), "canary") || strings.Contains(string(text), "192.0.2.77") {
			t.Errorf("a proof without personal data contains personal data: %s", text)
		}
		proven, err := tree.Check(text, key)
		if err != nil || entriesOf(t, proven)[0].ID != want[i].ID {
			t.Errorf("%+v, %v", proven, err)
		}
	}
	_, otherKey := notekeytest.New(t)
	if _, err := tree.Check(text, otherKey); err == nil {
		t.Error("a proof was accepted with the wrong key")
	}
	if err := j.Append(t.Context(), push("e10")); err != nil {
		t.Fatal(err)
	}
	for position, why := range map[journal.Position]string{6: "before the journal had a tree", 11: "no signed checkpoint covers entry 11 yet"} {
		var notProvable *tree.NotProvableError
		if _, err := j.Prove(t.Context(), signed, true, position); !errors.As(err, &notProvable) || !strings.Contains(err.Error(), why) {
			t.Errorf("entry %d: %v, want %q", position, err, why)
		}
	}
	// A changed principal in the same row is detected.
	if err := db.Write(t.Context(), "", edit("journal_principals", "principal", "number = 2", "example", "elpmaxe")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Prove(t.Context(), signed, true, 7); err == nil {
		t.Error("an entry was proved although its principal was changed")
	}
}

// proof returns a function that returns the text of a proof.
func proof(t testing.TB) func(*tree.Proof, error) []byte {
	return func(p *tree.Proof, err error) []byte { return textOf(t, p, err) }
}

// sign returns the signed checkpoint of the journal.
func sign(t testing.TB, j *journal.Journal, key note.Signer) []byte {
	t.Helper()
	f, err := j.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := tree.Checkpoint{Origin: key.Name(), Size: f.Size(), Root: f.Root()}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func entriesOf(t testing.TB, p *tree.Proven) []journal.Entry {
	t.Helper()
	entries := make([]journal.Entry, len(p.Entries))
	for i := range entries {
		if err := entries[i].Decode(p.Entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	return entries
}

// Every entry can be proved in the tree of every size. Every tree begins with each smaller tree.
func TestProofsOfEveryEntryAtEverySize(t *testing.T) {
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{})
	for n := 1; n < 300; n += n/3 + 1 {
		entries := make([]journal.Entry, n/3+1)
		for i := range entries {
			entries[i] = push(fmt.Sprint("e", n+i))
		}
		if err := j.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	leaves := leavesOf(t, db)
	all := treeOf(t, leaves)
	roots := make([]tlog.Hash, len(leaves)+1)
	for size := range roots {
		roots[size], _ = tlog.TreeHash(int64(size), all)
	}
	r, err := j.TreeReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(1); size < int64(len(roots)); size++ {
		for leaf := range size {
			path, err := tlog.ProveRecord(size, leaf, r)
			if err == nil {
				err = tlog.CheckRecord(path, size, roots[size], leaf, leaves[leaf])
			}
			if err != nil {
				t.Fatalf("leaf %d of %d: %v", leaf, size, err)
			}
		}
		for old := int64(1); old <= size; old++ {
			hashes, err := tlog.ProveTree(size, old, r)
			if err == nil {
				err = tlog.CheckTree(hashes, size, roots[size], old, roots[old])
			}
			if err != nil {
				t.Fatalf("%d leaves begin with %d: %v", size, old, err)
			}
		}
	}
}

// Among ten million entries, the proof of one entry has at most 4 kB, as the command line writes
// it. The entry is a push by a CI job with the claims that GitHub sends, or the decision that
// allowed the push.
func TestAProofIsSmall(t *testing.T) {
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{})
	signer, _ := notekeytest.New(t)
	allowed := decision(ciJob)
	allowed.Remote, allowed.Client = netip.MustParseAddr("2001:db8:1234:5678:9abc:def0:1234:5678"), pushByCI("").Event.Request.UserAgent
	if err := j.Append(t.Context(), journal.Entry{Registry: "registry.example.com", Decision: allowed}, pushByCI("0198c1f2-7a3b-7c4d-8e5f-60718293a4b5")); err != nil {
		t.Fatal(err)
	}
	signed := sign(t, j, signer)
	for position, what := range map[journal.Position]string{1: "decision", 2: "event"} {
		proof, err := j.Prove(t.Context(), signed, true, position)
		if err != nil {
			t.Fatal(err)
		}
		proof.Entries[0].Path = make([]tree.Hash, 24) // 2^24 leaves are more than ten million
		proof.Entries[0].Leaf = 10_000_000
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(proof); err != nil {
			t.Fatal(err)
		}
		t.Logf("the proof of the %s has %d bytes", what, text.Len())
		if text.Len() > 4096 {
			t.Errorf("the proof of the %s has %d bytes:\n%s", what, text.Len(), text.String())
		}
	}
}

// Among 200,000 entries, a path has at most 18 hashes, which are 576 bytes.
func TestAPathIsShort(t *testing.T) {
	const size = 200_000
	zeros := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return make([]tlog.Hash, len(indexes)), nil })
	for leaf := int64(0); leaf < size; leaf += 17 {
		path, err := tlog.ProveRecord(size, leaf, zeros)
		if err != nil || len(path)*tlog.HashSize > 576 {
			t.Fatalf("leaf %d: %d hashes, %v", leaf, len(path), err)
		}
	}
}

func TestConsistencyBetweenCheckpoints(t *testing.T) {
	storetest.Each(t, testConsistencyBetweenCheckpoints)
}

func testConsistencyBetweenCheckpoints(t *testing.T, d storetest.Database) {
	j, db := open(t, d.Ready(t), journal.Options{})
	signer, key := claimedKey(t, db)
	var stored [][]byte
	for i := range 5 {
		entries := make([]journal.Entry, 97)
		for k := range entries {
			entries[k] = push(fmt.Sprint("e", i, " ", k))
		}
		if err := j.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, sign(t, j, signer))
	}
	last := stored[len(stored)-1]
	for _, old := range stored {
		text := proof(t)(j.ProveConsistency(t.Context(), last, old))
		proven, err := tree.Check(text, key)
		if err != nil || proven.Checkpoint.Size != 486 || proven.Old.Size == 0 || len(text) > 4096 {
			t.Errorf("%+v, %v", proven, err)
		}
	}
	forger, _ := notekeytest.New(t)
	for _, tt := range []struct {
		what string
		by   *notekey.Key
		old  tree.Checkpoint
		why  string
	}{
		{"another root", signer, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 98}, "does not begin"},
		{"another root of the same size", signer, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 486}, "does not begin"},
		{"another root, forged", forger, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 98}, "no key of this journal has signed"},
		{"the right root, forged", forger, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 98, Root: rootOf(t, stored[0])}, "no key of this journal has signed"},
		{"a larger tree, forged", forger, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 487}, "no key of this journal has signed"},
		{"without a signature", nil, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 98, Root: rootOf(t, stored[0])}, "no key of this journal has signed"},
		{"a larger tree", signer, tree.Checkpoint{Origin: "auth.example.com/journal", Size: 487}, "entries are missing in this journal"},
		{"another journal", nil, tree.Checkpoint{Origin: "other", Size: 98}, "this journal is"},
		{"an empty tree", signer, tree.Checkpoint{Origin: "auth.example.com/journal"}, "empty tree"},
	} {
		old := []byte(tt.old.Text() + "\n")
		if tt.by != nil {
			var err error
			if old, err = tt.old.Sign(tt.by); err != nil {
				t.Fatal(err)
			}
		}
		proof, err := j.ProveConsistency(t.Context(), last, old)
		if err == nil {
			_, err = tree.Check(textOf(t, proof, nil), key)
		}
		if err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.why)
		}
	}
	// Checkpoints with the signature of a former key are still evidence.
	second, secondKey := notekeytest.New(t)
	if err := checkpoint.ReplaceKey(t.Context(), db, second.Public(), func(*sql.Tx, string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	text := proof(t)(j.ProveConsistency(t.Context(), sign(t, j, second), stored[0]))
	if _, err := tree.Check(text, key, secondKey); err != nil {
		t.Error(err)
	}
}

func rootOf(t testing.TB, signed []byte) tree.Hash {
	t.Helper()
	c, err := tree.ParseCheckpoint(string(signed))
	if err != nil {
		t.Fatal(err)
	}
	return c.Root
}

// claimedKey returns a new key that signs the checkpoints of the journal in a database.
func claimedKey(t testing.TB, db *store.DB) (*notekey.Key, note.Verifier) {
	t.Helper()
	signer, key := notekeytest.New(t)
	if _, err := checkpoint.ClaimKey(t.Context(), db, signer.Public(), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	return signer, key
}

// A proof with a changed bit fails, or proves the same facts.
func TestPropertyAChangedProofFails(t *testing.T) {
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{})
	signer, key := claimedKey(t, db)
	if err := j.Append(t.Context(), journal.Entry{Registry: "registry.example.com", Decision: decision(alice)}, pushByCI("e1")); err != nil {
		t.Fatal(err)
	}
	old := sign(t, j, signer)
	if err := j.Append(t.Context(), push("e2")); err != nil {
		t.Fatal(err)
	}
	last := sign(t, j, signer)
	for what, text := range map[string][]byte{
		"entries":     proof(t)(j.Prove(t.Context(), last, true, 2, 1)),
		"consistency": proof(t)(j.ProveConsistency(t.Context(), last, old)),
	} {
		want, err := tree.Check(text, key)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			changed := bytes.Clone(text)
			changed[rapid.IntRange(0, len(text)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			got, err := tree.Check(changed, key)
			if err == nil {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: the changed proof proves other facts: %s", what, diff)
				}
			}
		})
	}
}
