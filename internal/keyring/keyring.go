// Package keyring answers: which key signs now?
//
// A Keyring holds the root, makes a short-lived leaf under it, and renews the leaf long before it ends.
// Signers never wait for a renewal: they read one pointer.
package keyring
