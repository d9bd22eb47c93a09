package rulebook

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Role is a role of the database: one for all, or one of a namespace.
type Role struct {
	ID       string
	Version  int64
	Created  time.Time
	Changed  time.Time
	Name     string
	Actions  scope.Actions
	Lifetime time.Duration // of tokens with a grant by it, at most; 0: no say

	Unchanged bool // SetRole found that it can do that already
}

// The roles that every namespace has.
const (
	Owner      = "owner"
	Maintainer = "maintainer"
	Writer     = "writer"
	Reader     = "reader"
)

// builtInRole returns what a role that every namespace has can do; 0 if there is none of that
// name.
func builtInRole(name string) scope.Actions {
	switch name {
	case Owner, Maintainer:
		return scope.Repository
	case Writer:
		return scope.Pull | scope.Push
	case Reader:
		return scope.Pull
	}
	return 0
}

// roles are what a policy is compiled with.
type roles = map[string]policy.Role

// compiled is the role as policy knows it.
func (r *Role) compiled() policy.Role { return policy.Role{Actions: r.Actions, Lifetime: r.Lifetime} }

const maxName = 64

// checkRole returns what is wrong with a role that is to be written.
func checkRole(r *Role, namespaced bool) error {
	switch {
	case !validPart(r.Name, ".-_"):
		return &InvalidError{"name", fmt.Sprintf("%.80q is no name of a role: it takes lower-case letters and digits, with single \".\", \"-\" or \"_\" between them, at most %d", r.Name, maxName)}
	case namespaced && builtInRole(r.Name) != 0:
		return &InvalidError{"name", fmt.Sprintf("%s is a role that every namespace has", r.Name)}
	case namespaced && r.Actions&^scope.Repository != 0:
		return &InvalidError{"actions", "a role of a namespace has pull, push and delete, or some of them"}
	}
	written := ruleset.Role{Actions: r.Actions.Names()}
	if r.Lifetime != 0 {
		written.Lifetime = r.Lifetime.String()
	}
	_, err := written.Policy()
	return err
}

// validPart says whether a text is lower-case letters and digits, with single separators between
// them.
func validPart(text, separators string) bool {
	if text == "" || len(text) > maxName {
		return false
	}
	separated := true
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			separated = false
		case !separated && strings.IndexByte(separators, c) >= 0:
			separated = true
		default:
			return false
		}
	}
	return !separated
}
