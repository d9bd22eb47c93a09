//go:build !linux

package storetest

// memory returns "": databases are created in the system's temporary folder.
func memory() string { return "" }
