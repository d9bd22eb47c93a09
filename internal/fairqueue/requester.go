package fairqueue

import "net/netip"

// Requester identifies the origin of a request. The origin determines where the request waits.
type Requester struct {
	Name    string     // the name used in the request, whether or not it exists; "" if unknown
	Address netip.Addr // the client's address; invalid if unknown

	// KnownPlace means that this name has signed in from this place before. Such requests wait
	// in the first class, where a flood of requests from unknown places takes at most one turn
	// in four.
	KnownPlace bool
}

// class returns the index of the class in which r waits.
func (r Requester) class() int {
	if r.KnownPlace {
		return knownPlaces
	}
	return otherPlaces
}

// line returns the line in which r waits. Each IPv4 address has one line, and each IPv6 /64 has
// one line. A /64 is the smallest network that providers assign.
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
