package ratelimit

import (
	"context"
	"net/netip"
	"time"
)

// Store keeps what replicas share and a restart must not lose. Its methods may be called from any
// goroutine. An error means that the store gave no answer: the limiter then goes on with what this
// process knows, and refuses nobody for want of the store.
type Store interface {
	// KnownPlace reports whether a name has signed in from a place within PlaceFor.
	KnownPlace(ctx context.Context, p Place, now time.Time) (bool, error)
	// AddPlaces notes places where names signed in. It writes nothing for those that were noted on the
	// same day. Of one owner it keeps the newest MaxPlaces.
	AddPlaces(ctx context.Context, learned []Learned, now time.Time) error

	// ChargeName counts n failures of a name, unless it has to wait, and returns its level. With a wait,
	// nothing was counted.
	ChargeName(ctx context.Context, name string, n int, now time.Time, l LevelLimits) (level Level, wait time.Duration, err error)
	// RefundName takes one failure of a name back.
	RefundName(ctx context.Context, name string, l LevelLimits) error
	// Levels returns what looks up the levels of names that the store counts. It may be called again and
	// again; it is to be as cheap as a map.
	Levels(ctx context.Context, now time.Time) (func(name string) Level, error)

	// Claim takes one of an account's slots until a time. With a wait, all are taken.
	Claim(ctx context.Context, account string, slots int, now, until time.Time) (slot int, wait time.Duration, err error)
	// Claimed reports whether one of the accounts has a slot that is taken. It writes nothing.
	Claimed(ctx context.Context, now time.Time, accounts ...string) (bool, error)
	// Release frees all slots of an account.
	Release(ctx context.Context, account string) error
	// ReleaseSlot frees one that was taken until a time.
	ReleaseSlot(ctx context.Context, account string, slot int, until time.Time) error

	// Sweep removes what has no meaning any more.
	Sweep(ctx context.Context, now time.Time) error
}

// The bounds of known places.
const (
	MaxPlaces = 16                  // of one principal
	PlaceFor  = 90 * 24 * time.Hour // since somebody last signed in from there
)

// Place is where a name signs in from. Names are as Fold returns them.
type Place struct {
	Name   string
	Prefix netip.Prefix
}

// Learned is a place where a principal has signed in.
type Learned struct {
	Place
	Source, ID string // of the principal: the places of one that is deleted are deleted
}

// PlaceOf returns the place that an address belongs to: a /24 of IPv4 or a /48 of IPv6, which is what one
// site has as a rule. It is invalid for an address that is not known.
func PlaceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
