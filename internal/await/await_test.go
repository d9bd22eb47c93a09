package await_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/await"
)

func TestUntilAsksAgain(t *testing.T) {
	asked := 0
	await.Until(t, "the third answer", func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if asked != 3 {
		t.Errorf("ready was called %d times", asked)
	}
}

// A waiting test ends before the timeout of go test, so that it can report the event for which it
// waits.
func TestContextEndsBeforeGoTestDoes(t *testing.T) {
	end, ok := await.Context(t).Deadline()
	if limit, limited := t.Deadline(); ok != limited || limited && !end.Before(limit) {
		t.Errorf("the context ends at %s (%t), and go test at %s (%t)", end, ok, limit, limited)
	}
}
