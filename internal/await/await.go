// Package await answers, for tests: how long is something waited for that happens beside the test?
//
// As long as it takes. A limit of a test's own is a guess at the speed of a machine, and fails on
// a busy one. There is one limit, that of go test (-timeout), shortly before which whoever still
// waits says for what.
package await

import (
	"context"
	"testing"
	"time"
)

// margin is what is left before go test ends the process: to say what was waited for, and to end
// what was begun.
const margin = 15 * time.Second

// Context returns a context that ends with the test, or shortly before go test gives it up.
func Context(t testing.TB) context.Context {
	limited, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return t.Context()
	}
	end, ok := limited.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), end.Add(-margin))
	t.Cleanup(cancel)
	return ctx
}

// Until asks again and again until ready returns nil. Only where go test would give up does the
// test fail, with the last error.
func Until(t testing.TB, what string, ready func(context.Context) error) {
	t.Helper()
	ctx := Context(t)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-again.C:
		}
	}
}
