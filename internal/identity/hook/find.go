package hook

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// FindQuestion is the request about a user who is not signing in: the owner of a refresh or access
// token, or a user named on the command line. The response is an Answer. A service that does not
// support FindQuestion sees a request without a name and a password. The service must refuse this
// request.
type FindQuestion struct {
	Find FindTarget `json:"find"`
}

// FindTarget identifies a user.
type FindTarget struct {
	Name string `json:"name"`
	ID   string `json:"id"` // "": the user who has the name now
}

// Find asks the service about a user by name and, if id is not empty, by id. Without Options.Find,
// every user is unknown. Such users get no refresh or access tokens, because the service could not
// look up these users later.
func (h *Hook) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	p, _, err := h.FindGeneration(ctx, name, id)
	return p, err
}

// FindGeneration is like Find, and also returns the generation from the service.
func (h *Hook) FindGeneration(ctx context.Context, name, id string) (*policy.Principal, string, error) {
	if !h.o.Find || name == "" || !text.OneLine(name) {
		return nil, "", identity.ErrUnknown
	}
	var answer Answer
	err := h.ask(ctx, func(ctx context.Context) (err error) {
		answer, err = h.peer.find(ctx, FindQuestion{FindTarget{name, id}})
		return err
	})
	if err != nil {
		return nil, "", err
	}
	switch answer.Answer {
	case Rejected:
		return nil, "", &identity.DisabledError{Why: "the service reports that the account is closed"}
	case Unknown:
		return nil, "", identity.ErrUnknown
	}
	if err := answer.checkGroups(h.o.Groups); err != nil {
		h.log.Warn("refused: not all groups are known", "name", answer.Name, "reason", err)
		return nil, "", err
	}
	p := answer.principal(h.source)
	if id != "" && (p.ID != id || p.Name != name) { // a different user
		return nil, "", identity.ErrUnknown
	}
	return p, answer.Generation, nil
}
