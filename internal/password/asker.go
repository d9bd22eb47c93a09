package password

import "net/netip"

// Asker is on whose behalf a password is hashed. What many ask for waits in the lane in turns: see
// [Hashing.CompareFor].
type Asker struct {
	Name    string     // that the password is for, known or not; "": not known
	Address netip.Addr // that it came from; invalid: not known
}

// line returns the line that who waits in: one for each IPv4 address and each /64 of IPv6, since
// nobody is given less than that.
func (who Asker) line() lineKey {
	a := who.Address.Unmap().WithZone("")
	if !a.IsValid() {
		return lineKey{name: who.Name}
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return lineKey{address: a}
}
