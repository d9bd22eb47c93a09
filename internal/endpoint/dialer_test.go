package endpoint_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
)

// recorder is a Dialer whose names have the given addresses. It records the addresses that it
// connects to, and every connection fails.
func recorder(answers ...string) (d *endpoint.Dialer, dialed *[]string) {
	dialed = new([]string)
	return &endpoint.Dialer{
		Setting: "private_addresses: true",
		Lookup: func(context.Context, string) (list []netip.Addr, err error) {
			for _, a := range answers {
				list = append(list, netip.MustParseAddr(a))
			}
			return list, nil
		},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			*dialed = append(*dialed, address)
			return nil, errors.New("no connection")
		},
	}, dialed
}

func TestThreatAddressesThatAreNotPublicAreNotDialed(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "0.1.2.3", "::", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
		"169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "fec0::1", "224.0.0.1", "ff02::1", "255.255.255.255",
		"168.63.129.16", "198.18.0.1", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::1", "2001::1", "2001:db8::1",
	} {
		for _, host := range []string{address, "name.example"} {
			d, dialed := recorder(address)
			_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "443"))
			if err == nil || !strings.Contains(err.Error(), "to permit it, set private_addresses: true") || len(*dialed) > 0 {
				t.Errorf("%s as %s: dialed %v, error %v", address, host, *dialed, err)
			}
			d.Private = true
			if _, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "443")); err == nil || len(*dialed) != 1 {
				t.Errorf("%s as %s with the setting: dialed %v, error %v", address, host, *dialed, err)
			}
		}
	}
}

func TestThreatANameWithMixedAnswersIsNotDialed(t *testing.T) {
	for _, answers := range [][]string{{"192.0.1.1", "127.0.0.1"}, {"::1", "2a00::1"}, {"192.0.1.1", "2a00::1", "::ffff:10.0.0.1"}} {
		d, dialed := recorder(answers...)
		if _, err := d.DialContext(t.Context(), "tcp", "name.example:443"); err == nil || len(*dialed) > 0 {
			t.Errorf("%v: dialed %v, error %v", answers, *dialed, err)
		}
	}
}

// A second lookup could have another answer, so the name itself is never dialed.
func TestThreatOnlyCheckedAddressesAreDialed(t *testing.T) {
	lookups := 0
	d, dialed := recorder()
	d.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		lookups++
		if lookups > 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("192.0.1.1"), netip.MustParseAddr("2a00::1")}, nil
	}
	_, err := d.DialContext(t.Context(), "tcp", "name.example:443")
	if want := []string{"192.0.1.1:443", "[2a00::1]:443"}; err == nil || !slices.Equal(*dialed, want) || lookups != 1 {
		t.Errorf("%d lookups, dialed %v, want %v; error %v", lookups, *dialed, want, err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "name.example:443"); err == nil || len(*dialed) != 2 {
		t.Errorf("the second connection: dialed %v, error %v", *dialed, err)
	}
}

func TestALookupHasBetweenOneAndSixteenAnswers(t *testing.T) {
	for _, n := range []int{0, 17} {
		d, dialed := recorder(slices.Repeat([]string{"192.0.1.1"}, n)...)
		if _, err := d.DialContext(t.Context(), "tcp", "name.example:443"); err == nil || len(*dialed) > 0 {
			t.Errorf("%d answers: dialed %v, error %v", n, *dialed, err)
		}
	}
}
