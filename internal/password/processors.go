package password

import (
	"os"
	"runtime"
)

// threads is the default of Options.Parallel: half of the processors, at least one.
func threads() int { return max(1, Processors()/2) }

// Processors is how many processors this process may use: GOMAXPROCS without the threads that
// AddThreads added.
func Processors() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// AddThreads raises GOMAXPROCS by the number of hashes that run at once. A hash takes about 50
// ms. If a request waits for the thread of a hash, it waits at least 10 ms, because Go preempts a
// goroutine only every 10 ms. If hashes have additional threads, the kernel divides the processors
// among all threads, without this delay. On a machine with two busy processors, the additional
// threads reduce the p99 of other requests from 2 times the idle value to 1.2 times
// (bench/RESULTS.md).
//
// AddThreads does nothing if the environment variable GOMAXPROCS is set. It also does nothing if a
// quota (a container's CPU limit) gives the process less time than its processors have. With such
// a quota, additional threads would use up the quota before its period ends, and then all threads
// would stop.
func AddThreads() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == runtime.NumCPU() {
		runtime.GOMAXPROCS(runtime.NumCPU() + threads())
	}
}
