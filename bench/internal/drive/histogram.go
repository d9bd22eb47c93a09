package drive

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are at most 1/128 of their value wide, from a nanosecond to
// 18 minutes; what is longer counts as the longest. The zero value is empty. Counting allocates nothing.
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

// bucket is the place of a value: the value itself as long as it is short, then its fine+1 leading bits,
// after all the places of those with fewer bits.
func bucket(v uint64) int {
	v = min(v, 1<<longest-1)
	shift := max(bits.Len64(v)-(fine+1), 0)
	return shift<<fine + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) uint64 {
	if i < 2<<fine {
		return uint64(i)
	}
	shift := i>>fine - 1
	lead := uint64(i - shift<<fine)
	return (lead+1)<<shift - 1
}

// Record counts d; a negative one (there is none on a monotonic clock) as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Add counts all that other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is a duration that the share q (0 to 1) of all that was counted does not exceed; it is the upper
// end of its bucket, so it is never too good. Of an empty histogram it is 0.
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
