package memory

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestMemoryIsReturnedOnceAfterEachBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		bursts := []bool{false, false, true, true, false, false, true, false}
		checks, freed := 0, []int(nil)
		busy := func() bool {
			if checks++; checks == len(bursts) {
				stop()
			}
			return bursts[checks-1]
		}
		run(ctx, busy, func() { freed = append(freed, checks) })
		if len(freed) != 3 || freed[0] != 1 || freed[1] != 5 || freed[2] != 8 {
			t.Errorf("memory was returned after the checks %v, want 1, 5 and 8", freed)
		}
	})
}
