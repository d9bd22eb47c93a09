package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
)

// File is a file that receives entries as lines of JSON.
type File struct {
	Path string
	// MaxSize is the size in bytes at which the file is renamed to Path.1, Path.1 to Path.2, and
	// so on. 0: never.
	MaxSize  int64
	MaxFiles int // renamed files that are kept
}

// maxTorn is the maximum length of an incomplete line at the end of a file.
const maxTorn = 16 << 20

// lineFile writes lines to a File. Its methods may be called from any goroutine.
type lineFile struct {
	File

	mu       sync.Mutex // guards the fields below
	open     *os.File   // nil: not open
	size     int64
	unsynced bool
}

// write appends a line. If it fails, the file has no part of the line.
func (f *lineFile) write(line []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	line = append(line, '\n')
	if f.open == nil {
		if err := f.openFile(); err != nil {
			return err
		}
	}
	if f.MaxSize > 0 && f.size > 0 && f.size+int64(len(line)) > f.MaxSize {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if _, err := f.open.Write(line); err != nil {
		return errors.Join(err, f.open.Truncate(f.size))
	}
	f.size += int64(len(line))
	f.unsynced = true
	return nil
}

// openFile opens the file for appending. A crash can have left an incomplete line at the end, which
// is removed: its entry is written again.
func (f *lineFile) openFile() error {
	opened, err := os.OpenFile(f.Path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := completeSize(opened)
	if err == nil {
		err = opened.Truncate(size)
	}
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	f.open, f.size = opened, size
	return nil
}

// completeSize returns the size of a file without an incomplete last line. A file of another
// purpose, such as a database, is an error: removing the end of such a file would destroy it.
func completeSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", f.Name())
	}
	first := make([]byte, 1)
	if _, err := f.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if first[0] != '{' && first[0] != 0 { // 0: the file is empty, or a crash of the machine left zeros
		return 0, notLines(f)
	}
	const step = 4096
	part := make([]byte, step)
	for end := info.Size(); end > 0; {
		begin := max(0, end-step)
		if _, err := f.ReadAt(part[:end-begin], begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(part[:end-begin], '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		if end = begin; info.Size()-end > maxTorn {
			return 0, notLines(f)
		}
	}
	return 0, nil
}

func notLines(f *os.File) error {
	return fmt.Errorf("%s does not have lines of JSON; give another file", f.Name())
}

// rotate renames the file and the files that were renamed before, and opens a new file.
func (f *lineFile) rotate() error {
	if err := f.closeFile(); err != nil {
		return err
	}
	name := func(i int) string { return f.Path + "." + strconv.Itoa(i) }
	for i := f.MaxFiles; i >= 1; i-- {
		old := f.Path
		if i > 1 {
			old = name(i - 1)
		}
		if err := os.Rename(old, name(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if f.MaxFiles == 0 {
		if err := os.Remove(f.Path); err != nil {
			return err
		}
	}
	return f.openFile()
}

// sync returns nil when all lines are on disk. If another program has renamed the file, sync closes
// it, so that the next line begins a new file.
func (f *lineFile) sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		return nil
	}
	if f.unsynced {
		if err := f.open.Sync(); err != nil {
			_ = f.open.Close()
			f.open, f.unsynced = nil, false
			return err
		}
		f.unsynced = false
	}
	named, err := os.Stat(f.Path)
	opened, openErr := f.open.Stat()
	if err != nil || openErr != nil || !os.SameFile(named, opened) {
		return f.closeFile()
	}
	f.size = opened.Size() // another program can have truncated it
	return nil
}

// close closes the file. Its lines are on disk.
func (f *lineFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closeFile()
}

func (f *lineFile) closeFile() error {
	if f.open == nil {
		return nil
	}
	if f.unsynced {
		if err := f.open.Sync(); err != nil {
			return err
		}
	}
	err := f.open.Close()
	f.open, f.unsynced = nil, false
	return err
}
