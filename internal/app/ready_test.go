package app

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// While the disk is full, a flood of requests for /readyz causes one write a second.
func TestAFloodOfReadinessChecksWritesOnceASecond(t *testing.T) {
	var a cachedCheck
	var at atomic.Int64
	now := func() time.Time { return time.Unix(0, at.Load()) }
	at.Store(int64(time.Hour))
	full := errors.New("no space is left")
	writes := 0
	flood := func(is error) {
		t.Helper()
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(func() {
				if err := a.ask(now, func() error { writes++; return is }); !errors.Is(err, is) {
					t.Errorf("got %v, want %v", err, is)
				}
			})
		}
		asking.Wait()
	}
	flood(full)
	at.Add(int64(tryWriting) - 1)
	flood(full)
	if writes != 1 {
		t.Errorf("%d writes within a second", writes)
	}
	at.Add(1)
	flood(nil)
	if writes != 2 {
		t.Errorf("%d writes in two seconds", writes)
	}
}
