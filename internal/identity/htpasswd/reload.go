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

// settled is how old a change must be before its time can be trusted to tell the next one apart:
// there are file systems that count in steps of two seconds.
const settled = 2 * time.Second

// patience is how many looks in a row may find the file changing before it is loaded regardless.
const patience = 5

// sight is the file as a look from outside shows it.
type sight struct {
	info fs.FileInfo // nil: it could not be seen
}

// same says whether nothing shows that the file was changed between the two looks.
func (s sight) same(t sight) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.ModTime().Equal(t.info.ModTime()) && s.info.Size() == t.info.Size()
}

// reading is what the file held.
type reading struct {
	sight
	at     time.Time
	text   []byte
	digest [sha256.Size]byte
}

// fresh says whether the file was changed so shortly before it was read that it may have been changed
// again since, and show the same time.
func (r reading) fresh() bool {
	return r.info != nil && r.at.Sub(r.info.ModTime()).Abs() < settled
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
	return reading{sight: sight{info}, at: at, text: text, digest: sha256.Sum256(text)}, nil
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
			f.look()
		}
	}
}

// look loads the file if it has changed, and has been the same for one look since: the htpasswd
// program writes in place, and half a file may be a good one with half of the names. One that changes
// all the time is loaded all the same.
func (f *File) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, _ := os.Stat(f.path) // what is wrong with it, reading will tell
	now := sight{info}
	changing := !now.same(f.seen)
	f.seen = now
	if changing && f.changing < patience {
		f.changing++
		return
	}
	f.changing = 0
	if now.same(f.last.sight) && !f.last.fresh() {
		return
	}
	if err := f.loadLocked(); err != nil {
		f.complainLocked(err)
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
	f.last = reading{sight: r.sight, at: r.at} // after an error: none, so that the next look tries again
	if err != nil {
		return err
	}
	if r.digest == f.digest {
		if f.bad != "" {
			f.bad = ""
			f.log.Info("htpasswd is again as it was loaded", "file", f.path)
		}
		return nil
	}
	if f.filled.Load() && blank(r.text) {
		return fmt.Errorf("reading htpasswd: %w", ErrEmpty)
	}
	e, strangers, err := f.parse(r.text)
	if err != nil {
		return err
	}
	f.use(e, r)
	for _, s := range strangers {
		if s.Claims != "" {
			f.log.Warn("htpasswd: there are claims of somebody without an entry; the next start will refuse them", "name", s.Claims)
			continue
		}
		f.log.Warn("htpasswd: a group has a member without an entry; the next start will refuse it", "group", s.Group, "problem", s.Text)
	}
	return nil
}

// blank reports whether a file says nothing at all, not even in a comment.
func blank(text []byte) bool {
	return len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) == 0
}

// use makes e what everybody sees.
func (f *File) use(e *entries, r reading) {
	f.entries.Store(e)
	f.filled.Store(!blank(r.text))
	f.digest, f.bad = r.digest, ""
	f.log.Info("htpasswd loaded", "file", f.path, "entries", len(e.named))
}

// complainLocked logs what is wrong, unless it has just been said.
func (f *File) complainLocked(err error) {
	if err.Error() == f.bad {
		return
	}
	f.bad = err.Error()
	var problems Problems
	if !errors.As(err, &problems) {
		f.log.Error("htpasswd not loaded: the entries before stay", "file", f.path, "error", err)
		return
	}
	for _, p := range problems {
		f.log.Error("htpasswd not loaded: the entries before stay", slog.String("file", p.File), slog.Int("line", p.Line), slog.String("problem", p.Text))
	}
}
