// Package await lets tests wait for something that happens in the background.
//
// A test waits for as long as the event takes. A time limit of the test's own would be a guess
// at the speed of the machine, and the test would fail on a busy machine. The only limit is the
// timeout of go test (-timeout). A waiting test fails shortly before that timeout, and names
// what it waits for.
package await

import (
	"context"
	"testing"
	"time"
)

// margin is the time before the limit of go test that remains to report the failure and clean
// up.
const margin = 15 * time.Second

// Context returns a context that ends with the test, or shortly before the limit of go test.
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

// Until calls ready until it returns nil. If the limit of go test comes first, the test fails
// with the last error.
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
