package external

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// FindQuestion is what a service is asked about somebody who is not there: whose refresh token or access token
// was shown, or who is asked about on the command line. It is answered by an Answer, as a sign-in is. A
// service that does not know this question finds neither name nor password in it, and so must let nobody in.
type FindQuestion struct {
	Find FindTarget `json:"find"`
}

// FindTarget is who is looked for.
type FindTarget struct {
	Name string `json:"name"`
	ID   string `json:"id"` // "": whoever has that name now
}

// Find asks the service for somebody by name, and by id unless it is empty. Everybody is unknown where Options.Find is off: no token is
// handed out to whom nobody could find again.
func (e *External) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	p, _, err := e.FindGeneration(ctx, name, id)
	return p, err
}

// FindGeneration is Find, with the generation that the service says.
func (e *External) FindGeneration(ctx context.Context, name, id string) (*policy.Principal, string, error) {
	if !e.canFind || name == "" || !text.OneLine(name) {
		return nil, "", identity.ErrUnknown
	}
	var answer Answer
	err := e.ask(ctx, func(ctx context.Context) (err error) {
		answer, err = e.peer.find(ctx, FindQuestion{FindTarget{name, id}})
		return err
	})
	if err != nil {
		return nil, "", err
	}
	switch answer.Answer {
	case Rejected:
		return nil, "", &identity.DisabledError{Why: "the service says that it is closed"}
	case Unknown:
		return nil, "", identity.ErrUnknown
	}
	if err := answer.checkGroups(e.groups); err != nil {
		e.log.Warn("refused: not all groups are known", "name", answer.Name, "because", err)
		return nil, "", err
	}
	p := answer.principal(e.source)
	if id != "" && (p.ID != id || p.Name != name) { // somebody else, whatever the service thinks of it
		return nil, "", identity.ErrUnknown
	}
	return p, answer.Generation, nil
}
