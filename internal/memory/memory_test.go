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

func TestABurstAllocatesMuch(t *testing.T) {
	allocated := uint64(100)
	busy := bursts(func() uint64 { return allocated })
	for _, tt := range []struct {
		more uint64
		want bool
	}{{0, false}, {busyBytes, false}, {busyBytes + 1, true}, {1, false}} {
		allocated += tt.more
		if got := busy(); got != tt.want {
			t.Errorf("%d bytes are a burst: %t", tt.more, got)
		}
	}
}

func TestAllocatedGrows(t *testing.T) {
	before := allocatedBytes()
	b := make([]byte, busyBytes)
	b[len(b)-1] = 1
	if after := allocatedBytes(); after < before+uint64(len(b)) {
		t.Errorf("allocated %d bytes, want %d more than %d", after, len(b), before)
	}
}
