package journal

import "net/netip"

// shorten returns the part of an address that entries contain. If entries contain no part of the
// address, it returns the zero Addr.
func (o *Options) shorten(a netip.Addr) netip.Addr {
	switch {
	case o.NoAddresses:
		return netip.Addr{}
	case !o.ShortAddresses:
		return a
	}
	a, bits := a.Unmap().WithZone(""), 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // the zero Prefix for the zero Addr
	return p.Addr()
}

// anonymize removes the data about clients that entries must not contain. It changes copies,
// because the original data belongs to the callers. Source.Address is not removed, because it is
// the address of a registry.
func (j *Journal) anonymize(entry *Entry) {
	switch {
	case entry.Decision != nil:
		d := *entry.Decision
		d.Remote = j.o.shorten(d.Remote)
		if j.o.NoClients {
			d.Client = ""
		}
		entry.Decision = &d
	case entry.Event != nil:
		e := *entry.Event
		if j.o.ShortAddresses || j.o.NoAddresses {
			e.Request.Address = ""
			if a := j.o.shorten(entry.address()); a.IsValid() {
				e.Request.Address = a.String()
			}
		}
		if j.o.NoClients {
			e.Request.UserAgent = ""
		}
		entry.Event = &e
	case entry.Service != nil:
		s := *entry.Service
		s.Remote = j.o.shorten(s.Remote)
		if j.o.NoClients {
			s.Client = ""
		}
		entry.Service = &s
	}
}
