package drive

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest latency that is told apart. Longer ones count as this.
const longest = 18 * time.Minute

// newLatencies returns a histogram of nanoseconds. Two significant figures mean buckets of at
// most 1/128 of their value, in 35 KB. The bars of bench/compare are 5 % or wider.
func newLatencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), 2) }

// record counts a request that took so long. It does not allocate.
func (r *Result) record(took time.Duration) {
	r.Requests++
	_ = r.latencies.RecordValue(int64(min(took, longest))) // only a value above longest is an error
}

// Latency returns the latency at the nearest rank of a share (0 to 1) of all requests: 0.99 is the
// 99th percentile. It is the upper end of a bucket. Without requests it is 0.
func (r *Result) Latency(share float64) time.Duration {
	if r.latencies == nil {
		return 0
	}
	return time.Duration(r.latencies.ValueAtQuantile(100 * share))
}
