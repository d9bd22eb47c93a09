package api

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

type proveEntry struct {
	ID       string `path:"id" maxLength:"64" doc:"The id, or its first 8 or more characters" example:"019aa1b2-c3d4-7e5f"`
	Decision bool   `query:"decision" doc:"For an event: whether to also prove the decision that allowed the event"`
	Personal bool   `query:"personal" default:"true" doc:"Whether the proof contains addresses, programs of clients, and refused names"`
}

type proveConsistency struct {
	Body struct {
		Checkpoint string `json:"checkpoint" maxLength:"10000" doc:"The older checkpoint, as /journal/checkpoint returned it"`
	}
}

type proofResponse struct{ Body *tree.Proof }

func (a *API) proofRoutes() {
	route(a, tagJournal, operation("prove-entry", "GET /journal/{id}/proof", "Prove that an entry is in the journal",
		"tidewaiter journal check-proof verifies the proof offline, with the public key that /journal/key returns. As long as no checkpoint covers the entry, the answer is 409."),
		func(ctx context.Context, caller admin.Actor, in *proveEntry) (*proofResponse, error) {
			if err := a.mayReadJournal(caller); err != nil {
				return nil, err
			}
			e, err := a.Journal.FindOne(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			positions := []journal.Position{e.Position}
			if in.Decision {
				related, _, err := a.Journal.Related(ctx, e)
				if err != nil {
					return nil, err
				}
				if e.Event == nil || len(related) == 0 {
					return nil, &tree.NotProvableError{Why: "the entry is not an event that a decision in the journal allowed"}
				}
				positions = append(positions, related[0].Position)
			}
			proof, err := a.Journal.Prove(ctx, a.checkpoint(ctx), in.Personal, positions...)
			return &proofResponse{proof}, err
		})
	route(a, tagJournal, operation("prove-consistency", "POST /journal/consistency", "Prove that no entry was changed since a checkpoint",
		"The proof shows that the journal of the newest checkpoint begins with the journal of the older checkpoint. tidewaiter journal check-proof verifies the proof."),
		func(ctx context.Context, caller admin.Actor, in *proveConsistency) (*proofResponse, error) {
			if err := a.mayReadJournal(caller); err != nil {
				return nil, err
			}
			proof, err := a.Journal.ProveConsistency(ctx, a.checkpoint(ctx), []byte(in.Body.Checkpoint))
			return &proofResponse{proof}, err
		})
}

// checkpoint returns the newest signed checkpoint, or nil if no checkpoint is signed.
func (a *API) checkpoint(ctx context.Context) []byte {
	if c := callOf(ctx).server.Checkpoints; c != nil {
		return c.Latest()
	}
	return nil
}
