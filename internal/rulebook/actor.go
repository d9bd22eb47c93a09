package rulebook

import (
	"net/netip"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Actor is the caller of an operation, with its credential.
type Actor struct {
	Principal  *policy.Principal // nil: nobody, without any rights
	Remote     netip.Addr
	Credential string // identity.Verified.Credential
	// Until is identity.Verified.Until: credentials that the actor creates for itself expire no
	// later. Zero: no limit.
	Until time.Time
	// Key makes creations idempotent: a caller that did not get the response repeats the call
	// with the same key, and gets what was created. It is chosen by the caller, at most 200
	// bytes; "": no key.
	Key string
	// Seen is the id of the object that the actor has seen under a name. If another object has
	// the name by now, a change fails with ErrChanged. "": any object. The version is not
	// enough: an object that is deleted and created again has version 1 again.
	Seen string

	operator string
	forces   bool
}

// Operator returns an actor with access to the command line and the database, who may do
// everything. The name is for the journal.
func Operator(name string) Actor { return Actor{operator: name} }

// WithForce returns the operator with permission to do what is otherwise refused as a likely
// error. It has no effect for other actors.
func (by Actor) WithForce() Actor {
	by.forces = by.operator != ""
	return by
}

// Forces reports whether the actor was returned by WithForce.
func (by Actor) Forces() bool { return by.forces }

// CheckSeen returns ErrChanged unless the object is the one that the actor has seen, with the
// version that it has seen; 0: any version.
func (by Actor) CheckSeen(id string, version, seen int64) error {
	if by.Seen != "" && by.Seen != id || seen != 0 && seen != version {
		return ErrChanged
	}
	return nil
}

// Restricted reports whether the actor's credential is restricted.
func (by Actor) Restricted() bool { return by.Principal != nil && len(by.Principal.Limits) > 0 }

// String returns the actor as in the journal: "user:ann", "operator:root", "nobody".
func (by Actor) String() string {
	switch {
	case by.operator != "":
		return "operator:" + by.operator
	case by.Principal == nil:
		return "nobody"
	}
	return by.Principal.String()
}

// Via returns how the actor signed in, for the journal: the identity source if it is not home,
// the credential and the address.
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
