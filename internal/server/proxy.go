package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// peer is the address at the other end of the connection; the zero address if it has none.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(at.Addr())
}

// plain is an address as it is compared: IPv4 in IPv6 is IPv4, and the zone is dropped, which is a
// name of this machine's and lets no network contain the address.
func plain(at netip.Addr) netip.Addr { return at.Unmap().WithZone("") }

// maxHops bounds how many addresses of X-Forwarded-For are looked at.
const maxHops = 64

// remote is the client's address, or the zero address if it is not known. It is known in two cases:
// the peer is no trusted proxy, or a trusted proxy says whom it passes on.
//
// Of a trusted proxy, X-Forwarded-For is read from the right up to the first address that is no
// trusted proxy: what stands left of it anybody may have written. What cannot be read there makes the
// address unknown. It is never taken to be the proxy's own, which may be allowed more: a proxy is
// often on this machine or in the office's network.
//
// The same goes for a request that was passed on without X-Forwarded-For, as other headers show:
// somebody is behind the proxy, and nothing that is believed says who. Without any such header the
// peer is the client: a health check of the proxy, or a program on its machine.
func (s *Server) remote(r *http.Request) netip.Addr {
	at, unclear := s.client(r)
	switch {
	case unclear != "":
		s.note(r, unknownAddress, "because", unclear)
	case r.Header["X-Forwarded-For"] != nil && !s.trusted(peer(r)):
		s.note(r, untrustedProxy)
	}
	return at
}

// locate says where credentials come from.
func (s *Server) locate(r *http.Request, c *identity.Credentials) {
	if c.Remote = s.remote(r); !c.Remote.IsValid() {
		c.Peer = peer(r)
	}
}

// client returns what remote does, and why the address is not known.
func (s *Server) client(r *http.Request) (at netip.Addr, unclear string) {
	at = peer(r)
	if len(s.TrustedProxies) == 0 || !s.trusted(at) {
		return at, ""
	}
	lines := r.Header["X-Forwarded-For"]
	if len(lines) == 0 {
		for h := range r.Header {
			if passedOn(h) {
				return netip.Addr{}, "the proxy sends " + secret.Brief(h, maxShown) + " and no X-Forwarded-For"
			}
		}
		return at, ""
	}
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			if hops++; hops > maxHops {
				return netip.Addr{}, "X-Forwarded-For is too long"
			}
			var part string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, part = rest[:comma], rest[comma+1:]
			} else {
				part, more = rest, false
			}
			next, ok := forwardedAddr(strings.Trim(part, " \t"))
			if !ok {
				return netip.Addr{}, "X-Forwarded-For has " + text.Quote(text.Shorten(secret.Redact(strings.TrimSpace(part)), maxShown)) + " in it, which is no address"
			}
			if at = next; !s.trusted(at) {
				return at, ""
			}
		}
	}
	return at, ""
}

// silent reports whether a trusted proxy passed on a request with no header that shows it, as nginx does
// with proxy_pass alone. What shows it is the host: clients ask for tokens at the public URL, and such a proxy
// writes its own name for us.
func (s *Server) silent(r *http.Request) bool {
	if s.PublicHost == "" || r.Header["X-Forwarded-For"] != nil || !s.trusted(peer(r)) {
		return false
	}
	for h := range r.Header {
		if passedOn(h) {
			return false // then the address is not known, and that is told
		}
	}
	return !strings.EqualFold(hostname(r.Host), hostname(s.PublicHost))
}

// hostname is a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// maxForwarded is the length of the longest address with quotes, brackets, a zone and a port.
const maxForwarded = 100

// forwardedAddr reads an address as proxies write it: 192.0.2.7, 192.0.2.7:1234 (Azure's gateway),
// 2001:db8::7, [2001:db8::7], [2001:db8::7]:443, and each of them in quotes. 2001:db8::7:443 is an
// address without a port, since nothing tells it apart. An address that is none of anybody (0.0.0.0)
// is not taken.
func forwardedAddr(text string) (netip.Addr, bool) {
	if len(text) > maxForwarded {
		return netip.Addr{}, false
	}
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	at, err := netip.ParseAddr(text)
	if err != nil {
		if n := len(text); n >= 2 && text[0] == '[' && text[n-1] == ']' {
			if at, err = netip.ParseAddr(text[1 : n-1]); err == nil && !at.Is6() {
				return netip.Addr{}, false
			}
		} else {
			var withPort netip.AddrPort
			withPort, err = netip.ParseAddrPort(text)
			at = withPort.Addr()
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	at = plain(at)
	return at, !at.IsUnspecified()
}

func (s *Server) trusted(at netip.Addr) bool {
	for _, p := range s.TrustedProxies {
		if p.Contains(at) {
			return true
		}
	}
	return false
}

// local reports whether a program of this machine made a request. One that a proxy passed on was not,
// wherever the proxy runs, unless a trusted proxy says that its client was local. One that a browser
// sends was not either: a page of any site may post to localhost, and may have its own name lead here.
func (s *Server) local(r *http.Request) bool {
	at := peer(r)
	if !at.IsLoopback() || !localHost(r.Host) || r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil {
		return false
	}
	for h := range r.Header {
		if passedOn(h) {
			return s.trusted(at) && r.Header["X-Forwarded-For"] != nil && s.remote(r).IsLoopback()
		}
	}
	return true
}

// localHost reports whether a Host header names this machine as its own programs do.
func localHost(host string) bool {
	host = hostname(host)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	at, err := netip.ParseAddr(host)
	return err == nil && at.Unmap().IsLoopback()
}

// passedOn reports whether a header is one that proxies add, and clients do not.
func passedOn(header string) bool {
	switch header {
	case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address":
		return true
	}
	return strings.HasPrefix(header, "X-Forwarded") || strings.HasPrefix(header, "X-Original-")
}
