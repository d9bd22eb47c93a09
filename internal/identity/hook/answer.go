package hook

import (
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Question is the request that a Hook sends when a user signs in.
type Question struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Registry string `json:"registry"` // service name
	Address  string `json:"address"`
	Client   string `json:"client"`
}

// The values of Answer.Answer.
const (
	Accepted = "accepted"
	Rejected = "rejected" // wrong password or disabled account; no other source is asked
	Unknown  = "unknown"  // another source may know the name
)

// Answer is the response to a Question or a FindQuestion. All fields except Answer are set only
// if Answer is Accepted.
type Answer struct {
	Answer string         `json:"answer"`
	Name   string         `json:"name"`   // in its canonical spelling
	ID     string         `json:"id"`     // never reused for another user; "": the name
	Groups []string       `json:"groups"` // all groups; []: no groups
	Claims map[string]any `json:"claims"` // for ${claims.x} and conditions

	// Generation is a text that changes when the password changes, for example a counter or the
	// time of the change (see chain.Generations). "": unknown.
	Generation string `json:"generation"`
}

// maxItems is the maximum number of groups, of claims, and of values of a claim.
const maxItems = 1000

var errInvalidAnswer = errors.New("the answer does not have the documented format")

// check validates the answer.
func (a *Answer) check() error {
	switch a.Answer {
	case Rejected, Unknown:
		if a.Name != "" || a.ID != "" || a.Generation != "" || len(a.Groups) > 0 || len(a.Claims) > 0 {
			return errInvalidAnswer // a refusal cannot name a user
		}
		return nil
	case Accepted:
	default:
		return errInvalidAnswer
	}
	if a.Name == "" || len(a.Name) > username.MaxLength || !text.OneLine(a.Name) || len(a.ID) > username.MaxLength || !text.OneLine(a.ID) || len(a.Generation) > username.MaxLength || !text.OneLine(a.Generation) {
		return errInvalidAnswer
	}
	if len(a.Claims) > maxItems {
		return errInvalidAnswer
	}
	var bad string
	if a.Claims, bad = policy.CanonicalClaims(a.Claims); bad != "" {
		return errInvalidAnswer // a number out of range
	}
	return nil
}

// If some groups of an accepted answer are possibly missing, checkGroups returns an
// IncompleteError. An IncompleteError does not count as a failure of the service. Otherwise the
// circuit breaker would refuse other users, too.
func (a *Answer) checkGroups(wanted bool) error {
	switch {
	case a.Answer != Accepted:
		return nil
	case wanted && a.Groups == nil:
		return identity.Incomplete("the answer has no list of groups")
	case len(a.Groups) > maxItems:
		return identity.Incomplete("the answer has more than %d groups", maxItems)
	}
	for _, g := range a.Groups {
		if g == "" || len(g) > username.MaxLength || !text.OneLine(g) {
			return identity.Incomplete("the answer has a group whose name is empty, too long or not on one line")
		}
	}
	return nil
}

func (a *Answer) principal(source string) *policy.Principal {
	id := a.ID
	if id == "" {
		id = a.Name
	}
	who := &policy.Principal{Kind: policy.User, Name: a.Name, Source: source, ID: id, Groups: a.Groups, Claims: a.Claims}
	return who.Indexed()
}
