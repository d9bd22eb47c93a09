package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// peer is the address at the other end of the connection; the zero address if it has none.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// remote is the client's address: the peer, or, where that is a trusted proxy, what the chain of
// trusted proxies says. It walks X-Forwarded-For from the right and stops at the first address that is
// no trusted proxy: what stands left of it anybody may have written. A part that is no address ends the
// walk too, at the proxy that passed it on.
func (s *Server) remote(r *http.Request) netip.Addr {
	at := peer(r)
	if len(s.TrustedProxies) == 0 || !s.trusted(at) {
		return at
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for rest != "" {
			var part string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, part = rest[:comma], rest[comma+1:]
			} else {
				rest, part = "", rest
			}
			next, err := netip.ParseAddr(strings.TrimSpace(part))
			if err != nil {
				return at
			}
			if at = next.Unmap(); !s.trusted(at) {
				return at
			}
		}
	}
	return at
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
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	at, err := netip.ParseAddr(strings.Trim(host, "[]"))
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
