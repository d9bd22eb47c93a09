package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryInterval is the time between two checks whether a burst is over.
	memoryInterval = 5 * time.Second
	// quietEntries is how many journal entries may arrive between two checks in a quiet time.
	quietEntries = 100
	// worthReturning is the unused heap in bytes from which a collection pays.
	worthReturning = 1 << 20
)

// returnMemory returns memory to the system after each burst of requests, until ctx ends. The
// start counts as a burst: reading 10,000 rules leaves 30 MB of garbage. The runtime collects
// only when the heap grows, so without this a quiet process would keep what the last burst used
// for minutes.
func (a *App) returnMemory(ctx context.Context) {
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	busy, last := true, a.journal.Stats().Written
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		written := a.journal.Stats().Written
		rate := written - last
		last = written
		if rate > quietEntries {
			busy = true
			continue
		}
		if busy {
			if unusedHeap() > worthReturning {
				debug.FreeOSMemory()
			}
			if err := unmapProgram(); err != nil {
				a.log.Debug("cannot unmap unused pages of the program", "error", err)
			}
		}
		busy = false
	}
}

// unusedHeap returns how many bytes the heap holds beyond what was live at the last collection.
func unusedHeap() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	var held uint64
	for _, s := range samples[:3] {
		held += s.Value.Uint64()
	}
	if live := samples[3].Value.Uint64(); live < held {
		return held - live
	}
	return 0
}
