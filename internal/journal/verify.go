package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Verified is how much of the chain of blocks was verified.
type Verified struct {
	First, Last Position // 0 if there are no entries
	Blocks      int64
	Entries     int64
	// Hash is the hash of the last block. A copy of Hash that is stored elsewhere proves later
	// that no entry up to Last was changed.
	Hash [32]byte
}

// BrokenError is the first break in the chain of blocks.
type BrokenError struct {
	Block Position // position of the block's first entry
	Why   string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("the journal is broken at position %d: %s", e.Block, e.Why)
}

// Verify checks the chain from the block that holds a position to the end. It fails with a
// *BrokenError if a block is missing or was changed, or refers to a principal that is missing
// or was changed. Verify trusts the hash that the first checked block has of its predecessor.
// From position 0, the first checked block is the oldest block that was not deleted by age.
func (j *Journal) Verify(ctx context.Context, from Position) (Verified, error) {
	var v Verified
	// Read the head first: blocks that are written during the check are after the head and are
	// not checked.
	head, err := selectHead(ctx, j.db.Read())
	if err != nil {
		return v, fmt.Errorf("verifying the journal: %w", err)
	}
	d := newDecoder(j.db.Read())
	next := max(from, 1)
	for next < head.next {
		b, err := j.blockAfter(ctx, next-1)
		if errors.Is(err, sql.ErrNoRows) {
			return v, &BrokenError{next, fmt.Sprintf("the entries up to %d are missing", head.next-1)}
		}
		if err != nil {
			return v, fmt.Errorf("verifying the journal at position %d: %w", next, err)
		}
		if err := j.verifyBlock(ctx, &v, b, d); err != nil {
			return v, err
		}
		next = v.Last + 1
		if b.first+Position(b.entries) == head.next && b.hash != head.hash {
			return v, &BrokenError{b.first, "it is not the block that the journal's head refers to"}
		}
	}
	if next > head.next && v.Blocks > 0 {
		return v, &BrokenError{head.next, "the journal's head lies inside a block"}
	}
	return v, nil
}

// verifyBlock checks one block and adds it to v.
func (j *Journal) verifyBlock(ctx context.Context, v *Verified, b *block, d *decoder) error {
	switch {
	case v.Blocks > 0 && b.first != v.Last+1:
		return &BrokenError{v.Last + 1, fmt.Sprintf("the entries up to %d are missing", b.first-1)}
	case v.Blocks > 0 && b.previous != v.Hash:
		return &BrokenError{b.first, "it does not follow from the block before it"}
	case b.sum() != b.hash:
		return &BrokenError{b.first, "it was changed after it was written"}
	}
	o, err := d.open(b)
	if err != nil {
		return &BrokenError{b.first, err.Error()}
	}
	var tampered *principalError
	switch err := d.load(ctx, o.principals); {
	case errors.As(err, &tampered):
		return &BrokenError{b.first, err.Error()}
	case err != nil:
		return fmt.Errorf("verifying the journal at position %d: %w", b.first, err)
	}
	if v.Blocks == 0 {
		v.First = b.first
	}
	v.Blocks++
	v.Entries += b.entries
	v.Last = b.first + Position(b.entries) - 1
	v.Hash = b.hash
	return nil
}
