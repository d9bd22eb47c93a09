//go:build unix

package store

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Space returns how many bytes the database can still use on its disk, and the size of the disk.
// Space returns false if both are unknown, for example for a database on another machine or in
// memory.
func (db *DB) Space() (free, size uint64, ok bool) {
	at, isFile := db.at.(sqliteLocation)
	if !isFile || at.path == "" {
		return 0, 0, false
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(at.path), &fs); err != nil || fs.Blocks == 0 {
		return 0, 0, false
	}
	block := uint64(fs.Bsize)                                 //nolint:gosec // a size, which some systems declare as signed
	return uint64(fs.Bavail) * block, fs.Blocks * block, true //nolint:unconvert // signed on some systems
}
