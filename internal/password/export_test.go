package password

import (
	"context"
	"math"
)

// fullNeed is a need greater than the limiter's capacity. Such a need occupies the whole
// limiter.
var fullNeed = need{Slots: math.MaxInt, Memory: math.MaxInt64}

// HoldLimiter waits until the limiter is free, and then occupies it until release is called.
func (h *Hashing) HoldLimiter() (release func()) {
	if err := h.limiter.Enter(context.Background(), Requester{}, fullNeed); err != nil {
		panic(err)
	}
	return func() { h.limiter.Leave(fullNeed, 0) }
}

// Flights returns how many hashes are being computed or wait to be computed.
func (h *Hashing) Flights() int {
	calls, _ := h.calls.Count()
	return calls
}

// Held returns how many pairs are remembered.
func (h *Hashing) Held() int { return h.remembered.pairs.Len() }
