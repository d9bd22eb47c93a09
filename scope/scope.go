// Package scope answers: what is being asked for?
//
// A client asks a token service for scopes: a resource type, a name and actions, written
// repository:team/app:pull,push. Parse reads the scope values of one request as clients really
// send them (repeated parameters, several scopes in one value, the same repository twice) and
// merges them to one Scope for each type and name. Text that is no scope is reported beside
// them and never fails a request: a client forwards what a registry's challenge held, and that
// is shaped by whoever made the request.
package scope

import (
	"errors"
)

// Actions is a set of actions. A grant is asked & allowed.
type Actions uint8

// The actions. All is the literal "*": what a registry demands for its catalog. For a repository
// Parse reads "*" as "whatever I may do", that is Pull|Push|Delete, so that All never reaches a
// repository's grant. Read and Write belong to the type "tidewaiter", which is never signed.
const (
	Pull Actions = 1 << iota
	Push
	Delete
	All
	Read
	Write
)

// Repository is the set of all that can be done with a repository.
const Repository = Pull | Push | Delete

// The resource types that Tidewaiter knows.
const (
	TypeRepository = "repository"
	TypeRegistry   = "registry" // its one name is "catalog", its one action All
	TypeTidewaiter = "tidewaiter"
)

// Limits of one request. The registry's own limit of a name is 255 bytes (distribution,
// reference.RepositoryNameTotalLengthMax); a host:port/ prefix may stand before it.
const (
	MaxScopes = 100       // distinct scopes
	MaxBytes  = 16 << 10  // bytes over all values
	MaxName   = 255 + 256 // bytes of one name with its host
)

// ErrTooMuch means that a request's scopes exceed MaxScopes or MaxBytes.
var ErrTooMuch = errors.New("too many scopes")

// Scope is one resource and the actions that are asked for or granted on it. It is comparable.
type Scope struct {
	Type    string  // "repository", "registry", …
	Class   string  // "plugin" of "repository(plugin)"; deprecated, kept for the token
	Name    string  // "team/app", possibly "host:5000/team/app"
	Actions Actions // never empty in what Parse returns
}

// Ignored is text that was offered as a scope and is none.
type Ignored struct {
	Text   string // as it came, at most 256 bytes of it
	Reason string // "the name has an upper-case letter"
}
