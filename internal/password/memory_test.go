package password

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackOnceItIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		freed := 0
		h.cleaner.free = func() { freed++ }
		if err := h.Compare(t.Context(), "$2y$04$O6h3d7zA4vgYdEOzglqUOO9gQ1Sy15q2e69bvXpuo5Q2trUeHqRIu", "wonderland"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if freed != 0 {
			t.Error("bcrypt, which needs next to none, had memory given back")
		}
		for range 2 { // two busy times
			for range 3 {
				if _, err := h.Hash(t.Context(), "correct horse"); err != nil {
					t.Fatal(err)
				}
				<-time.After(quiet - time.Second)
			}
			before := freed
			<-time.After(time.Minute)
			if freed != before+1 {
				t.Errorf("memory was given back %d times after a busy time, want once", freed-before)
			}
		}
		if freed != 2 {
			t.Errorf("memory was given back %d times, want twice, and not while it is busy", freed)
		}
	})
}
