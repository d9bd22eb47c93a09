package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// openFile is the database file and its write-ahead log as they were when they were opened. SQLite goes on with its
// open files whatever becomes of their names: what it writes to a file that was deleted is gone when the process ends,
// and what it writes into one that was overwritten spoils both. It notices neither.
//
// check looks at names, and costs two system calls: it is called before and after each write. look reads the file's
// header as well, and is called once a second.
type openFile struct {
	path string
	raw  *rawFile
	id   []byte    // of the instance, which stands in a page that is never written again
	once sync.Once // close

	mu      sync.Mutex
	main    fs.FileInfo
	log     fs.FileInfo // nil: it has not been seen
	changes uint32      // the file's change counter at the last look: it never goes back
	page    int64       // number of the page with the id; 0: not known
	closed  bool
	doubts  int // looks in a row that found something wrong
}

// The header of a file of SQLite: https://www.sqlite.org/fileformat.html#the_database_header
const (
	headerSize        = 100
	headerMagic       = "SQLite format 3\x00"
	headerPageSize    = 16 // two bytes; 1 stands for 65536
	headerChanges     = 24 // four bytes, as all that follow
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
	if !f.holdsID(page) { // a file that another process has just brought up to date
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

// check reports whether the names still lead to what is open. The error is ErrReplaced.
func (f *openFile) check() error {
	_, err := f.checked()
	return err
}

// checked is check with what is known of the file then. It is nil once the file is closed.
func (f *openFile) checked() (fs.FileInfo, error) {
	main, err := os.Stat(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, nil // whoever uses it now is told that
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s was deleted or moved away", errGone, f.path)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrReplaced, err)
	case !os.SameFile(main, f.main):
		return nil, fmt.Errorf("%w: %s is another file now", errGone, f.path)
	case main.Size() == 0:
		return nil, fmt.Errorf("%w: %s was emptied", ErrReplaced, f.path)
	}
	log, err := os.Stat(f.logPath())
	switch {
	case err == nil && f.log == nil:
		f.log = log
	case err == nil && !os.SameFile(log, f.log):
		return nil, fmt.Errorf("%w: %s is another file now", errGone, f.logPath())
	case err != nil && f.log != nil:
		return nil, fmt.Errorf("%w: %s was deleted or moved away", errGone, f.logPath())
	}
	return main, nil
}

// look is check with a look into the file, for one that was overwritten in place, as cp does. It says whether the file
// has become smaller since the last look, which a truncated file has, and one after VACUUM.
func (f *openFile) look(page int64) (smaller bool, err error) {
	info, err := f.checked()
	if info == nil {
		return false, err
	}
	return f.lookInto(info, page)
}

// lookInto is the rest of look. It takes what was checked: what the name leads to now may be another file.
func (f *openFile) lookInto(info fs.FileInfo, page int64) (smaller bool, err error) {
	before := f.size()
	header, err := f.raw.header()
	found := f.holdsID(f.page) || f.holdsID(page)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.main = info
	wrong := ""
	switch {
	case err != nil || string(header[:len(headerMagic)]) != headerMagic || binary.BigEndian.Uint32(header[headerApplication:]) != application:
		wrong = "what is no database of Tidewaiter"
	case binary.BigEndian.Uint32(header[headerChanges:]) < f.changes:
		wrong = "an older one"
	case f.page > 0 && !found:
		wrong = "another one"
	default:
		f.changes = binary.BigEndian.Uint32(header[headerChanges:])
	}
	// Twice in a row: the page with the id moves when the file is vacuumed, and is nowhere while that is written back.
	if f.doubts++; wrong == "" {
		f.doubts = 0
	}
	if f.doubts > 1 {
		return false, fmt.Errorf("%w: %s was overwritten with %s", ErrReplaced, f.path, wrong)
	}
	return info.Size() < before, nil
}

func (f *openFile) size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.main.Size()
}

// holdsID reports whether the id stands in a page of the file itself.
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

// close lets go of the file, after SQLite did. A write-ahead log that belongs to a file which is no longer there is
// removed: SQLite would take it for that of whatever file bears the name next, and spoil it.
func (f *openFile) close() (err error) {
	f.once.Do(func() { err = f.letGo() })
	return err
}

func (f *openFile) letGo() error {
	err := f.raw.close()
	main, mainErr := os.Stat(f.path)
	log, logErr := os.Stat(f.logPath())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	gone := errors.Is(mainErr, fs.ErrNotExist) || mainErr == nil && !os.SameFile(main, f.main)
	if gone && logErr == nil && f.log != nil && os.SameFile(log, f.log) {
		return errors.Join(err, os.Remove(f.logPath()), os.Remove(f.path+"-shm"))
	}
	return err
}

// rawFile is the database file, open for looking at it beside SQLite. POSIX locks belong to a process and a file: to
// close any descriptor of a file ends all locks that SQLite holds on it. So it stays open until the last
// DB of this process that has the file open is closed.
type rawFile struct {
	*os.File
	info fs.FileInfo
	uses int
}

// rawFiles are the files that this process has open.
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
	for i, other := range rawFiles.all {
		if other == r {
			rawFiles.all = append(rawFiles.all[:i], rawFiles.all[i+1:]...)
			break
		}
	}
	return r.File.Close()
}
