package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The formats of proofs.
const (
	EntriesFormat     = "tidewaiter journal entries 1"
	ConsistencyFormat = "tidewaiter journal consistency 1"
)

// Proof is evidence that Check verifies with only the public key, without the journal. It proves
// that entries are in the tree of a signed checkpoint. Or it proves that the tree of a checkpoint
// begins with the tree of an older checkpoint.
type Proof struct {
	Format  string  `json:"format"`
	Entries []Entry `json:"entries,omitempty"`
	Old     string  `json:"old,omitempty"` // the older checkpoint
	// prove that the newer tree begins with the older tree
	Hashes     []Hash `json:"hashes,omitempty"`
	Checkpoint string `json:"checkpoint"` // the signed note
}

// Entry has the data that is hashed in an entry's leaf, and the hashes of the path to the root.
// The data is JSON, but the fields are strings, so that no program changes the bytes.
type Entry struct {
	Leaf        int64    `json:"leaf"` // the number of the leaf, from 0
	Public      string   `json:"public"`
	Private     string   `json:"private,omitempty"`
	PrivateHash *Hash    `json:"private_sha256,omitempty"` // instead of Private
	Principal   string   `json:"principal,omitempty"`
	Rules       []string `json:"rules,omitempty"`
	Path        []Hash   `json:"path"`
}

// Proven is the result of Check: the facts that a proof proves.
type Proven struct {
	Checkpoint Checkpoint
	Note       *note.Note // has only the signatures that were verified
	Entries    []Entry    // the entries that are in the tree
	Old        Checkpoint // the proven older checkpoint; zero if the proof is about entries
}

// NotProvableError means that an entry or a checkpoint cannot be proved. Why is the reason.
type NotProvableError struct{ Why string }

func (e *NotProvableError) Error() string { return e.Why }

// Check verifies a proof. It needs only the proof and the public key of the journal.
func Check(text []byte, keys ...note.Verifier) (*Proven, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var p Proof
	switch err := decoder.Decode(&p); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("reading the proof: it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("reading the proof: its end is missing")
	case err != nil:
		return nil, fmt.Errorf("reading the proof: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the proof: unexpected data after it")
	}
	if p.Format != ConsistencyFormat && p.Format != EntriesFormat {
		return nil, fmt.Errorf("reading the proof: this version does not support the format %.60q", p.Format)
	}
	proven := &Proven{Entries: p.Entries}
	var err error
	if proven.Checkpoint, proven.Note, err = OpenCheckpoint([]byte(p.Checkpoint), keys...); err != nil {
		return nil, err
	}
	switch {
	case p.Format == ConsistencyFormat && len(p.Entries) == 0:
		if proven.Old, _, err = OpenCheckpoint([]byte(p.Old), keys...); err != nil {
			return nil, fmt.Errorf("the older checkpoint: %w", err)
		}
		if err := CheckConsistency(proven.Checkpoint, proven.Old, p.Hashes); err != nil {
			return nil, err
		}
		return proven, nil
	case p.Format == EntriesFormat && len(p.Entries) > 0 && p.Old == "" && len(p.Hashes) == 0:
		for i := range p.Entries {
			if err := p.Entries[i].check(proven.Checkpoint); err != nil {
				return nil, err
			}
		}
		return proven, nil
	}
	return nil, errors.New("reading the proof: it must be about entries, or about an older checkpoint")
}

// CheckConsistency verifies that the tree of a checkpoint begins with the tree of an older
// checkpoint.
func CheckConsistency(c, old Checkpoint, hashes []Hash) error {
	switch {
	case old.Origin != c.Origin:
		return fmt.Errorf("the checkpoints are of %q and %q", old.Origin, c.Origin)
	case old.Size < 1 || old.Size > c.Size:
		return fmt.Errorf("the older checkpoint has %d leaves, but the newer checkpoint has %d", old.Size, c.Size)
	case old.Size == c.Size && old.Root == c.Root && len(hashes) == 0:
		return nil
	case old.Size == c.Size || tlog.CheckTree(hashes, c.Size, c.Root, old.Size, old.Root) != nil:
		return fmt.Errorf("the tree of %d leaves does not begin with the older one, of %d leaves: entries were changed or removed in between", c.Size, old.Size)
	}
	return nil
}

// check verifies that an entry is in the tree of a checkpoint.
func (e *Entry) check(c Checkpoint) error {
	private := Hash(sha256.Sum256([]byte(e.Private)))
	if e.PrivateHash != nil {
		if e.Private != "" {
			return errors.New("reading the proof: an entry has both the private part and the hash of the private part")
		}
		private = *e.PrivateHash
	}
	var principal *Hash
	if e.Principal != "" {
		h := Hash(sha256.Sum256([]byte(e.Principal)))
		principal = &h
	}
	data := AppendEntry(nil, []byte(e.Public), private, principal, len(e.Rules), func(i int) []byte { return []byte(e.Rules[i]) })
	if e.Leaf < 1 || e.Leaf >= c.Size || tlog.CheckRecord(e.Path, c.Size, c.Root, e.Leaf, LeafHash(data)) != nil {
		return fmt.Errorf("leaf %d of the tree of %d leaves is not this entry: the entry or its proof was changed", e.Leaf, c.Size)
	}
	return nil
}
