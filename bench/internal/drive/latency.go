package drive

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the largest latency that a histogram records. Larger latencies are recorded as
// maxLatency.
const maxLatency = 18 * time.Minute

// newLatencies returns a histogram of nanoseconds. With two significant figures, a bucket is at
// most 1/128 of its value wide, and the histogram takes 35 KB. The bars of bench/compare are 5
// % or wider.
func newLatencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(maxLatency), 2) }

// record adds a request that took the given time. It does not allocate.
func (r *Result) record(took time.Duration) {
	r.Requests++
	// Only a value above maxLatency would be an error.
	_ = r.latencies.RecordValue(int64(min(took, maxLatency)))
}

// Latency returns the latency at the nearest rank of a share (0 to 1) of all requests: 0.99 is
// the 99th percentile. The result is the upper end of a bucket of the histogram, or 0 if there
// were no requests.
func (r *Result) Latency(share float64) time.Duration {
	if r.latencies == nil {
		return 0
	}
	return time.Duration(r.latencies.ValueAtQuantile(100 * share))
}
