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

// A job pulls fifty images with one token, within minutes. Its signature is verified once in so
// long. That is also how long a key that the issuer takes back is still believed for.
const (
	maxRemembered = 10_000
	rememberedFor = 2 * time.Minute

	// maxRefused bounds what is remembered of tokens with a good signature that are refused. They
	// have room of their own: everybody can have as many tokens of a shared issuer as they like,
	// for another audience.
	maxRefused = 1_000
)

// memoryKey stands for a token, and does not help anybody to have it.
type memoryKey [sha256.Size]byte

// memory is which tokens were verified a short while ago, and what came of it.
type memory struct {
	secret []byte // of this process
	now    func() time.Time
	held   *lru.Cache[memoryKey, heldToken]
	bad    *lru.Cache[memoryKey, heldToken]
}

type heldToken struct {
	verified identity.Verified
	refused  error // nil: it is good
	holds    clock.Span
}

func newMemory(now func() time.Time) *memory {
	m := &memory{secret: make([]byte, sha256.Size), now: now}
	rand.Read(m.secret) // never fails: crypto/rand ends the process first
	m.held, _ = lru.New[memoryKey, heldToken](maxRemembered)
	m.bad, _ = lru.New[memoryKey, heldToken](maxRefused)
	return m
}

func (m *memory) key(raw string) (k memoryKey) {
	mac := hmac.New(sha256.New, m.secret)
	mac.Write([]byte(raw))
	mac.Sum(k[:0])
	return k
}

func (m *memory) recall(k memoryKey) (_ identity.Verified, refused error, ok bool) {
	h, ok := m.held.Get(k)
	if !ok || h.holds.Over(m.now()) {
		h, ok = m.bad.Get(k)
	}
	if !ok || h.holds.Over(m.now()) {
		return identity.Verified{}, nil, false
	}
	return h.verified, h.refused, true
}

// refuse remembers why a token with a good signature is refused: what it says does not change, and
// it gets no younger.
func (m *memory) refuse(k memoryKey, why error) {
	m.bad.Add(k, heldToken{refused: why, holds: clock.For(m.now(), rememberedFor)})
}

// keep remembers a token, for no longer than it is good.
func (m *memory) keep(k memoryKey, v identity.Verified) {
	now := m.now()
	if length := min(rememberedFor, v.Until.Sub(now)); length > 0 {
		m.held.Add(k, heldToken{verified: v, holds: clock.For(now, length)})
	}
}
