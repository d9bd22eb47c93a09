package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

const (
	lookEvery  = time.Second      // how often it is looked whether a file has changed
	retryEvery = 10 * time.Second // how often what is wrong is tried again: it may lie with what is in no file
)

// Reading reads a config. seen is told each file and pattern of files that is looked at, also if it fails.
type Reading func(seen func(folder, name string)) (*config.Config, error)

// Follow takes what files say when they change, until ctx ends: when somebody says again, and, unless the config says policy.watch:
// false, when it sees that one is another. A file is taken when it has rested for a look, so that one which is half
// written is not. All of it takes effect, or, if anything is wrong, none; each mistake goes to the log once.
func (a *App) Follow(ctx context.Context, read Reading, again <-chan struct{}) {
	f := follower{app: a, read: read, files: make(map[place]bool), refused: a.journalRefused}
	f.begin()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			f.told = "" // who asks is told
			f.take(ctx)
		case <-tick.C:
			f.tick(ctx)
		}
	}
}

// follower is one Follow.
type follower struct {
	app     *App
	read    Reading
	refused func(ctx context.Context, problems []string) // is told each set of mistakes once

	files   map[place]bool // what the last reading looked at
	resting picture        // at the last look
	taken   picture        // when it was read last
	told    string         // what is wrong, if that is in the log
	failed  time.Time      // when it was tried last, if it failed
}

// place is a file, or a pattern of files, in a folder.
type place struct{ folder, name string }

// picture is what files looked like, each by its path.
type picture map[string]os.FileInfo

// begin finds out which files there are to follow. Where they say another thing already than what the app began with, they are taken
// at the next look.
func (f *follower) begin() {
	cfg, err := f.read(func(folder, name string) { f.files[place{folder, name}] = true })
	f.look()
	if err == nil && cfg.Policy.ID() == f.app.written() {
		f.taken = f.resting
	}
}

func (f *follower) tick(ctx context.Context) {
	before := f.resting
	f.look()
	if !f.app.watches() {
		f.app.unread.Store(!f.resting.same(f.taken))
		return
	}
	switch {
	case !f.resting.same(before): // it is being written
	case !f.resting.same(f.taken):
		f.told = ""
		f.take(ctx)
	case !f.failed.IsZero() && time.Since(f.failed) >= retryEvery:
		f.take(ctx)
	}
}

// take reads all files, and lets the app have what they say.
func (f *follower) take(ctx context.Context) {
	f.look()
	f.taken = f.resting
	files := make(map[place]bool)
	cfg, err := f.read(func(folder, name string) { files[place{folder, name}] = true })
	if len(files) > 0 {
		f.files = files
		f.look() // with those that are new
		f.taken = f.resting
	}
	f.app.unread.Store(false)
	err = f.app.take(ctx, cfg, err)
	f.failed = time.Time{}
	if err != nil {
		f.failed = time.Now()
		f.tell(ctx, err)
		return
	}
	f.told = ""
	f.app.log.Info("reloaded", "config", cfg.File, "registries", filesOf(cfg).Services, "rules", f.app.rulebook.Policy().Len(), "policy", f.app.rulebook.Policy().ID())
}

// tell writes what is wrong to the log, a line each, unless it is there already.
func (f *follower) tell(ctx context.Context, err error) {
	if f.told == err.Error() {
		return
	}
	f.told = err.Error()
	problems := lines(err)
	for _, line := range problems {
		f.app.log.Error("reloading: " + line)
	}
	f.app.log.Error("nothing is reloaded: all stays as it was", "config", f.app.file())
	f.refused(ctx, problems)
}

const (
	// maxRefused is how many mistakes the journal names of a reload that was refused; the log has all.
	maxRefused = 20
	// refusedTakes is how long the next look at the files waits for that entry.
	refusedTakes = 5 * time.Second
)

// journalRefused notes in the journal that what files say now does not come into force, and why.
func (a *App) journalRefused(ctx context.Context, problems []string) {
	to := map[string]any{"in_force": a.rulebook.Policy().ID(), "problems": problems[:min(len(problems), maxRefused)]}
	if more := len(problems) - maxRefused; more > 0 {
		to["problems_more"] = more
	}
	writing, end := context.WithTimeout(ctx, refusedTakes)
	defer end()
	entry := journal.Entry{Change: &journal.Change{Actor: "tidewaiter", Action: "policy.refuse", Target: a.file(), To: to}}
	if err := a.journal.Append(writing, entry); err != nil {
		a.log.Warn("the journal cannot record that a reload was refused", "error", err)
	}
}

// lines are the mistakes of an error.
func lines(err error) []string {
	var text []string
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			text = append(text, p.String())
		}
		return text
	}
	if conflicts, ok := errors.AsType[rulebook.Conflicts](err); ok {
		return conflicts
	}
	return []string{err.Error()}
}

// look takes a picture of the files.
func (f *follower) look() {
	p := make(picture)
	for at := range f.files {
		file := filepath.Join(at.folder, at.name)
		if !strings.ContainsAny(at.name, `*?[\`) {
			p[file], _ = os.Stat(file) // nil: it is not there
			continue
		}
		entries, _ := os.ReadDir(at.folder)
		for _, e := range entries {
			if match, _ := filepath.Match(at.name, e.Name()); match && !strings.HasPrefix(e.Name(), ".") {
				file := filepath.Join(at.folder, e.Name())
				p[file], _ = os.Stat(file)
			}
		}
	}
	f.resting = p
}

// same says whether files look as they did: the same ones, of the same size, written at the same time.
func (p picture) same(before picture) bool {
	if len(p) != len(before) {
		return false
	}
	for file, is := range p {
		was, known := before[file]
		switch {
		case !known, (is == nil) != (was == nil):
			return false
		case is != nil && (!os.SameFile(is, was) || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime())):
			return false
		}
	}
	return true
}

// take is Reload with what was read, or with why it could not be, which is remembered for who asks how we are.
func (a *App) take(ctx context.Context, cfg *config.Config, err error) error {
	if err == nil {
		err = a.Reload(ctx, cfg)
	} else {
		a.reloading.Store(&reloading{err, a.now()})
	}
	return err
}

func (a *App) watches() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config.Watch
}

func (a *App) file() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config.File
}

// written is the version of what files said when they were taken last.
func (a *App) written() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.files
}

// notes is what there is to say to who asks whether we are ready, though we are. In full it names files, and what is in them.
func (a *App) notes(inFull bool) (notes []string) {
	if a.unread.Load() {
		notes = append(notes, "files: changed since they were read; with policy.watch: false, SIGHUP reads them")
	}
	err := a.problem()
	if err == nil {
		return notes
	}
	text := "policy: last good version " + a.rulebook.Policy().ID()
	if !inFull {
		return append(notes, text)
	}
	wrong := lines(err)
	text += ", " + wrong[0]
	if more := len(wrong) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return append(notes, text)
}
