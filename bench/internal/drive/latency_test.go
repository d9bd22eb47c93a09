package drive

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLatenciesAreThoseOfTheSortedValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 999, 10_000} {
		parts := []*Result{{latencies: newLatencies()}, {latencies: newLatencies()}}
		var all []time.Duration
		for i := range n {
			d := time.Duration(random.ExpFloat64() * float64(300*time.Microsecond))
			all = append(all, d)
			parts[i%2].record(d)
		}
		var sum Result
		sum.Add(parts[0])
		sum.Add(parts[1])
		slices.Sort(all)
		if sum.Requests != int64(n) {
			t.Errorf("%d of %d requests are counted", sum.Requests, n)
		}
		for _, share := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			exact := all[max(1, int(share*float64(n)+0.5))-1] // of the nearest rank
			if got := sum.Latency(share); got < exact || got > exact+exact/128 {
				t.Errorf("the latency at the share %g of %d requests is %s, want %s", share, n, got, exact)
			}
		}
	}
}

func TestLatencyOfNoRequestIsZero(t *testing.T) {
	var none Result
	none.Add(new(Result))
	if got := none.Latency(0.99); got != 0 {
		t.Errorf("the 99th percentile of nothing is %s", got)
	}
}

func TestVeryLongRequestCountsAsTheLongest(t *testing.T) {
	r := Result{latencies: newLatencies()}
	r.record(24 * time.Hour)
	if got := r.Latency(1); got < maxLatency || r.Requests != 1 {
		t.Errorf("a day counts as %s, in %d requests", got, r.Requests)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	r := Result{latencies: newLatencies()}
	if n := testing.AllocsPerRun(100, func() { r.record(time.Millisecond) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
