package external

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// DummyLookup takes as long as one of the last refusals: for a password that an earlier source refused. The peer is
// asked nothing: there is no question about a name that does not bear the password.
func (e *External) DummyLookup(ctx context.Context, c identity.Credentials) error {
	if c.Kind != identity.Password || !mayAsk(c) {
		return nil
	}
	return e.sleep(ctx, min(e.refused.Draw(), e.timeout))
}
