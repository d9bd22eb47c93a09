package htpasswd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// maxFile is the maximum size of the file in bytes. It has space for two million entries.
const maxFile = 256 << 20

// mtimeStep is the age from which the modification time of a file is reliable. Some file systems
// have modification times with a precision of two seconds. If a file is younger than this, a
// further change can leave its modification time unchanged.
const mtimeStep = 2 * time.Second

// If maxChanging polls in a row find a changed file, the file is loaded although it still changes.
const maxChanging = 5

// fileState is the state of the file from os.Stat.
type fileState struct {
	info fs.FileInfo // nil: os.Stat failed
}

// equals reports whether the file was not changed between the states s and t: it is the same file,
// with the same size and modification time, or there is no file in either state.
func (s fileState) equals(t fileState) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.ModTime().Equal(t.info.ModTime()) && s.info.Size() == t.info.Size()
}

// fileContent is the content of the file when it was read.
type fileContent struct {
	fileState
	at     time.Time
	text   []byte
	digest [sha256.Size]byte
}

// mayHaveChanged reports whether the file possibly changed after it was read, without a change of
// its modification time.
func (r fileContent) mayHaveChanged() bool {
	return r.info != nil && r.at.Sub(r.info.ModTime()).Abs() < mtimeStep
}

// read reads the file. It returns the zero fileContent if no file is configured.
func (f *File) read() (fileContent, error) {
	if f.path == "" {
		return fileContent{}, nil
	}
	at := f.now()
	info, err := os.Stat(f.path)
	if err != nil {
		return fileContent{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	// Check the kind of file before it is opened, because opening a named pipe waits for a writer.
	if !info.Mode().IsRegular() {
		return fileContent{}, fmt.Errorf("reading htpasswd: %s is not a regular file", f.path)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return fileContent{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	defer file.Close()
	// Get the state of the open file, because the path can now belong to another file.
	if info, err = file.Stat(); err != nil {
		return fileContent{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return fileContent{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	if len(text) > maxFile {
		return fileContent{}, fmt.Errorf("reading htpasswd: %s is larger than %d MiB", f.path, maxFile>>20)
	}
	return fileContent{fileState: fileState{info}, at: at, text: text, digest: sha256.Sum256(text)}, nil
}

// Run loads the file after each change, until ctx ends. If a file has errors, the old entries
// stay and the errors are logged once. Run returns nil.
func (f *File) Run(ctx context.Context) error {
	if f.path == "" {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.poll()
		}
	}
}

// poll loads a changed file as soon as two polls in a row find the same state. The reason is that
// the htpasswd program writes in place. A half-written file can be valid, although half of the
// users are missing. If the file changes at each of maxChanging polls, it is loaded nevertheless.
func (f *File) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, _ := os.Stat(f.path) // read reports the error
	now := fileState{info}
	changing := !now.equals(f.seen)
	f.seen = now
	if changing && f.changing < maxChanging {
		f.changing++
		return
	}
	f.changing = 0
	if now.equals(f.last.fileState) && !f.last.mayHaveChanged() {
		return
	}
	if err := f.loadLocked(); err != nil {
		f.logErrorLocked(err)
	}
}

// Reload loads the file now. After an error, the old entries are still in use. The error lists
// all Problems.
func (f *File) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loadLocked()
}

// loadLocked replaces all entries, or none of them.
func (f *File) loadLocked() error {
	r, err := f.read()
	// If the file cannot be read, f.last becomes the zero fileContent, so the next poll tries
	// again.
	f.last = fileContent{fileState: r.fileState, at: r.at}
	if err != nil {
		return err
	}
	if r.digest == f.digest {
		if f.logged != "" {
			f.logged = ""
			f.log.Info("htpasswd file is back to the loaded content", "file", f.path)
		}
		return nil
	}
	if f.hadContent.Load() && isEmpty(r.text) {
		return fmt.Errorf("reading htpasswd: %w", ErrEmpty)
	}
	e, unknownMembers, err := f.parse(r.text)
	if err != nil {
		return err
	}
	f.replace(e, r)
	for _, s := range unknownMembers {
		if s.Claims != "" {
			f.log.Warn("htpasswd: a name with claims has no entry, which is an error at the next start", "name", s.Claims)
			continue
		}
		f.log.Warn("htpasswd: a member of a group has no entry, which is an error at the next start", "group", s.Group, "problem", s.Text)
	}
	return nil
}

// isEmpty reports whether a file has no content. A comment is content.
func isEmpty(text []byte) bool {
	return len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) == 0
}

// replace publishes the entries.
func (f *File) replace(e *entries, r fileContent) {
	f.entries.Store(e)
	f.hadContent.Store(!isEmpty(r.text))
	f.digest, f.logged = r.digest, ""
	f.log.Info("htpasswd loaded", "file", f.path, "entries", len(e.named))
}

// logErrorLocked logs an error if it differs from the previously logged error.
func (f *File) logErrorLocked(err error) {
	if err.Error() == f.logged {
		return
	}
	f.logged = err.Error()
	var problems Problems
	if !errors.As(err, &problems) {
		f.log.Error("htpasswd not loaded, the old entries stay", "file", f.path, "error", err)
		return
	}
	for _, p := range problems {
		f.log.Error("htpasswd not loaded, the old entries stay", slog.String("file", p.File), slog.Int("line", p.Line), slog.String("problem", p.Text))
	}
}
