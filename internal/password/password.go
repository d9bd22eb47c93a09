// Package password answers: is this the password of that hash?
//
// Hashing is slow on purpose. Hashing bounds how many run at once, so that a flood of wrong passwords
// waits for itself and for nobody else, and remembers for a short time, keyed by a secret of this
// process, which (hash, password) pairs held, so that a password that is used for every pull is
// hashed once. A changed hash is another pair: nothing has to be forgotten.
package password

import "errors"

var (
	// ErrMismatch means that the password is not that of the hash.
	ErrMismatch = errors.New("wrong password")
	// ErrTooLong means that a password is longer than bcrypt reads (72 bytes): it is refused, never cut.
	ErrTooLong = errors.New("password longer than 72 bytes")
	// ErrBusy means that the lane is full, or that the wait for it took too long. It is an outage, no refusal.
	ErrBusy = errors.New("too many passwords are being checked")
)
