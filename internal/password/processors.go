package password

import (
	"os"
	"runtime"
)

// threads is how many hashes are computed at once, unless it is said otherwise: half of the processors, at least one.
func threads() int { return max(1, Processors()/2) }

// Processors is how many processors this process may use: GOMAXPROCS without what MakeRoom added.
func Processors() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }

// MakeRoom lets Go run as many threads more as passwords are hashed at once, for the whole process. A hash takes some 50 ms, and
// a request that waits for the thread on which it is computed gets it after 10 ms at the earliest, which is how often Go lets
// another goroutine on. Where hashes have threads of their own, the kernel shares the processors, and does so at once: with
// both of two processors busy, the p99 of others beside hashes falls from twice what it is without them to 1.2 times
// (bench/RESULTS.md).
//
// It does nothing where somebody has set GOMAXPROCS, nor where a quota bounds the process to less time than its processors have (a
// container's CPU limit): more threads would use the quota up before its period ends, and then all of them stand still.
func MakeRoom() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == runtime.NumCPU() {
		runtime.GOMAXPROCS(runtime.NumCPU() + threads())
	}
}
