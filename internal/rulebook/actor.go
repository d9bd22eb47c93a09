package rulebook

import (
	"net/netip"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Actor is who does something, and with what.
type Actor struct {
	Principal  *policy.Principal // nil: nobody, who has no rights
	Remote     netip.Addr
	Credential string    // identity.Verified.Credential
	Until      time.Time // identity.Verified.Until: what the actor makes for himself ends no later; zero: no say
	// Key makes creations repeatable: whoever lost the answer to one tries it again with the same key, and gets what was made. Chosen by
	// the caller, at most 200 bytes; "": there is none.
	Key string
	// Seen is the id of what the actor has seen under a name: a change of another that has the name by now is ErrChanged. "": of whatever has
	// it. A version alone does not say: who is deleted and added again has the first one again.
	Seen string

	operator string
	forces   bool
}

// Operator is somebody with a command line and the database itself, who therefore may do everything. The
// name is for the journal.
func Operator(name string) Actor { return Actor{operator: name} }

// Forcing is an operator who means it: what is refused to everybody as a likely mistake is done. Others force nothing.
func (by Actor) Forcing() Actor {
	by.forces = by.operator != ""
	return by
}

// Forces says whether the actor is Forcing.
func (by Actor) Forces() bool { return by.forces }

// Finds is ErrChanged unless something is what the actor has seen, of a version that he has seen; 0: of any.
func (by Actor) Finds(id string, version, seen int64) error {
	if by.Seen != "" && by.Seen != id || seen != 0 && seen != version {
		return ErrChanged
	}
	return nil
}

// Narrowed says whether the actor's credential is narrower than its owner's rights.
func (by Actor) Narrowed() bool { return by.Principal != nil && len(by.Principal.Limits) > 0 }

// String is the actor in the journal: "user:ann", "operator:root", "nobody".
func (by Actor) String() string {
	switch {
	case by.operator != "":
		return "operator:" + by.operator
	case by.Principal == nil:
		return "nobody"
	}
	return by.Principal.String()
}

// Via is how the actor came, for the journal: the source that knows him if it is not home, the credential and
// the address.
func (by Actor) Via(home string) string {
	var parts []string
	if by.Principal != nil && by.Principal.Source != home {
		parts = append(parts, by.Principal.Source)
	}
	if by.Credential != "" {
		parts = append(parts, by.Credential)
	}
	if by.Remote.IsValid() {
		parts = append(parts, by.Remote.String())
	}
	return strings.Join(parts, " ")
}
