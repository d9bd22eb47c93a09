package drive

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsFollowEachOther(t *testing.T) {
	if first := bucket(0); first != 0 {
		t.Errorf("0 is in bucket %d, not in the first", first)
	}
	for i := range buckets - 1 {
		last := upper(i)
		if got := bucket(last); got != i {
			t.Fatalf("%d, the largest value of bucket %d, is in bucket %d", last, i, got)
		}
		if got := bucket(last + 1); got != i+1 {
			t.Fatalf("%d, one more than bucket %d holds, is in bucket %d", last+1, i, got)
		}
	}
	if last := bucket(1 << 62); last != buckets-1 {
		t.Errorf("a value beyond the longest is in bucket %d of %d", last, buckets)
	}
}

func TestBucketsAreNarrow(t *testing.T) {
	for i := 1; i < buckets; i++ {
		low, high := upper(i-1)+1, upper(i)
		if (high-low)*(1<<fine) > low {
			t.Fatalf("bucket %d holds %d to %d: wider than 1/%d", i, low, high, 1<<fine)
		}
	}
}

func TestQuantilesAreThoseOfTheSortedValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 999, 10_000} {
		var h, half Histogram
		var all []time.Duration
		for i := range n {
			d := time.Duration(random.ExpFloat64() * float64(300*time.Microsecond))
			all = append(all, d)
			if i%2 == 0 {
				h.Record(d)
			} else {
				half.Record(d)
			}
		}
		h.Add(&half)
		slices.Sort(all)

		if h.Count() != uint64(n) || h.Max() != all[n-1] {
			t.Errorf("%d values, the longest %s: counted %d, %s", n, all[n-1], h.Count(), h.Max())
		}
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			rank := 0
			for float64(rank+1) < q*float64(n) {
				rank++
			}
			exact := all[rank]
			if got := h.Quantile(q); got < exact || got > exact+exact>>fine {
				t.Errorf("quantile %g of %d values: %s, and it is %s", q, n, got, exact)
			}
		}
	}
}

func TestQuantileOfNothingIsZero(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("the 99th percentile of nothing is %s", got)
	}
	h.Record(-time.Second)
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("a negative duration counts as %s", got)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	h := new(Histogram)
	if n := testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
