package strictyaml

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"
)

// FS reads files. Its methods may be called from any goroutine.
type FS interface {
	// Read returns a file of at most limit bytes.
	Read(file string, limit int64) (src []byte, a Access, err error)
	// Check checks that a file can be opened.
	Check(file string) (Access, error)
	// List returns the names in a folder, sorted.
	List(folder string) ([]string, error)
}

// Access is what all users of this machine can do with a file.
type Access uint8

// Kinds of Access.
const (
	AnyRead Access = 1 << iota
	AnyWrite
)

// Warnings returns the warnings about a file. A file that all users can read causes a warning
// only if the file contains a secret.
func (a Access) Warnings(file string, secret bool) []string {
	var warnings []string
	if a&AnyRead != 0 && secret {
		warnings = append(warnings, "all users of this machine can read "+file)
	}
	if a&AnyWrite != 0 {
		warnings = append(warnings, "all users of this machine can change "+file)
	}
	return warnings
}

// Reader reads the files of one config or policy, and collects their problems. Only one
// goroutine may use a Reader at a time.
type Reader struct {
	FS
	Env      func(string) (string, bool) // returns environment variables
	Parallel int                         // goroutines for parsing; 0: one per core

	Files    []string // the files that were read; problems are sorted in this order
	Reported int      // the number of problems, including those beyond maxProblems
	problems Problems
	warnings Problems
}

// NewReader returns a Reader for the files and the environment of this machine.
func NewReader() *Reader { return &Reader{FS: osFS{}, Env: os.LookupEnv} }

// parsedFile is a file that a goroutine has read and parsed.
type parsedFile struct {
	access   Access
	src      []byte
	node     *yaml.Node // nil if there was a problem
	problems Reader
	err      error // the reason why the file could not be read
}

// Open parses several files in parallel, because parsing takes most of the time of loading a large
// policy. It yields a decoder and the top node of each file, in order. If a file cannot be read,
// Open calls onError, or reports a problem if onError is nil.
func (r *Reader) Open(files []string, onError func(i int, err error)) iter.Seq2[*Decoder, *yaml.Node] {
	if onError == nil {
		onError = func(_ int, err error) { r.Report(Problem{Text: err.Error()}) }
	}
	r.Files = append(r.Files, files...)
	parallel := cmp.Or(max(r.Parallel, 0), runtime.GOMAXPROCS(0))
	return func(yield func(*Decoder, *yaml.Node) bool) {
		all := make([]parsedFile, len(files))
		slots := make(chan struct{}, parallel)
		var wait sync.WaitGroup
		for i, file := range files {
			wait.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				p := &all[i]
				if p.src, p.access, p.err = r.Read(file, maxFile); p.err == nil {
					p.node = parse(file, p.src, parallel, &p.problems)
				}
			})
		}
		wait.Wait()
		for i, file := range files {
			p := &all[i]
			if p.err != nil {
				onError(i, p.err)
				continue
			}
			for _, problem := range p.problems.problems {
				r.Report(problem)
			}
			for _, warning := range p.access.Warnings("it", false) {
				r.ReportWarning(Problem{File: file, Text: warning})
			}
			if p.node != nil && !yield(&Decoder{Reader: r, File: file, Access: p.access, src: p.src}, p.node) {
				return
			}
		}
	}
}

// ErrFolder means that the path of a file is a folder.
var ErrFolder = errors.New("it is a folder")

// osFS is the file system of this machine.
type osFS struct{}

func (osFS) Read(file string, limit int64) ([]byte, Access, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, openError(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, openError(file, err)
	}
	if info.IsDir() {
		return nil, 0, openError(file, ErrFolder)
	}
	var src bytes.Buffer
	src.Grow(int(min(max(info.Size(), 0), limit)) + bytes.MinRead) // pipes have no size
	if _, err := src.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, 0, openError(file, err)
	}
	if int64(src.Len()) > limit {
		return nil, 0, openError(file, fmt.Errorf("it is larger than %d bytes", limit))
	}
	return src.Bytes(), accessOf(info), nil
}

func (osFS) Check(file string) (Access, error) {
	info, err := os.Stat(file) // Open would wait for the writer of a pipe
	switch {
	case err != nil:
		return 0, openError(file, err)
	case info.IsDir():
		return 0, openError(file, ErrFolder)
	case info.Mode().IsRegular():
		f, err := os.Open(file)
		if err != nil {
			return 0, openError(file, err)
		}
		f.Close()
	}
	return accessOf(info), nil
}

func (osFS) List(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, openError(folder, err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// accessOf reads the mode of a file. On Windows the mode does not define who has access.
func accessOf(info fs.FileInfo) (a Access) {
	if runtime.GOOS == "windows" || !info.Mode().IsRegular() {
		return 0
	}
	if info.Mode().Perm()&0o004 != 0 {
		a |= AnyRead
	}
	if info.Mode().Perm()&0o002 != 0 {
		a |= AnyWrite
	}
	return a
}

// openError wraps an error with the path of the file. If the error is an fs.PathError, which
// already has a path, that path is removed.
func openError(file string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("opening %s: %w", file, err)
}

// maxProblems is the maximum number of stored problems, and the maximum number of stored
// warnings. A file that is not a config must not fill the screen or the memory.
const maxProblems = 100

// Report adds a problem.
func (r *Reader) Report(p Problem) {
	if r.Reported++; r.Reported <= maxProblems {
		r.problems = append(r.problems, p.makeReadable())
	}
}

// ReportWarning adds a warning.
func (r *Reader) ReportWarning(p Problem) {
	if len(r.warnings) < maxProblems {
		r.warnings = append(r.warnings, p.makeReadable())
	}
}

// Full reports whether the Reader has stored the maximum number of problems. It only counts
// further problems, so their text is not needed.
func (r *Reader) Full() bool { return r.Reported >= maxProblems }

// Err returns all problems, or nil. Its type is Problems.
func (r *Reader) Err() error {
	if r.Reported == 0 {
		return nil
	}
	ps := r.sortProblems(r.problems)
	if more := r.Reported - len(ps); more > 0 {
		ps = append(ps, Problem{Text: fmt.Sprintf("and %d more problems", more)})
	}
	return ps
}

// Warnings returns all warnings.
func (r *Reader) Warnings() Problems { return r.sortProblems(r.warnings) }

// sortProblems sorts by file, line and column.
func (r *Reader) sortProblems(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(r.Files, a.File), slices.Index(r.Files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column))
	})
	return ps
}
