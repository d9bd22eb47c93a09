// Package memory returns memory to the system after a burst of work.
//
// The runtime collects garbage only when the heap grows. So a process that becomes idle would keep
// the memory of the last burst for minutes. This memory can be the buffers of password hashes, the
// 30 MB of garbage after reading 10,000 rules, or the memory that indexing used after the last
// request.
package memory

import (
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// interval is the time between two calls of the function busy.
	interval = 5 * time.Second
	// worthReturning is a size in bytes. If the unused heap is larger, a collection is worth its
	// cost, which is a few milliseconds of work.
	worthReturning = 1 << 20
	// If more than busyBytes are allocated between two checks, this counts as a burst. Some
	// hundred requests allocate this much, and so does indexing a thousand entries of the journal.
	busyBytes = 4 << 20
)

// Run returns memory after each burst, until ctx ends. The start counts as a burst.
func Run(ctx context.Context, log *slog.Logger) {
	run(ctx, bursts(allocatedBytes), func() {
		if unusedHeap() > worthReturning {
			debug.FreeOSMemory()
		}
		if err := unmapProgram(); err != nil {
			log.Debug("cannot unmap unused pages of the program", "error", err)
		}
	})
}

// run calls the function freeMemory after each burst. The function wasBusy reports whether
// there was a burst since its last call.
func run(ctx context.Context, wasBusy func() bool, freeMemory func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for burst := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		was := burst
		if burst = wasBusy(); was && !burst {
			freeMemory()
		}
	}
}

// bursts returns a function that reports whether there was a burst since its last call.
func bursts(allocated func() uint64) (busy func() bool) {
	before := allocated()
	return func() bool {
		last := before
		before = allocated()
		return before-last > busyBytes
	}
}

// allocatedBytes returns how many bytes the process has allocated since its start.
func allocatedBytes() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64()
}

// unusedHeap returns the size of the heap without the bytes that were live at the last collection.
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
