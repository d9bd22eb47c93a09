package journal

import (
	"crypto/sha256"

	"github.com/tidewaiter/tidewaiter/policy"
)

// principals remembers the hashes of principals, so that those who come often are encoded and stored once.
// It forgets everything when it is full: that costs some work, and no harm. It belongs to one goroutine.
type principals struct {
	byPointer  map[*policy.Principal]hash // a principal is never changed, and its pointer is held here
	byText     map[string]hash            // of those whose pointers are new at each request
	remembered int                        // bytes of text, over both
	stored     map[hash]struct{}          // in the database for certain
	pending    map[hash][]byte            // named by the blocks in hand, not yet in stored
	scratch    []byte
}

// What is remembered at most.
const (
	maxPrincipals     = 1024
	maxPrincipalBytes = 1 << 20
)

func newPrincipals() *principals {
	return &principals{
		byPointer: make(map[*policy.Principal]hash),
		byText:    make(map[string]hash),
		stored:    make(map[hash]struct{}),
		pending:   make(map[hash][]byte),
	}
}

// hash returns the principal's hash, and notes the principal in pending if it may have to be stored.
func (k *principals) hash(p *policy.Principal) hash {
	if sum, ok := k.byPointer[p]; ok && k.accounted(sum) {
		return sum
	}
	k.scratch = appendPrincipal(k.scratch[:0], p)
	sum, ok := k.byText[string(k.scratch)]
	if !ok {
		sum = sha256.Sum256(k.scratch)
	}
	k.remember(p, sum)
	if !k.accounted(sum) {
		k.pending[sum] = append([]byte(nil), k.scratch...)
	}
	return sum
}

// remember notes the hash of p, whose text is in scratch.
func (k *principals) remember(p *policy.Principal, sum hash) {
	if len(k.byPointer) >= maxPrincipals || len(k.byText) >= maxPrincipals || k.remembered > maxPrincipalBytes {
		clear(k.byPointer)
		clear(k.byText)
		k.remembered = 0
	}
	k.byPointer[p] = sum
	k.byText[string(k.scratch)] = sum
	k.remembered += 2 * len(k.scratch)
}

func (k *principals) accounted(sum hash) bool {
	if _, ok := k.stored[sum]; ok {
		return true
	}
	_, ok := k.pending[sum]
	return ok
}

// settle is told whether what is pending was kept.
func (k *principals) settle(kept bool) {
	if kept {
		if len(k.stored) >= maxPrincipals {
			clear(k.stored)
		}
		for sum := range k.pending {
			k.stored[sum] = struct{}{}
		}
	}
	clear(k.pending)
}
