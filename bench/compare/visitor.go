package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// visitor signs in from its own loopback address: all of 127.0.0.0/8 belongs to this machine.
type visitor struct {
	from   netip.Addr
	client *http.Client
}

func newVisitor(from netip.Addr) *visitor {
	dialer := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return &visitor{from: from, client: &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1, DisableCompression: true},
		Timeout:   time.Minute,
	}}
}

// signIn requests a token and returns the status and the time it took. The header X-Forwarded-For
// has the client's address. If the address is the zero value, the request does not have this
// header.
func (v *visitor) signIn(ctx context.Context, server, name, secret string, client netip.Addr) (status int, took time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+asked, nil)
	if err != nil {
		return 0, 0, err
	}
	request.SetBasicAuth(name, secret)
	if client.IsValid() {
		request.Header.Set("X-Forwarded-For", client.String())
	}
	began := time.Now()
	answer, err := v.client.Do(request)
	if err != nil {
		return 0, 0, fmt.Errorf("signing in from %s: %w", v.from, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)); err != nil {
		return 0, 0, fmt.Errorf("signing in from %s: %w", v.from, err)
	}
	return answer.StatusCode, time.Since(began), nil
}

func (v *visitor) close() { v.client.CloseIdleConnections() }

// networkAddress returns the first address of the loopback /24 network with the given number. Each
// kind of address has a separate range of networks.
func networkAddress(kind byte, network int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, kind + byte(network>>8), byte(network), 1})
}
