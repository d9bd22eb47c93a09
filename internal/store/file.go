package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// openFile describes the open database file and its write-ahead log. SQLite keeps using its open
// files and does not notice if they are deleted, renamed or overwritten. Data that it writes to a
// deleted file is lost when the process ends. Data that it writes to an overwritten file corrupts
// both databases.
//
// The method check compares names and takes two system calls. It runs before and after each
// write. The method look reads the file's header and runs once a second.
type openFile struct {
	path string
	raw  *rawFile
	id   []byte // id of the instance; the page that contains it never changes

	mu         sync.Mutex
	main       fs.FileInfo
	log        fs.FileInfo // nil: the log has not been seen yet
	changes    uint32      // the change counter in the header at the last look; it never decreases
	page       int64       // number of the page with the id; 0: unknown
	closed     bool
	suspicions int // number of consecutive looks that found an error
}

// The header of a SQLite file: https://www.sqlite.org/fileformat.html#the_database_header
const (
	headerSize        = 100
	headerMagic       = "SQLite format 3\x00"
	headerPageSize    = 16 // two bytes; 1 means 65536
	headerChanges     = 24 // four bytes, like the following fields
	headerApplication = 68
)

func watchFile(path, id string, page int64) (*openFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	raw, err := openRaw(path)
	if err != nil {
		return nil, err
	}
	f := &openFile{path: path, raw: raw, id: []byte(id), main: info, page: page}
	if !f.holdsID(page) { // another process may have just migrated the file
		f.page = 0
	}
	if header, err := raw.header(); err == nil {
		f.changes = binary.BigEndian.Uint32(header[headerChanges:])
	}
	if info, err := os.Stat(f.logPath()); err == nil {
		f.log = info
	}
	return f, nil
}

func (f *openFile) logPath() string { return f.path + "-wal" }

// check returns the file's current info, or ErrReplaced if a name no longer refers to the open
// file. Both results are nil after close.
func (f *openFile) check() (fs.FileInfo, error) {
	main, err := os.Stat(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, nil // the caller gets the error of a closed database
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s was deleted or moved away", errGone, f.path)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrReplaced, err)
	case !os.SameFile(main, f.main):
		return nil, fmt.Errorf("%w: %s was replaced by another file", errGone, f.path)
	case main.Size() == 0:
		return nil, fmt.Errorf("%w: %s was emptied", ErrReplaced, f.path)
	}
	log, err := os.Stat(f.logPath())
	switch {
	case err == nil && f.log == nil:
		f.log = log
	case err == nil && !os.SameFile(log, f.log):
		return nil, fmt.Errorf("%w: %s was replaced by another file", errGone, f.logPath())
	case err != nil && f.log != nil:
		return nil, fmt.Errorf("%w: %s was deleted or moved away", errGone, f.logPath())
	}
	return main, nil
}

// look reads the file to detect whether it was overwritten in place, as cp does. look reports
// whether the file has shrunk since the last look, by truncation or VACUUM. The argument info is
// the result of check. look must not use the file's name again, because the name may now refer to
// another file.
func (f *openFile) look(info fs.FileInfo, page int64) (smaller bool, err error) {
	header, err := f.raw.header()
	found := f.holdsID(f.page) || f.holdsID(page)
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.main.Size()
	f.main = info
	wrong := ""
	switch {
	case err != nil || string(header[:len(headerMagic)]) != headerMagic || binary.BigEndian.Uint32(header[headerApplication:]) != application:
		wrong = "a file that is not a Tidewaiter database"
	case binary.BigEndian.Uint32(header[headerChanges:]) < f.changes:
		wrong = "an older version of the database"
	case f.page > 0 && !found:
		wrong = "another database"
	default:
		f.changes = binary.BigEndian.Uint32(header[headerChanges:])
	}
	// A single look can find an error in an intact file: VACUUM moves the page with the id, and
	// no page has the id while SQLite writes this change to the file. So only an error in two
	// consecutive looks counts.
	if f.suspicions++; wrong == "" {
		f.suspicions = 0
	}
	if f.suspicions > 1 {
		return false, fmt.Errorf("%w: %s was overwritten with %s", ErrReplaced, f.path, wrong)
	}
	return info.Size() < before, nil
}

// holdsID reports whether the given page of the file contains the database's id. It reads the file
// directly, without SQLite.
func (f *openFile) holdsID(page int64) bool {
	if page <= 0 {
		return false
	}
	header, err := f.raw.header()
	if err != nil {
		return false
	}
	size := int64(binary.BigEndian.Uint16(header[headerPageSize:]))
	if size == 1 {
		size = 65536
	}
	text := make([]byte, size)
	if _, err := f.raw.ReadAt(text, (page-1)*size); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return bytes.Contains(text, f.id)
}

// close closes the file, after SQLite has closed it. If the database file no longer exists,
// close removes its write-ahead log. Otherwise SQLite would apply the log to the next file of
// that name and corrupt the file.
func (f *openFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	err := f.raw.close()
	main, mainErr := os.Stat(f.path)
	log, logErr := os.Stat(f.logPath())
	gone := errors.Is(mainErr, fs.ErrNotExist) || mainErr == nil && !os.SameFile(main, f.main)
	if gone && logErr == nil && f.log != nil && os.SameFile(log, f.log) {
		return errors.Join(err, os.Remove(f.logPath()), os.Remove(f.path+"-shm"))
	}
	return err
}

// rawFile is the database file, which this package opens to read it independently of SQLite.
// POSIX locks belong to a process and a file: closing any descriptor of the file releases all
// of SQLite's locks on it. So a rawFile stays open until the last DB of this process that uses
// the file is closed.
type rawFile struct {
	*os.File
	info fs.FileInfo
	uses int
}

// rawFiles are the open files of this process.
var rawFiles struct {
	sync.Mutex
	all []*rawFile
}

func openRaw(path string) (*rawFile, error) {
	rawFiles.Lock()
	defer rawFiles.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for _, r := range rawFiles.all {
		if os.SameFile(r.info, info) {
			r.uses++
			return r, nil
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &rawFile{File: file, info: info, uses: 1}
	rawFiles.all = append(rawFiles.all, r)
	return r, nil
}

func (r *rawFile) header() ([]byte, error) {
	header := make([]byte, headerSize)
	_, err := r.ReadAt(header, 0)
	return header, err
}

func (r *rawFile) close() error {
	rawFiles.Lock()
	defer rawFiles.Unlock()
	if r.uses--; r.uses > 0 {
		return nil
	}
	rawFiles.all = slices.DeleteFunc(rawFiles.all, func(other *rawFile) bool { return other == r })
	return r.File.Close()
}
