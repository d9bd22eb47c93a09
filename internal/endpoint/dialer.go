package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Dialer connects only to addresses of the public internet, so that a URL cannot lead to a service
// on this machine or in its network. It looks up the name itself, checks every answer, and
// connects only to addresses that it has checked. If one of the addresses is refused, all of them
// are refused. Otherwise an attacker who controls the name could mix a public address with a
// private one. The check is repeated for each connection.
type Dialer struct {
	// Private permits all addresses, including loopback, link-local and private ones.
	Private bool
	// Setting is the name of the setting that sets Private. The error of a refusal has this name.
	Setting string

	// Lookup returns the addresses of a host. nil: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address and port. nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DialContext connects to a host and port. It has the form of http.Transport.DialContext.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if kind := notPublic(a); kind != "" && !d.Private {
			return nil, fmt.Errorf("the address %s of the host is refused, because it is %s; to permit it, set %s", a, kind, d.Setting)
		}
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var failed error
	for _, a := range addresses {
		connection, err := dial(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return connection, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// NotPublic says why a Dialer refuses a host that is an IP address or localhost. It returns "" for
// all other hosts, because it does not look up names.
func NotPublic(host string) string {
	if Local(host) {
		return "an address of this machine"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return notPublic(a.Unmap())
	}
	return ""
}

// maxAddresses limits the addresses of one name.
const maxAddresses = 16

func (d *Dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	find := d.Lookup
	if find == nil {
		find = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	found, err := find(ctx, host)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, errors.New("the host has no address")
	case len(found) > maxAddresses:
		return nil, fmt.Errorf("the host has more than %d addresses", maxAddresses)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, nil
}

// reserved are the networks that the methods of netip.Addr do not recognize. In several of these
// networks, an address contains an IPv4 address, and this IPv4 address can be private.
var reserved = []struct {
	network netip.Prefix
	kind    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this machine"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a private address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "an address of the cloud's platform"}, // Azure
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a reserved address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a reserved address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a reserved address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("::/96"), "a reserved address"}, // contains an IPv4 address
	{netip.MustParsePrefix("64:ff9b::/96"), "an address of a translator to IPv4"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "an address of a translator to IPv4"},
	{netip.MustParsePrefix("100::/64"), "a reserved address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address"}, // with Teredo
	{netip.MustParsePrefix("2001:db8::/32"), "a reserved address"},
	{netip.MustParsePrefix("2002::/16"), "an address of a translator to IPv4"},
	{netip.MustParsePrefix("fec0::/10"), "a private address"},
}

// notPublic describes an address that is not in the public internet. For a public address, it
// returns "".
func notPublic(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "not valid"
	case a.IsLoopback() || a.IsUnspecified():
		return "an address of this machine"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a.IsPrivate():
		return "a private address"
	case a.IsMulticast():
		return "a multicast address"
	}
	for _, r := range reserved {
		if r.network.Contains(a) {
			return r.kind
		}
	}
	return ""
}
