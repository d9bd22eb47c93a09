package drive

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets whose width is at most 1/128 of their value, from a
// nanosecond to 18 minutes. Longer ones count as the longest. The zero value is empty. Counting
// does not allocate.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

const (
	fine    = 7  // each power of two has 1<<fine buckets
	longest = 40 // 1<<longest ns
	buckets = (longest-fine)<<fine + 1<<fine
)

// bucket returns the index of a value: the value itself if it is small, otherwise its fine+1
// leading bits, after the indexes of values with fewer bits.
func bucket(v uint64) int {
	v = min(v, 1<<longest-1)
	shift := max(bits.Len64(v)-(fine+1), 0)
	return shift<<fine + int(v>>shift)
}

// upper returns the largest value of a bucket.
func upper(i int) uint64 {
	if i < 2<<fine {
		return uint64(i)
	}
	shift := i>>fine - 1
	lead := uint64(i - shift<<fine)
	return (lead+1)<<shift - 1
}

// Record counts d. A negative d, which a monotonic clock never yields, counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Add adds the counts of other.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the exact longest duration.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the duration that a share q (0 to 1) of all durations does not exceed. It is
// the upper end of a bucket, so it is never too low. For an empty histogram it is 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	// The nearest rank: the smallest count that is at least the share, and at least one.
	rank := uint64(max(q, 0) * float64(h.total))
	if float64(rank) < q*float64(h.total) || rank == 0 {
		rank++
	}
	rank = min(rank, h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}
