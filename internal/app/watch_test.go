package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
)

// With policy.watch: false, files are read only on SIGHUP, not when they change.
func TestUnwatchedFilesAreReadOnRequest(t *testing.T) {
	for _, tt := range []struct {
		watch bool
		reads int // number of reads after one change and three checks
	}{{true, 1}, {false, 0}} {
		folder, reads := t.TempDir(), 0
		a := &App{log: slog.New(slog.DiscardHandler), now: time.Now, config: &config.Config{Watch: tt.watch}}
		f := watcher{app: a, onErrors: func(context.Context, string, []string) {}, read: func(seen func(folder, name string)) (*config.Config, error) {
			reads++
			seen(folder, "tidewaiter.yaml")
			return nil, errors.New("an error")
		}}
		f.loaded.Seen(folder, "tidewaiter.yaml")
		f.current = f.loaded.state()
		if err := os.WriteFile(filepath.Join(folder, "tidewaiter.yaml"), []byte("policy: {}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			f.tick(t.Context())
		}
		if reads != tt.reads {
			t.Errorf("watch: %t: a changed file was read %d times, want %d", tt.watch, reads, tt.reads)
		}
		if unread := a.unread.Load(); unread == tt.watch {
			t.Errorf("watch: %t: files are unread: %t", tt.watch, unread)
		}
		if f.reload(t.Context()); a.unread.Load() || reads != tt.reads+1 {
			t.Errorf("watch: %t: the requested reload did not happen", tt.watch)
		}
	}
}

// A change is found whenever it happens: before the watch begins, while a config is read, or
// later. If the state of a file were taken only after the reading, a change during the reading
// would never take effect.
func TestNoChangeIsMissed(t *testing.T) {
	changes := map[string]func(folder string) error{
		"a changed file": func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "tidewaiter.yaml"), []byte("changed\n"), 0o600)
		},
		"a new file": func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "new.rules"), []byte("new\n"), 0o600)
		},
		"a deleted file": func(folder string) error { return os.Remove(filepath.Join(folder, "old.rules")) },
		"a replaced file": func(folder string) error {
			temporary := filepath.Join(folder, "temporary")
			return errors.Join(os.WriteFile(temporary, []byte("old\n"), 0o600), os.Rename(temporary, filepath.Join(folder, "old.rules")))
		},
	}
	for name, change := range changes {
		for _, when := range []string{"before the watch", "during a reload", "later"} {
			t.Run(name+" "+when, func(t *testing.T) {
				folder, reads := t.TempDir(), 0
				for _, file := range []string{"tidewaiter.yaml", "old.rules"} {
					if err := os.WriteFile(filepath.Join(folder, file), []byte("old\n"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				changeNow := func(at string) {
					if at == when {
						if err := change(folder); err != nil {
							t.Fatal(err)
						}
					}
				}
				a := &App{log: slog.New(slog.DiscardHandler), now: time.Now, config: &config.Config{Watch: true}}
				f := watcher{app: a, onErrors: func(context.Context, string, []string) {}, read: func(seen func(folder, name string)) (*config.Config, error) {
					seen(folder, "tidewaiter.yaml")
					seen(folder, "*.rules")
					if reads++; reads == 1 {
						changeNow("during a reload")
					}
					return nil, errors.New("an error")
				}}
				f.loaded.Seen(folder, "tidewaiter.yaml")
				f.loaded.Seen(folder, "*.rules")
				changeNow("before the watch")
				f.current = f.loaded.state()
				want := 1
				if when == "during a reload" {
					f.reload(t.Context())
					want = 2
				}
				f.tick(t.Context())
				changeNow("later")
				for range 3 {
					f.tick(t.Context())
				}
				if reads != want {
					t.Errorf("the files were read %d times, want %d", reads, want)
				}
			})
		}
	}
}
