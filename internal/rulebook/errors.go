package rulebook

import (
	"cmp"
	"errors"
)

// What all that is kept in the database fails with, rules and accounts alike.
var (
	// ErrExists means that the name is taken.
	ErrExists = errors.New("it exists already")
	// ErrNotFound means that there is no such thing, or that the actor may not know of it.
	ErrNotFound = errors.New("there is no such thing")
	// ErrChanged means that the version is not the present one: somebody else was faster.
	ErrChanged = errors.New("it has been changed meanwhile")
	// ErrForbidden means that the actor has no right to it.
	ErrForbidden = errors.New("the right to do that is missing")
)

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
