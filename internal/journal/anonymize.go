package journal

import "net/netip"

// shorten returns what entries contain of an address; the zero Addr if nothing of it remains.
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

// anonymize removes what entries must not contain about clients. It changes copies, because
// callers keep their data. Source.Address is an address of the registry, so it stays.
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
