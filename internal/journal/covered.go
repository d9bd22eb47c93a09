package journal

import "context"

// Covered returns the last position that a signed checkpoint of the journal covers. It does not
// verify the signatures.
func (j *Journal) Covered(ctx context.Context, signed []byte) (Position, error) {
	r, c, err := j.treeReader(ctx, signed)
	if err != nil {
		return 0, err
	}
	return r.head.base + Position(c.Size) - 1, nil // leaf 0 is not an entry
}
