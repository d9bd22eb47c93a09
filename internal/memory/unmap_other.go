//go:build !linux

package memory

// unmapProgram does nothing: only Linux reports which pages of a program are mapped.
func unmapProgram() error { return nil }
