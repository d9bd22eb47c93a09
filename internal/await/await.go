// Package await lets tests wait for something that happens in the background.
//
// A test waits for as long as the event takes. If a test had its own time limit, it could fail on
// a slow or busy machine. So the only limit is the timeout of go test (-timeout). A waiting test
// fails shortly before that timeout, and reports the event for which it waits.
package await

import (
	"context"
	"testing"
	"time"
)

// margin is the time between the end of a wait and the timeout of go test. The test needs this
// time to report the failure and to clean up.
const margin = 15 * time.Second

// Context returns a context that ends with the test, or shortly before the timeout of go test.
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

// Until calls the function check again and again until it returns nil. If the context of Context
// ends first, the test fails with the last error.
func Until(t testing.TB, what string, check func(context.Context) error) {
	t.Helper()
	ctx := Context(t)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := check(ctx)
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
