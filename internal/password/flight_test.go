package password

import (
	"context"
	"testing"
)

// A flight that was called off ends after the next one for the same pair has started, and leaves it alone.
func TestAFlightThatEndsLateTakesAwayNoOther(t *testing.T) {
	h := New(Options{})
	k, off, on := numbered(1), &flight{}, &flight{}
	h.flights[k] = on
	h.landLocked(k, off)
	if h.flights[k] != on {
		t.Error("the flight that is on is gone")
	}
	h.landLocked(k, on)
	if len(h.flights) != 0 {
		t.Error("the flight that has ended is not gone")
	}
}

// Between Compare's look at what is remembered and the start of a flight, another may have landed.
func TestAPairThatHasJustBeenRememberedIsNotHashedAgain(t *testing.T) {
	h := New(Options{})
	k := numbered(1)
	h.remembered.add(k)
	if err := h.share(t.Context(), k, func(context.Context) error { t.Error("it is"); return nil }); err != nil {
		t.Error(err)
	}
}
