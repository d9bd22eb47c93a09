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

// A job pulls fifty images with one token within minutes, and its signature is verified once in
// that time. A key that the issuer revoked is still accepted for as long.
const (
	maxRemembered = 10_000
	rememberedFor = 2 * time.Minute

	// maxRefused bounds the cached refusals of tokens with a valid signature. They have a cache
	// of their own, because anyone can get many tokens for other audiences from a shared
	// issuer.
	maxRefused = 1_000
)

// memoryKey identifies a token without revealing it.
type memoryKey [sha256.Size]byte

// memory caches the results of recent verifications.
type memory struct {
	secret []byte // of this process
	now    func() time.Time
	held   *lru.Cache[memoryKey, heldToken]
	bad    *lru.Cache[memoryKey, heldToken]
}

type heldToken struct {
	verified identity.Verified
	refused  error // nil: the token is valid
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

// refuse caches the refusal of a token with a valid signature. The reason does not change with
// time.
func (m *memory) refuse(k memoryKey, why error) {
	m.bad.Add(k, heldToken{refused: why, holds: clock.For(m.now(), rememberedFor)})
}

// keep caches a token, at most until it expires.
func (m *memory) keep(k memoryKey, v identity.Verified) {
	now := m.now()
	if length := min(rememberedFor, v.Until.Sub(now)); length > 0 {
		m.held.Add(k, heldToken{verified: v, holds: clock.For(now, length)})
	}
}
