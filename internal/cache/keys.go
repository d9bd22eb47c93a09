package cache

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// Key identifies a list of texts, such as a name and a password, without revealing them.
type Key [sha256.Size]byte

// Keys makes keys. A key is the SHA-256 of the texts and a random secret of this process. So a
// copy of the keys does not help to guess a password. Each text is preceded by its length. So no
// two lists give the hash function the same input, and no input is a prefix of another. HMAC would
// have the same effect at twice the cost.
type Keys struct{ inputs sync.Pool }

// NewKeys returns a Keys with a new secret.
func NewKeys() *Keys {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails: crypto/rand ends the process first
	return &Keys{sync.Pool{New: func() any {
		in := append(make([]byte, 0, 256), secret...)
		return &in
	}}}
}

// Of returns the key of a list of texts. Lists of different kinds never have the same key.
func (k *Keys) Of(kind byte, texts ...string) Key {
	held := k.inputs.Get().(*[]byte)
	in := binary.BigEndian.AppendUint64(append((*held)[:sha256.Size], kind), uint64(len(texts)))
	for _, text := range texts {
		in = binary.BigEndian.AppendUint64(in, uint64(len(text)))
		in = append(in, text...)
	}
	sum := sha256.Sum256(in)
	clear(in[sha256.Size:]) // no password must remain in the pool
	*held = in
	k.inputs.Put(held)
	return sum
}
