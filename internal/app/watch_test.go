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
		reads int // after a change and two checks, of which the second finds no further change
	}{{true, 1}, {false, 0}} {
		folder, reads := t.TempDir(), 0
		a := &App{log: slog.New(slog.DiscardHandler), now: time.Now, config: &config.Config{Watch: tt.watch}}
		f := watcher{app: a, onErrors: func(context.Context, string, []string) {}, files: map[place]bool{{folder, "tidewaiter.yaml"}: true}, read: func(func(folder, name string)) (*config.Config, error) {
			reads++
			return nil, errors.New("an error")
		}}
		f.takeSnapshot()
		f.loaded = f.current
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
