package rulebook

import (
	"cmp"
	"errors"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Errors of operations on the database, for rules and accounts.
var (
	// ErrExists means that the name is already in use.
	ErrExists = errors.New("it exists already")
	// ErrNotFound means that the object does not exist, or that the actor may not see it.
	ErrNotFound = errors.New("there is no such thing")
	// ErrChanged means that the given version is not the current one.
	ErrChanged = errors.New("it has been changed meanwhile")
	// ErrForbidden means that the actor may not do it. If a right is missing, Requires names it.
	ErrForbidden = errors.New("not allowed")
)

// Requires returns the ErrForbidden of an actor without a right: actions on tidewaiter:name.
func Requires(name string, actions scope.Actions) error {
	return &requiresError{"requires " + name + ":" + actions.String()}
}

// ErrRestricted is the ErrForbidden of an actor with a restricted credential.
var ErrRestricted error = &requiresError{"a restricted token cannot do this: sign in with the password, or with a token without restrictions"}

type requiresError struct{ text string }

func (e *requiresError) Error() string { return e.text }

// Is reports that it is an ErrForbidden.
func (e *requiresError) Is(target error) bool { return target == ErrForbidden } //nolint:errorlint // as errors.Is wants it

// InvalidError means that a field has an invalid value. Text never contains a secret.
type InvalidError struct {
	Field string // "name"
	Text  string // "it is empty"
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Text }

// Page selects a part of a list.
type Page struct {
	After string // next of the previous call; "": from the begin
	Limit int    // maximum number of items; 0: 100; never more than 1,000
}

// Size returns the maximum number of items of the page.
func (p Page) Size() int { return min(max(cmp.Or(p.Limit, 100), 1), 1000) }
