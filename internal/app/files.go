package app

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Files has the files from which a config was read, and the state of each file before it was
// read. So a change during the reading is found later, because the new state then differs from
// the recorded state. The zero value has no files.
type Files struct {
	places map[place]bool
	before snapshot
}

// place is a folder, and the name of a file in it or a pattern for names.
type place struct{ folder, name string }

// Seen adds the files that match a pattern in a folder. Call it before the files are read.
func (f *Files) Seen(folder, name string) {
	if f.places == nil {
		f.places, f.before = make(map[place]bool), make(snapshot)
	}
	at := place{folder, name}
	f.places[at] = true
	for file, info := range at.state() {
		if _, known := f.before[file]; !known { // do not replace the first state
			f.before[file] = info
		}
	}
}

// state returns the current state of the files. It includes new files that match a pattern.
func (f *Files) state() snapshot {
	s := make(snapshot)
	for at := range f.places {
		maps.Copy(s, at.state())
	}
	return s
}

// snapshot has the state of each file, by path. The state of a file that does not exist is nil.
type snapshot map[string]os.FileInfo

// state returns the current state of the files at a place.
func (p place) state() snapshot {
	s := make(snapshot)
	if !strings.ContainsAny(p.name, `*?[\`) {
		file := filepath.Join(p.folder, p.name)
		s[file], _ = os.Stat(file)
		return s
	}
	entries, _ := os.ReadDir(p.folder)
	for _, e := range entries {
		if match, _ := filepath.Match(p.name, e.Name()); match && !strings.HasPrefix(e.Name(), ".") {
			file := filepath.Join(p.folder, e.Name())
			s[file], _ = os.Stat(file)
		}
	}
	return s
}

// isSame reports whether no file changed between two snapshots. It compares the list of files,
// their sizes and their modification times.
func (s snapshot) isSame(other snapshot) bool {
	if len(s) != len(other) {
		return false
	}
	for file, info := range s {
		old, known := other[file]
		switch {
		case !known, (info == nil) != (old == nil):
			return false
		case info != nil && (!os.SameFile(info, old) || info.Size() != old.Size() || !info.ModTime().Equal(old.ModTime())):
			return false
		}
	}
	return true
}
