//go:build !linux

package storetest

// memory returns "", so databases are created in the system's temporary folder.
func memory() string { return "" }
