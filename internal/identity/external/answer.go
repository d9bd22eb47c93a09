package external

import (
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Question is what a service is asked about somebody who signs in.
type Question struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Registry string `json:"registry"` // service name
	Address  string `json:"address"`
	Client   string `json:"client"`
}

// What an Answer says.
const (
	Accepted = "accepted"
	Rejected = "rejected" // the password is wrong, or the account is closed: nobody else is asked
	Unknown  = "unknown"  // the next source may know the name
)

// Answer is what it says. All but Answer is for Accepted alone.
type Answer struct {
	Answer string         `json:"answer"`
	Name   string         `json:"name"`   // in its one spelling, whatever was typed
	ID     string         `json:"id"`     // never given to anybody else; "": the name
	Groups []string       `json:"groups"` // all of them, each time; [] are none
	Claims map[string]any `json:"claims"` // for rules: ${claims.x}, and conditions

	// Generation is another when the password is: a number of changes, or when it was. "": nobody can tell (identity.Generations).
	Generation string `json:"generation"`
}

// maxItems bounds groups, claims, and the values of one claim.
const maxItems = 1000

var errInvalidAnswer = errors.New("its answer is not of the documented form")

// check says whether the answer is one.
func (a *Answer) check() error {
	switch a.Answer {
	case Rejected, Unknown:
		if a.Name != "" || a.ID != "" || a.Generation != "" || len(a.Groups) > 0 || len(a.Claims) > 0 {
			return errInvalidAnswer // it says no and names somebody
		}
		return nil
	case Accepted:
	default:
		return errInvalidAnswer
	}
	if a.Name == "" || len(a.Name) > identity.MaxName || !text.OneLine(a.Name) || len(a.ID) > identity.MaxName || !text.OneLine(a.ID) || len(a.Generation) > identity.MaxName || !text.OneLine(a.Generation) {
		return errInvalidAnswer
	}
	if len(a.Claims) > maxItems {
		return errInvalidAnswer
	}
	var bad string
	if a.Claims, bad = policy.CanonicalClaims(a.Claims); bad != "" {
		return errInvalidAnswer // a number that nothing here can hold
	}
	return nil
}

// checkGroups is an IncompleteError unless all groups of an accepted answer are known. It is about one person: others must
// not be refused for it, as they would if the service were taken for broken.
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
		if g == "" || len(g) > identity.MaxName || !text.OneLine(g) {
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
