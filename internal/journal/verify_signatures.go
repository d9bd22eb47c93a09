package journal

import (
	"fmt"
	"slices"
)

// checkSignatures checks that a key of the journal has signed each stored checkpoint of the
// verified part. If the whole journal was verified, each former key must have an entry about its
// replacement. So nobody can add a key to the database and sign checkpoints with it.
func (v *verifier) checkSignatures(whole bool) error {
	for _, key := range v.keys.Former {
		if whole && !slices.Contains(v.replaced, key) {
			return &BrokenError{v.First, fmt.Sprintf("the stored key %.100q was never a key of the journal: no entry reports its replacement", key)}
		}
	}
	for _, stored := range v.signed {
		c, err := v.keys.Open(stored.note)
		if err == nil && c.Size != stored.size {
			err = fmt.Errorf("its text is about %d leaves", c.Size)
		}
		if err != nil {
			return &BrokenError{v.head.base + Position(stored.size) - 1, fmt.Sprintf("no key of the journal has signed the stored checkpoint of %d leaves: %v", stored.size, err)}
		}
	}
	return nil
}
