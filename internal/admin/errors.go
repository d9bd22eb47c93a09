package admin

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The errors of all managed objects.
var (
	// ErrExists means that the name is already in use.
	ErrExists = errors.New("it exists already")
	// ErrNotFound means that the object does not exist, or that the actor may not see it. A
	// NotFoundError also names the object, for messages to users.
	ErrNotFound = errors.New("there is no such thing")
	// ErrChanged means that the given version is not the current version.
	ErrChanged = errors.New("it has been changed meanwhile")
	// ErrForbidden means that the actor is not allowed to perform the operation. If the actor
	// lacks a right, the error is from Requires and names the right.
	ErrForbidden = errors.New("not allowed")
	// ErrRestricted is an ErrForbidden. It means that the actor's credential is restricted.
	ErrRestricted = Forbidden("a restricted token cannot do this: sign in with the password, or with a token without restrictions")
	// ErrOtherCreation means that the idempotency key has already been used to create another
	// object.
	ErrOtherCreation error = &InvalidError{Field: "key", Text: "it was used for something else"}
)

// Requires returns an ErrForbidden that names the right that the actor lacks, such as write on
// tidewaiter:accounts.
func Requires(right string, actions scope.Actions) error {
	return Forbidden("requires " + right + ":" + actions.String())
}

// Forbidden returns an error that has the given text and matches ErrForbidden.
func Forbidden(text string) error { return &forbiddenError{text} }

type forbiddenError struct{ text string }

func (e *forbiddenError) Error() string { return e.text }

// Is reports whether target is ErrForbidden.
func (e *forbiddenError) Is(target error) bool { return target == ErrForbidden } //nolint:errorlint // errors.Is requires it

// NotFoundError is an ErrNotFound that names the object. If the actor may not see an object, the
// error must be the same as if the object did not exist.
type NotFoundError struct {
	Kind string // "user"
	Name string
	In   string // where the object is missing; "": in the database
}

func (e *NotFoundError) Error() string {
	problem := "there is no " + e.Kind + " " + text.Name(e.Name)
	if e.In != "" {
		problem += " in " + text.Name(e.In)
	}
	return problem
}

// Is reports whether target is ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound } //nolint:errorlint // errors.Is requires it

// Named returns err. If err is ErrNotFound, it returns a NotFoundError with the kind and name
// of the object instead.
func Named(err error, kind, name string) error {
	if errors.Is(err, ErrNotFound) {
		err = &NotFoundError{Kind: kind, Name: name}
	}
	return err
}

// InvalidError means that a field has an invalid value. Text never contains a secret.
type InvalidError struct {
	Field string // "name"
	Text  string // "it is empty"
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Text }

// Wrap adds a description of the action in front of an error. Use defer to call Wrap in a function
// with a named error. Wrap adds no prefix to a NotFoundError about one of
// the args, because the prefix would only repeat the name.
func Wrap(err *error, doing string, args ...any) {
	missing, ok := errors.AsType[*NotFoundError](*err)
	about := func(arg any) bool {
		login, _ := arg.(string)
		return strings.HasSuffix(login, missing.Name) // the login of a robot has a prefix
	}
	switch {
	case *err == nil:
	case ok && *err == error(missing) && slices.ContainsFunc(args, about): //nolint:errorlint // a wrapped error says more
	default:
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(doing, args...), *err)
	}
}

// OrNotFound returns the given row and error. If err is sql.ErrNoRows, it returns ErrNotFound
// instead of err.
func OrNotFound[T any](row T, err error) (T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return row, err
}

// OrExists returns ErrExists if an INSERT with ON CONFLICT DO NOTHING inserted no row.
func OrExists(result sql.Result, err error) error { return affected(result, err, ErrExists) }

// OrChanged is for an UPDATE or DELETE that selects a version of an object. It returns ErrChanged
// if the statement changed no row.
func OrChanged(result sql.Result, err error) error { return affected(result, err, ErrChanged) }

func affected(result sql.Result, err, none error) error {
	n, err := store.Affected(result, err)
	if err == nil && n == 0 {
		err = none
	}
	return err
}

// Invalid returns an InvalidError.
func Invalid(field, format string, args ...any) error {
	return &InvalidError{field, fmt.Sprintf(format, args...)}
}
