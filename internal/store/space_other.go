//go:build !unix

package store

// Space returns false: on this system, the space on the database's disk is unknown.
func (db *DB) Space() (free, size uint64, ok bool) { return 0, 0, false }
