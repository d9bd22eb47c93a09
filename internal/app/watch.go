package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

const (
	lookEvery = time.Second // the time between two checks for changed files
	// The time after which a failed reload is retried. The cause of the failure can be outside the
	// files, and can end although no file changes.
	retryEvery = 10 * time.Second
)

// Reading is a function that reads a config. Before it reads a file, or a folder for a pattern, it
// calls the function seen. It does so even if reading fails.
type Reading func(seen func(folder, name string)) (*config.Config, error)

// Watch reloads files until ctx ends. Watch is for a config that was read from the given files. It
// reloads on each value from the channel reload. It also reloads when a file changes, except if
// the config has policy.watch: false. Watch reads a changed file when two checks in a row find no
// further change, so that it does not read a half-written file. If the files have an error, a
// reload applies nothing. Each error is logged only the first time.
func (a *App) Watch(ctx context.Context, files *Files, read Reading, reload <-chan struct{}) {
	f := watcher{app: a, read: read, loaded: *files, onErrors: a.journalRefused}
	f.current = f.loaded.state()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			f.logged = "" // log all errors again
			f.reload(ctx)
		case <-tick.C:
			f.tick(ctx)
		}
	}
}

// watcher is the state of one Watch.
type watcher struct {
	app  *App
	read Reading
	// onErrors is called when the errors differ from the previous errors.
	onErrors func(ctx context.Context, file string, problems []string)

	loaded  Files     // the files of the previous read
	current snapshot  // the state of these files at the previous check
	logged  string    // the errors that are logged already
	failed  time.Time // the time of the previous attempt, if it failed
}

func (f *watcher) tick(ctx context.Context) {
	before := f.current
	f.current = f.loaded.state()
	if !f.app.appliedConfig().Watch {
		f.app.unread.Store(!f.current.isSame(f.loaded.before))
		return
	}
	switch {
	case !f.current.isSame(before): // a file can be half-written
	case !f.current.isSame(f.loaded.before):
		f.logged = ""
		f.reload(ctx)
	case !f.failed.IsZero() && time.Since(f.failed) >= retryEvery:
		f.reload(ctx)
	}
}

// reload reads all files and reloads the app.
func (f *watcher) reload(ctx context.Context) {
	var files Files
	cfg, err := f.read(files.Seen)
	f.loaded, f.current = files, files.state()
	f.app.unread.Store(false)
	err = f.app.apply(ctx, cfg, err)
	f.failed = time.Time{}
	if err != nil {
		f.failed = time.Now()
		f.logErrors(ctx, err)
		return
	}
	f.logged = ""
	f.app.record(journal.Service{Action: "service.reload", Target: cfg.File, Details: map[string]any{"policy": f.app.rulebook.Policy().ID()}})
	f.app.log.Info("reloaded", "config", cfg.File, "registries", cfg.Services, "rules", f.app.rulebook.Policy().Len(), "policy", f.app.rulebook.Policy().ID())
}

// logErrors logs each error on a separate line. If the same errors were logged before, it does
// nothing.
func (f *watcher) logErrors(ctx context.Context, err error) {
	if f.logged == err.Error() {
		return
	}
	f.logged = err.Error()
	problems := lines(err)
	for _, line := range problems {
		f.app.log.Error("reloading: " + line)
	}
	file := f.app.appliedConfig().File
	f.app.log.Error("reload failed, nothing changed", "config", file)
	f.onErrors(ctx, file, problems)
}

const (
	// maxRefused is the maximum number of errors of a failed reload in the journal. The log has
	// all errors.
	maxRefused = 20
	// refusedTakes is the maximum time that the next check waits for the journal entry of a failed
	// reload.
	refusedTakes = 5 * time.Second
)

// journalRefused records in the journal that the files were not applied, with the errors.
func (a *App) journalRefused(ctx context.Context, file string, problems []string) {
	details := map[string]any{"in_force": a.rulebook.Policy().ID(), "problems": problems[:min(len(problems), maxRefused)]}
	if more := len(problems) - maxRefused; more > 0 {
		details["problems_more"] = more
	}
	writing, end := context.WithTimeout(ctx, refusedTakes)
	defer end()
	entry := journal.Entry{Service: &journal.Service{Action: "policy.refuse", Target: file, Refused: problems[0], Details: details}}
	if err := a.journal.Append(writing, entry); err != nil {
		a.log.Warn("recording a failed reload in the journal failed", "error", err)
	}
}

// lines returns the text of each error that is joined in err.
func lines(err error) []string {
	var text []string
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
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

// apply calls Reload with the config that was read. If the config could not be read, apply records
// the error for /readyz.
func (a *App) apply(ctx context.Context, cfg *config.Config, err error) error {
	if err == nil {
		err = a.Reload(ctx, cfg)
	} else {
		a.reloadError.Store(&err)
	}
	return err
}

// appliedConfig returns the config of the newest successful reload.
func (a *App) appliedConfig() *config.Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config
}

// notes returns warnings for /readyz. If inFull is true, the warnings contain file names and text
// of files.
func (a *App) notes(inFull bool) (notes []string) {
	if a.unread.Load() {
		notes = append(notes, "files: some have changed since Tidewaiter read them; policy.watch is false, so send SIGHUP to apply the changes")
	}
	if note := a.disk.note(); note != "" {
		notes = append(notes, note)
	}
	for _, p := range a.derived.Status() {
		if p.Err != nil {
			text := p.Title + ": it cannot be written, so " + p.Lag
			if inFull {
				text += ": " + p.Err.Error()
			}
			notes = append(notes, text)
		}
	}
	notes = append(notes, a.webhookProblems()...)
	err := a.reasonNotInForce()
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
