package journal

import "net/netip"

// AddressForm is how much of a client's address an entry contains.
type AddressForm int

// The forms of addresses.
const (
	FullAddresses      AddressForm = iota
	ShortenedAddresses             // the network: IPv4 /24, IPv6 /48
	NoAddresses
)

// shorten returns an address in this form; the zero Addr if nothing of it remains.
func (f AddressForm) shorten(a netip.Addr) netip.Addr {
	switch f { //exhaustive:enforce
	case FullAddresses:
		return a
	case ShortenedAddresses:
		a, bits := a.Unmap().WithZone(""), 48
		if a.Is4() {
			bits = 24
		}
		p, _ := a.Prefix(bits) // the zero Prefix for the zero Addr
		return p.Addr()
	case NoAddresses:
	}
	return netip.Addr{}
}

// anonymize removes what entries must not contain about clients. It changes copies, because
// callers keep their data. Source.Address is an address of the registry, so it stays.
func (j *Journal) anonymize(entry *Entry) {
	switch {
	case entry.Decision != nil:
		d := *entry.Decision
		d.Remote = j.o.Addresses.shorten(d.Remote)
		if j.o.NoClients {
			d.Client = ""
		}
		entry.Decision = &d
	case entry.Event != nil:
		e := *entry.Event
		if j.o.Addresses != FullAddresses {
			e.Request.Address = ""
			if a := j.o.Addresses.shorten(entry.address()); a.IsValid() {
				e.Request.Address = a.String()
			}
		}
		if j.o.NoClients {
			e.Request.UserAgent = ""
		}
		entry.Event = &e
	}
}
