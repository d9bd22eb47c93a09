package rulebook

import (
	"cmp"
	"errors"

	"github.com/tidewaiter/tidewaiter/scope"
)

// What all that is kept in the database fails with, rules and accounts alike.
var (
	// ErrExists means that the name is taken.
	ErrExists = errors.New("it exists already")
	// ErrNotFound means that there is no such thing, or that the actor may not know of it.
	ErrNotFound = errors.New("there is no such thing")
	// ErrChanged means that the version is not the present one: somebody else was faster.
	ErrChanged = errors.New("it has been changed meanwhile")
	// ErrForbidden means that the actor may not do it. Where a right is missing, Requires names it.
	ErrForbidden = errors.New("not allowed")
)

// Requires is the ErrForbidden of an actor without a right: actions on tidewaiter:name.
func Requires(name string, actions scope.Actions) error {
	return &requiresError{"requires " + name + ":" + actions.String()}
}

// ErrRestricted is the ErrForbidden of an actor whose credential is narrower than its owner's rights.
var ErrRestricted error = &requiresError{"a restricted token cannot do this: sign in with the password, or with a token without restrictions"}

type requiresError struct{ text string }

func (e *requiresError) Error() string { return e.text }

// Is makes it an ErrForbidden.
func (e *requiresError) Is(target error) bool { return target == ErrForbidden } //nolint:errorlint // as errors.Is wants it

// InvalidError means that what was given for a field cannot be taken. Text is for people, and never
// shows a secret.
type InvalidError struct {
	Field string // "name"
	Text  string // "it is empty"
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Text }

// Page is which part of a list is wanted.
type Page struct {
	After string // what the last call returned as next; "": from the beginning
	Limit int    // at most so many; 0: 100; never more than 1,000
}

// Size is how many items the page has at most.
func (p Page) Size() int { return min(max(cmp.Or(p.Limit, 100), 1), 1000) }
