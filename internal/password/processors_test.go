package password

import (
	"runtime"
	"testing"
)

func TestHashesHaveThreadsOfTheirOwn(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	n := runtime.NumCPU()
	for _, tt := range []struct {
		what, variable string
		have, want     int
	}{
		{"all processors", "", n, n + max(1, n/2)},
		{"GOMAXPROCS is set", "3", n, n},
		{"a quota", "", max(1, n-1), max(1, n-1)},
		{"a second call", "", n + max(1, n/2), n + max(1, n/2)},
	} {
		if n == 1 && tt.what == "a quota" {
			continue // one processor is the minimum
		}
		t.Run(tt.what, func(t *testing.T) {
			t.Setenv("GOMAXPROCS", tt.variable)
			runtime.GOMAXPROCS(tt.have)
			before := threads()
			AddThreads()
			if got := runtime.GOMAXPROCS(0); got != tt.want {
				t.Errorf("GOMAXPROCS is %d, want %d", got, tt.want)
			}
			if threads() != before || Processors() > n {
				t.Errorf("%d hashes at once on %d processors, want %d as before", threads(), Processors(), before)
			}
		})
	}
}
