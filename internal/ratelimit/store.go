package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Store has the state that replicas share, and that survives a restart. Its methods may be called
// from any goroutine. An error means that the store did not answer. In this case, the limiter uses
// the counts of this process. It refuses no one because of the error.
type Store interface {
	// KnownPlace reports whether a name has signed in from a place within PlaceFor.
	KnownPlace(ctx context.Context, p Place, now time.Time) (bool, error)
	// AddPlaces records places where names signed in. It writes nothing for places that were
	// recorded on the same day. For each owner it keeps the newest MaxPlaces places.
	AddPlaces(ctx context.Context, learned []Learned, now time.Time) error

	// ChargeName counts n failures of a name, and returns the name's level. If the name must wait,
	// ChargeName counts nothing and returns the delay. Otherwise the delay is 0.
	ChargeName(ctx context.Context, name string, n int, now time.Time, l LevelLimits) (level Level, delay time.Duration, err error)
	// RefundName removes one failure of a name.
	RefundName(ctx context.Context, name string, l LevelLimits) error
	// Levels returns a function that looks up the counted level of a name. The function is called
	// often, so it must be as fast as a map.
	Levels(ctx context.Context, now time.Time) (func(name string) Level, error)

	// Claim takes one slot of an account until the given time. If all slots are taken, it returns
	// the time until a slot is free. Otherwise this time is 0.
	Claim(ctx context.Context, account string, slots int, now, until time.Time) (slot int, delay time.Duration, err error)
	// Claimed reports whether any of the accounts has a taken slot. Claimed does not write.
	Claimed(ctx context.Context, now time.Time, accounts ...string) (bool, error)
	// Release frees all slots of an account.
	Release(ctx context.Context, account string) error
	// ReleaseSlot frees a slot that was taken until the given time.
	ReleaseSlot(ctx context.Context, account string, slot int, until time.Time) error

	// Sweep deletes expired rows.
	Sweep(ctx context.Context, now time.Time) error
}

// Bounds of known places.
const (
	MaxPlaces = 16 // maximum number of places of one principal
	// how long a place is known after the last sign-in at the place
	PlaceFor = 90 * 24 * time.Hour
)

// Place is a network where a name signs in. Names are folded by Fold.
type Place struct {
	Name   string
	Prefix netip.Prefix
}

// ParsePlace reads a prefix or an address. For an address, it returns the prefix that has only
// this address.
func ParsePlace(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix, nil
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Prefix{}, errors.New("it is neither an address nor a prefix: want, for example, 203.0.113.7 or 203.0.113.0/24")
	}
	return netip.PrefixFrom(address, address.BitLen()), nil
}

// Learned is a place where a principal has signed in.
type Learned struct {
	Place
	// the source and id of the principal; the places are deleted together with the principal
	Source, ID string
}

// PlaceOf returns the place of an address: a /24 of IPv4 or a /48 of IPv6, the usual size of a
// site. For an unknown address, the result is not valid.
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
