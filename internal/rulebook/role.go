package rulebook

import (
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Role is a role of the database. Either it belongs to one namespace, or all namespaces share it.
type Role struct {
	ID       string
	Version  int64
	Created  time.Time
	Changed  time.Time
	Name     string
	Actions  scope.Actions
	Lifetime time.Duration // maximum lifetime of tokens with a grant by the role; 0: no limit

	Unchanged bool // SetRole changed nothing, because the new role is equal to the old role
}

// The built-in roles of namespaces.
const (
	Owner      = "owner"
	Maintainer = "maintainer"
	Writer     = "writer"
	Reader     = "reader"
)

// builtInRole returns the actions of a built-in role, or 0 if there is no such role.
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

// roles maps names to roles, in the form of policy.Source.
type roles = map[string]policy.Role

// policyRole returns the role in the form that package policy uses.
func (r *Role) policyRole() policy.Role { return policy.Role{Actions: r.Actions, Lifetime: r.Lifetime} }

const maxName = 64

// checkRole checks a role before it is stored.
func checkRole(r *Role, namespaced bool) error {
	switch {
	case !validPart(r.Name, ".-_"):
		return admin.Invalid("name", "%.80q is not a name of a role: it must be lower-case letters and digits, with single \".\", \"-\" or \"_\" between them, at most %d", r.Name, maxName)
	case namespaced && builtInRole(r.Name) != 0:
		return admin.Invalid("name", "%s is a built-in role of every namespace", r.Name)
	case namespaced && r.Actions&^scope.Repository != 0:
		return admin.Invalid("actions", "a role of a namespace can only have pull, push and delete")
	}
	written := ruleset.Role{Actions: r.Actions.Names()}
	if r.Lifetime != 0 {
		written.Lifetime = r.Lifetime.String()
	}
	_, err := written.Policy()
	return err
}

// validPart reports whether a text consists of lower-case letters and digits, with single
// separators between them.
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
