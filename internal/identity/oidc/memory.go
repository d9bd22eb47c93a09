package oidc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// A job pulls fifty images with one token, within minutes. Its signature is verified once in so long.
// That is also how long a key that the issuer takes back is still believed for.
const (
	maxRemembered = 10_000
	rememberedFor = 2 * time.Minute
)

// memoryKey stands for a token, and does not help anybody to have it.
type memoryKey [sha256.Size]byte

// memory is which tokens were verified a short while ago.
type memory struct {
	secret []byte // of this process
	now    func() time.Time
	held   *lru.Cache[memoryKey, heldToken]
}

type heldToken struct {
	verified identity.Verified
	holds    clock.Span
}

func newMemory(now func() time.Time) *memory {
	m := &memory{secret: make([]byte, sha256.Size), now: now}
	rand.Read(m.secret) // never fails: crypto/rand ends the process first
	m.held, _ = lru.New[memoryKey, heldToken](maxRemembered)
	return m
}

func (m *memory) key(raw string) (k memoryKey) {
	mac := hmac.New(sha256.New, m.secret)
	mac.Write([]byte(raw))
	mac.Sum(k[:0])
	return k
}

func (m *memory) recall(k memoryKey) (identity.Verified, bool) {
	h, ok := m.held.Get(k)
	if !ok || h.holds.Over(m.now()) {
		return identity.Verified{}, false
	}
	return h.verified, true
}

// keep remembers a token, for no longer than it is good.
func (m *memory) keep(k memoryKey, v identity.Verified) {
	now := m.now()
	if length := min(rememberedFor, v.Until.Sub(now)); length > 0 {
		m.held.Add(k, heldToken{v, clock.For(now, length)})
	}
}
