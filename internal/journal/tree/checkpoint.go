package tree

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint describes the tree of a log. It is the text of a signed note, as in
// https://c2sp.org/tlog-checkpoint.
type Checkpoint struct {
	Origin string // the name of the log, which is also the name of its key
	Size   int64
	Root   Hash
}

// Text returns the text of the note.
func (c Checkpoint) Text() string { return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root) }

// Sign returns the signed note. The signer's name is the origin.
func (c Checkpoint) Sign(signer note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.Text()}, signer)
}

// maxSize is the largest size of a tree. Package tlog computes the next power of two. With more
// than 1<<62 leaves, this computation would never end.
const maxSize = 1 << 60

// ParseCheckpoint parses the text of a note. It ignores additional lines.
func ParseCheckpoint(text string) (c Checkpoint, err error) {
	malformed := fmt.Errorf("it is not a checkpoint: want a name, the size of a tree and its root, each in a line")
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return c, malformed
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > maxSize || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, malformed
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil || c.Root.String() != lines[2] {
		return c, malformed
	}
	return c, nil
}

// OpenCheckpoint parses a signed checkpoint and verifies its signature. The verifier must have the
// checkpoint's origin as its name. The returned note contains only the signatures that were
// verified.
func OpenCheckpoint(signed []byte, verifiers ...note.Verifier) (Checkpoint, *note.Note, error) {
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("the checkpoint's signature: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	for _, s := range n.Sigs {
		if s.Name == c.Origin {
			return c, n, nil
		}
	}
	return Checkpoint{}, nil, fmt.Errorf("the checkpoint is of %q, but no key of this name has signed it", c.Origin)
}
