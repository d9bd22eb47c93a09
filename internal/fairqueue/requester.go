package fairqueue

import "net/netip"

// Requester is on whose behalf a request waits. It decides where.
type Requester struct {
	Name    string     // that the request is about, of somebody or of nobody; "": not known
	Address netip.Addr // that the request came from; invalid: not known

	// KnownPlace means that this name has signed in from this place before. Such requests wait in the
	// first class, so that a flood of others does not delay them by more than one turn in four.
	KnownPlace bool
}

// class returns the class that r waits in.
func (r Requester) class() int {
	if r.KnownPlace {
		return knownPlaces
	}
	return otherPlaces
}

// line returns the line that r waits in: one for each IPv4 address and each /64 of IPv6, since
// nobody is given less than that.
func (r Requester) line() lineKey {
	a := r.Address.Unmap().WithZone("")
	if !a.IsValid() {
		return lineKey{name: r.Name}
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return lineKey{address: a}
}
