package password

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsReturnedWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		var freed atomic.Int64
		h.cleaner.free = func() { freed.Add(1) }
		if err := h.Compare(t.Context(), "$2y$04$O6h3d7zA4vgYdEOzglqUOO9gQ1Sy15q2e69bvXpuo5Q2trUeHqRIu", "wonderland"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if n := freed.Load(); n != 0 {
			t.Error("bcrypt, which needs next to none, had memory given back")
		}
		for busy := range int64(2) {
			if _, err := h.Hash(t.Context(), "correct horse"); err != nil {
				t.Fatal(err)
			}
			for range 5 { // more of them, before it is quiet
				<-time.After(quiet - time.Second)
				h.cleaner.used(19 << 20)
			}
			if n := freed.Load(); n != busy {
				t.Errorf("memory was given back %d times, want %d: it is busy", n, busy)
			}
			<-time.After(time.Minute)
			if n := freed.Load(); n != busy+1 {
				t.Errorf("memory was given back %d times, want %d: it is quiet", n, busy+1)
			}
		}
	})
}
