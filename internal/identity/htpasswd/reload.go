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

// maxFile bounds the file: two million entries.
const maxFile = 256 << 20

// mtimeStep is how old a change must be before its time can be trusted to tell the next one apart:
// there are file systems that count in steps of two seconds.
const mtimeStep = 2 * time.Second

// maxChanging is how many looks in a row may find the file changing before it is loaded regardless.
const maxChanging = 5

// fileState is the file as a look from outside shows it.
type fileState struct {
	info fs.FileInfo // nil: it could not be seen
}

// same says whether nothing shows that the file was changed between the two looks.
func (s fileState) same(t fileState) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.ModTime().Equal(t.info.ModTime()) && s.info.Size() == t.info.Size()
}

// reading is what the file held.
type reading struct {
	fileState
	at     time.Time
	text   []byte
	digest [sha256.Size]byte
}

// mayHaveChanged says whether the file was changed so shortly before it was read that it may have been changed
// again since, and show the same time.
func (r reading) mayHaveChanged() bool {
	return r.info != nil && r.at.Sub(r.info.ModTime()).Abs() < mtimeStep
}

// read reads the file, if there is one.
func (f *File) read() (reading, error) {
	if f.path == "" {
		return reading{}, nil
	}
	at := f.now()
	info, err := os.Stat(f.path)
	if err != nil {
		return reading{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	if !info.Mode().IsRegular() { // before it is opened: opening a named pipe waits for a writer
		return reading{}, fmt.Errorf("reading htpasswd: %s is not a regular file", f.path)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return reading{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil { // of what is read, whatever the path leads to now
		return reading{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return reading{}, fmt.Errorf("reading htpasswd: %w", err)
	}
	if len(text) > maxFile {
		return reading{}, fmt.Errorf("reading htpasswd: %s is larger than %d MiB", f.path, maxFile>>20)
	}
	return reading{fileState: fileState{info}, at: at, text: text, digest: sha256.Sum256(text)}, nil
}

// Run looks after the file until ctx ends, and loads it again after each change. A file with a mistake
// changes nothing: the one before stays, and the log says where the mistake is, once. It returns nil.
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

// poll loads the file if it has changed, and has been the same for one look since: the htpasswd
// program writes in place, and half a file may be a good one with half of the names. One that changes
// all the time is loaded all the same.
func (f *File) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, _ := os.Stat(f.path) // what is wrong with it, reading will tell
	now := fileState{info}
	changing := !now.same(f.seen)
	f.seen = now
	if changing && f.changing < maxChanging {
		f.changing++
		return
	}
	f.changing = 0
	if now.same(f.last.fileState) && !f.last.mayHaveChanged() {
		return
	}
	if err := f.loadLocked(); err != nil {
		f.logErrorLocked(err)
	}
}

// Reload loads the file now. An error means that nothing has changed; it holds all Problems.
func (f *File) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loadLocked()
}

// loadLocked replaces the entries all at once, or not at all.
func (f *File) loadLocked() error {
	r, err := f.read()
	f.last = reading{fileState: r.fileState, at: r.at} // after an error: none, so that the next look tries again
	if err != nil {
		return err
	}
	if r.digest == f.digest {
		if f.logged != "" {
			f.logged = ""
			f.log.Info("htpasswd is again as it was loaded", "file", f.path)
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
			f.log.Warn("htpasswd: there are claims of somebody without an entry; the next start will refuse them", "name", s.Claims)
			continue
		}
		f.log.Warn("htpasswd: a group has a member without an entry; the next start will refuse it", "group", s.Group, "problem", s.Text)
	}
	return nil
}

// isEmpty reports whether a file says nothing at all, not even in a comment.
func isEmpty(text []byte) bool {
	return len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) == 0
}

// replace makes e what everybody sees.
func (f *File) replace(e *entries, r reading) {
	f.entries.Store(e)
	f.hadContent.Store(!isEmpty(r.text))
	f.digest, f.logged = r.digest, ""
	f.log.Info("htpasswd loaded", "file", f.path, "entries", len(e.named))
}

// logErrorLocked logs what is wrong, unless it has just been said.
func (f *File) logErrorLocked(err error) {
	if err.Error() == f.logged {
		return
	}
	f.logged = err.Error()
	var problems Problems
	if !errors.As(err, &problems) {
		f.log.Error("htpasswd not loaded: the entries before stay", "file", f.path, "error", err)
		return
	}
	for _, p := range problems {
		f.log.Error("htpasswd not loaded: the entries before stay", slog.String("file", p.File), slog.Int("line", p.Line), slog.String("problem", p.Text))
	}
}
