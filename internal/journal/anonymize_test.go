package journal_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// Each row has an address, and the part of it that entries contain when addresses are shortened.
func TestAddressesAndClientsAreShortenedOrLeftOut(t *testing.T) {
	for _, tt := range []struct{ address, short string }{
		{"192.0.2.77", "192.0.2.0"}, {"::ffff:192.0.2.77", "192.0.2.0"}, {"2001:db8:1:2::7", "2001:db8:1::"}, {"fe80::1%eth0", "fe80::"},
	} {
		for form, want := range map[string]string{"full": tt.address, "short": tt.short, "none": ""} {
			for _, clients := range []bool{true, false} {
				j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{ShortAddresses: form == "short", NoAddresses: form == "none", NoClients: !clients})
				remote := netip.MustParseAddr(tt.address)
				decision := &journal.Decision{Remote: remote, Client: "docker/29"}
				event := &notification.Event{Action: "push", Time: noon, Request: notification.Request{
					Address: netip.AddrPortFrom(remote, 4711).String(), UserAgent: "docker/29",
				}}
				service := &journal.Service{Action: "api.refuse", Remote: remote, Client: "docker/29"}
				if err := j.Append(t.Context(), journal.Entry{Decision: decision}, journal.Entry{Event: event}, journal.Entry{Service: service}); err != nil {
					t.Fatal(err)
				}
				var got []string
				add := func(remote netip.Addr, client string) {
					address := ""
					if remote.IsValid() {
						address = remote.String()
					}
					got = append(got, address, client)
				}
				for e, err := range j.Read(t.Context(), 0) {
					switch {
					case err != nil:
						t.Fatal(err)
					case e.Decision != nil:
						add(e.Decision.Remote, e.Decision.Client)
					case e.Service != nil:
						add(e.Service.Remote, e.Service.Client)
					default:
						address, _, _ := strings.Cut(strings.Trim(e.Event.Request.Address, "["), "]:4711")
						got = append(got, strings.TrimSuffix(address, ":4711"), e.Event.Request.UserAgent)
					}
				}
				client := ""
				if clients {
					client = "docker/29"
				}
				if w := strings.Join([]string{want, client, want, client, want, client}, " "); strings.Join(got, " ") != w {
					t.Errorf("%s in form %s: %q, want %q", tt.address, form, strings.Join(got, " "), w)
				}
				if decision.Remote != remote || event.Request.UserAgent != "docker/29" || service.Remote != remote {
					t.Error("the caller's data was changed")
				}
			}
		}
	}
}
