package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// peer returns the address of the other end of the connection, or the zero Addr.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return normalizeAddress(at.Addr())
}

// normalizeAddress returns an address in the form that comparisons use. IPv4 in IPv6 becomes
// IPv4. The zone is removed, because it is a name that is valid only on this machine, and because
// no prefix contains an address with a zone.
func normalizeAddress(at netip.Addr) netip.Addr { return at.Unmap().WithZone("") }

// maxHops is the maximum number of addresses of X-Forwarded-For that are read.
const maxHops = 64

// clientAddress returns the client's address; the zero Addr if it is unknown. The client's address
// is known in two cases: the peer is not a trusted proxy, or a trusted proxy forwards the client's
// address.
//
// X-Forwarded-For of a trusted proxy is read from the right up to the first address that is not a
// trusted proxy. Anyone can forge the addresses to the left of that address. If that address
// cannot be parsed, the client's address is unknown. The proxy's own address is never used
// instead of the client's address. The proxy's own address often has additional access, because
// many proxies run on this machine or in the office network.
//
// The address is also unknown if X-Forwarded-For is missing but other headers show that the
// request was forwarded. Then a client is behind the proxy, and no trusted header has the
// client's address. If no header shows forwarding, the peer is the client, for example a health
// check of the proxy or a program on the proxy's machine.
func (s *Server) clientAddress(r *http.Request) netip.Addr {
	at, unclear := s.findClient(r)
	switch {
	case unclear != "":
		s.note(r, unknownAddress, "because", unclear)
	case r.Header["X-Forwarded-For"] != nil && !s.trusted(peer(r)):
		s.note(r, untrustedProxy)
	}
	return at
}

// setAddresses sets the addresses in c to the addresses of the request.
func (s *Server) setAddresses(r *http.Request, c *identity.Presented) {
	if c.Remote = s.clientAddress(r); !c.Remote.IsValid() {
		c.Peer = peer(r)
	}
}

// findClient returns the same address as clientAddress. If the address is unknown, findClient also
// returns the reason.
func (s *Server) findClient(r *http.Request) (at netip.Addr, unclear string) {
	at = peer(r)
	if len(s.TrustedProxies) == 0 || !s.trusted(at) {
		return at, ""
	}
	lines := r.Header["X-Forwarded-For"]
	if len(lines) == 0 {
		if h := forwardingHeader(r); h != "" {
			return netip.Addr{}, "the proxy sends " + secret.Brief(h, maxShown) + " and no X-Forwarded-For"
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
				return netip.Addr{}, "X-Forwarded-For contains " + text.Quote(secret.Shorten(strings.TrimSpace(part), maxShown)) + ", which is not an address"
			}
			if at = next; !s.trusted(at) {
				return at, ""
			}
		}
	}
	return at, ""
}

// hidesClient reports whether a trusted proxy forwarded a request without any forwarding
// header, as nginx does with proxy_pass alone. Only the Host header reveals such a proxy:
// clients request tokens at the public URL, but the proxy sends its own name for this server.
func (s *Server) hidesClient(r *http.Request) bool {
	if s.PublicHost == "" || r.Header["X-Forwarded-For"] != nil || !s.trusted(peer(r)) {
		return false
	}
	// If a forwarding header is present, the address is unknown, and clientAddress logs this.
	return forwardingHeader(r) == "" && !strings.EqualFold(hostname(r.Host), hostname(s.PublicHost))
}

// hostname returns a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// maxForwarded is the length of the longest address with quotes, brackets, a zone and a port.
const maxForwarded = 100

// forwardedAddr parses an address as proxies write it: 192.0.2.7, 192.0.2.7:1234 (Azure's
// gateway), 2001:db8::7, [2001:db8::7], [2001:db8::7]:443, and each of them in quotes.
// 2001:db8::7:443 is ambiguous, and is parsed as an address without a port. An unspecified address
// (0.0.0.0) is rejected.
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
	at = normalizeAddress(at)
	return at, !at.IsUnspecified()
}

func (s *Server) trusted(at netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(at) })
}

// isLocal reports whether a program on this machine sent a request. A forwarded request is local
// only if a trusted proxy reports that the client is local. It does not matter on which machine
// the proxy runs. A request of a browser is not local either, because a page of any site can post
// to localhost, and the site's own host name can resolve to this machine.
func (s *Server) isLocal(r *http.Request) bool {
	at := peer(r)
	if !at.IsLoopback() || !endpoint.Local(hostname(r.Host)) || r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil {
		return false
	}
	return forwardingHeader(r) == "" || s.trusted(at) && r.Header["X-Forwarded-For"] != nil && s.clientAddress(r).IsLoopback()
}

// forwardingHeader returns the name of a header that only proxies add. If the request has no such
// header, it returns "".
func forwardingHeader(r *http.Request) string {
	for header := range r.Header {
		switch header {
		case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address":
			return header
		}
		if strings.HasPrefix(header, "X-Forwarded") || strings.HasPrefix(header, "X-Original-") {
			return header
		}
	}
	return ""
}
