package password

import (
	"os"
	"runtime"
)

// threads is the default of Options.Parallel: half of the processors, at least one.
func threads() int { return max(1, Processors()/2) }

// Processors is how many processors this process may use: GOMAXPROCS without what AddThreads
// added.
func Processors() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// AddThreads raises GOMAXPROCS by the number of hashes that run at once. A hash takes about 50
// ms. A request that waits for its thread gets the thread after 10 ms at the earliest, because
// that is how often Go preempts a goroutine. If hashes have threads of their own, the kernel
// shares the processors, and does so at once. With both of two processors busy, this reduces the
// p99 of other requests from twice the idle value to 1.2 times (bench/RESULTS.md).
//
// It does nothing if GOMAXPROCS is set, or if a quota gives the process less time than its
// processors have (a container's CPU limit): more threads would use up the quota before its
// period ends, and then all of them stop.
func AddThreads() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == runtime.NumCPU() {
		runtime.GOMAXPROCS(runtime.NumCPU() + threads())
	}
}
