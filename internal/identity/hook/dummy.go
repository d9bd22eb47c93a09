package hook

import (
	"context"
	"math/rand/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// DummyLookup takes as long as a recent refusal. It is for passwords that an earlier source
// refused. The peer is not called, because its protocol has no request about a name without the
// password.
func (h *Hook) DummyLookup(ctx context.Context, c identity.Presented) error {
	if c.Kind != identity.Password || !mayAsk(c) {
		return nil
	}
	return h.sleep(ctx, min(h.refused.Draw(rand.IntN), h.timeout))
}
