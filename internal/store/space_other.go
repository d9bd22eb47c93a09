//go:build !unix

package store

// Space returns false, because the space on the database's disk is unknown on this system.
func (db *DB) Space() (free, size uint64, ok bool) { return 0, 0, false }
