package server_test

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// proxies are the networks of trusted proxies in these tests.
var proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}

func trusting(o *server.Options, _ *issuer.Live) { o.TrustedProxies = proxies }

// If the client's address cannot be read, it is unknown. The proxy's own address, which can
// have additional access, is never used instead. Gitea CVE-2026-20896: proxy headers are
// believed only from trusted proxies.
func TestAddressesBehindProxies(t *testing.T) {
	const unknown = ""
	xff := func(lines ...string) []string {
		var header []string
		for _, l := range lines {
			header = append(header, "X-Forwarded-For", l)
		}
		return header
	}
	const proxy = "127.0.0.1:1"
	for _, tt := range []struct {
		what, peer string
		header     []string
		want       string
	}{
		{"no proxy", "192.0.2.7:1", nil, "192.0.2.7"},
		{"a client that forges the header, without a proxy", "192.0.2.7:1", xff("10.0.0.1"), "192.0.2.7"},
		{"a client that forges an invalid header, without a proxy", "192.0.2.7:1", xff("bogus"), "192.0.2.7"},
		{"a trusted proxy", proxy, xff("198.51.100.3"), "198.51.100.3"},
		{"a client that forges the header, behind a proxy", proxy, xff("10.9.9.9, 198.51.100.3"), "198.51.100.3"},
		{"a client that forges an invalid header, behind a proxy", proxy, xff("bogus, 198.51.100.3"), "198.51.100.3"},
		{"two proxies", proxy, xff("198.51.100.3, 127.0.0.9"), "198.51.100.3"},
		{"two headers", proxy, xff("10.9.9.9", "198.51.100.3"), "198.51.100.3"},
		{"blanks and tabs", proxy, xff("  198.51.100.3\t "), "198.51.100.3"},
		{"IPv4 in IPv6", "[::ffff:127.0.0.1]:1", xff("::ffff:198.51.100.3"), "198.51.100.3"},
		{"a proxy with a zone", "[fe80::1%eth0]:1", xff("198.51.100.3"), "198.51.100.3"},
		{"a second proxy with a zone", proxy, xff("198.51.100.3, fe80::2%eth1"), "198.51.100.3"},
		{"a client that only another proxy knows", proxy, xff("127.0.0.9"), "127.0.0.9"},

		{"with a port", proxy, xff("6.6.6.6:1234"), "6.6.6.6"},
		{"IPv6", proxy, xff("2001:db8::1"), "2001:db8::1"},
		{"IPv6 in brackets", proxy, xff("[2001:db8::1]"), "2001:db8::1"},
		{"IPv6 with a port", proxy, xff("[2001:db8::1]:443"), "2001:db8::1"},
		{"IPv6 with a port, in quotes", proxy, xff(`"[2001:db8::1]:443"`), "2001:db8::1"},
		{"IPv4 in quotes", proxy, xff(`"6.6.6.6"`), "6.6.6.6"},
		{"IPv4 in IPv6 with a port", proxy, xff("[::ffff:6.6.6.6]:80"), "6.6.6.6"},
		{"a zone", proxy, xff("2001:db8::1%eth0"), "2001:db8::1"},
		{"a zone and a port", proxy, xff("[2001:db8::1%eth0]:443"), "2001:db8::1"},

		{"text that is not an address", proxy, xff("198.51.100.3, bogus"), unknown},
		{"unknown", proxy, xff("unknown"), unknown},
		{"a hidden name", proxy, xff("_hidden"), unknown},
		{"a host name", proxy, xff("localhost"), unknown},
		{"a network", proxy, xff("198.51.100.0/24"), unknown},
		{"a port without a number", proxy, xff("198.51.100.3:"), unknown},
		{"a port that is too large", proxy, xff("198.51.100.3:65536"), unknown},
		{"a hidden port", proxy, xff("198.51.100.3:_x"), unknown},
		{"one bracket", proxy, xff("[2001:db8::1"), unknown},
		{"one quote", proxy, xff(`"198.51.100.3`), unknown},
		{"IPv4 in brackets", proxy, xff("[198.51.100.3]"), unknown},
		{"leading zeros, which some programs read as octal", proxy, xff("127.0.0.010"), unknown},
		{"an unspecified address", proxy, xff("0.0.0.0"), unknown},
		{"an empty line", proxy, xff(""), unknown},
		{"an empty line after a valid line", proxy, xff("198.51.100.3", ""), unknown},
		{"an empty part before a proxy", proxy, xff(", 127.0.0.9"), unknown},
		{"an empty part before a client", proxy, xff(", 198.51.100.3"), "198.51.100.3"},
		{"only commas", proxy, xff(",,,"), unknown},
		{"a long word", proxy, xff(strings.Repeat("1", 4000)), unknown},
		{"a long zone", proxy, xff("fe80::1%" + strings.Repeat("x", 4000)), unknown},
		{"more than maxHops proxies", proxy, xff("198.51.100.3" + strings.Repeat(", 127.0.0.9", 1000)), unknown},

		{"no forwarding header", proxy, nil, "127.0.0.1"},
		{"X-Real-IP alone", proxy, []string{"X-Real-IP", "198.51.100.3"}, unknown},
		{"Forwarded alone", proxy, []string{"Forwarded", "for=198.51.100.3"}, unknown},
		{"only the client's scheme", proxy, []string{"X-Forwarded-Proto", "https"}, unknown},
		{"Via alone", proxy, []string{"Via", "1.1 proxy"}, unknown},
		{"X-Real-IP beside", proxy, []string{"X-Real-IP", "10.9.9.9", "X-Forwarded-For", "198.51.100.3"}, "198.51.100.3"},
		{"X-Real-IP from a client without a proxy", "192.0.2.7:1", []string{"X-Real-IP", "127.0.0.1"}, "192.0.2.7"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h := newHarness(t, trusting)
			h.ask("GET", "/token?service=a.example.com", "", append([]string{"From", tt.peer}, tt.header...)...)
			var want netip.Addr
			if tt.want != unknown {
				want = netip.MustParseAddr(tt.want)
			}
			if got := h.entries()[0].Decision.Remote; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if told := strings.Contains(h.log.String(), "the address of a client is unknown"); told != (tt.want == unknown) {
				t.Errorf("the log: %s", h.log)
			}
			if strings.Contains(h.log.String(), "invalid IP") || tt.want == unknown && !strings.Contains(h.log.String(), "remote=unknown ") {
				t.Errorf("the log has no line about the unknown address: %s", h.log)
			}
		})
	}
}

// nginx with proxy_pass alone sends no header about its client. Its Host header reveals that nginx
// forwards the request.
func TestProxyThatHidesClientsIsLogged(t *testing.T) {
	const path = "/token?service=a.example.com"
	for _, tt := range []struct {
		what, public string
		ask          []string
		told         bool
	}{
		{"nginx with proxy_pass alone", "auth.example.com", []string{"From", "127.0.0.1:1", "Host", "127.0.0.1:5001"}, true},
		{"by a name", "auth.example.com:8443", []string{"From", "127.0.0.1:1", "Host", "tidewaiter:5001"}, true},
		{"by an IPv6 address", "auth.example.com", []string{"From", "127.0.0.1:1", "Host", "[::1]"}, true},
		{"with the client's address", "auth.example.com", []string{"From", "127.0.0.1:1", "Host", "127.0.0.1:5001", "X-Forwarded-For", "198.51.100.3"}, false},
		{"with another header, which causes a different log line", "auth.example.com", []string{"From", "127.0.0.1:1", "Host", "127.0.0.1:5001", "X-Real-IP", "198.51.100.3"}, false},
		{"a client on the proxy's machine", "auth.example.com:8443", []string{"From", "127.0.0.1:1", "Host", "AUTH.example.com:8443"}, false},
		{"a client that is not a proxy", "auth.example.com", []string{"From", "192.0.2.7:1", "Host", "127.0.0.1:5001"}, false},
		{"no public URL", "", []string{"From", "127.0.0.1:1", "Host", "127.0.0.1:5001"}, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h := newHarness(t, func(o *server.Options, live *issuer.Live) {
				trusting(o, live)
				o.PublicHost = tt.public
			})
			if got := h.ask("GET", path, "", tt.ask...); got.Status != 200 {
				t.Fatalf("status %d", got.Status)
			}
			if told := strings.Contains(h.log.String(), "kind=silent_proxy"); told != tt.told {
				t.Errorf("the log: %s", h.log)
			}
		})
	}
}

// An unknown address never grants access. A deny rule that depends on the address applies, and an
// allow rule that depends on the address does not apply.
func TestUnknownAddressGrantsNothing(t *testing.T) {
	conditions := when.NewCompiler()
	condition := func(text string) policy.Condition {
		c, err := conditions.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "everything here", Subjects: []string{"anyone"}, Names: []string{"local/**"}, Actions: scope.Pull,
			When: condition(`cidr("127.0.0.0/8").containsIP(request.ip)`)},
		{Name: "public", Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull},
		{Name: "deny from an address", Deny: true, Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull,
			When: condition(`cidr("6.6.6.0/24").containsIP(request.ip)`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(o *server.Options, l *issuer.Live) {
		trusting(o, l)
		l.Policy = rules
	})
	for _, tt := range []struct {
		forwarded, scope string
		granted          bool
	}{
		{"127.0.0.1", "local/app", true},
		{"127.0.0.1", "public/app", true},
		{"6.6.6.6", "public/app", false},
		{"6.6.6.6:1234", "public/app", false},
		{"6.6.6.6:1234", "local/app", false},
		{"unknown", "local/app", false},
		{"unknown", "public/app", false},
		{"_hidden", "local/app", false},
		{"127.0.0.1.", "local/app", false},
	} {
		h.ask("GET", "/token?service=a.example.com&scope=repository:"+tt.scope+":pull", "", "From", "127.0.0.1:1", "X-Forwarded-For", tt.forwarded)
		entries := h.entries()
		if got := entries[len(entries)-1].Decision.Results[0].Granted != 0; got != tt.granted {
			t.Errorf("%s from %s: granted %v", tt.scope, tt.forwarded, got)
		}
	}
}

// Events without a secret are for programs on this machine. A client with an unknown address
// does not count as such a program.
func TestAnUnknownAddressIsNotLocal(t *testing.T) {
	for _, header := range [][]string{
		{"X-Forwarded-For", "6.6.6.6:1234"}, {"X-Forwarded-For", "unknown"}, {"X-Forwarded-For", "[2001:db8::1]:443"}, {"X-Forwarded-For", ""},
		{"X-Real-IP", "127.0.0.1"}, {"Forwarded", "for=127.0.0.1"}, {"Via", "1.1 proxy"},
	} {
		h := newHarness(t, trusting)
		got := h.ask("POST", "/notifications", push("1", "b.example.com"), append([]string{"From", "127.0.0.1:1", "Host", "localhost"}, header...)...)
		if got.Status != 401 {
			t.Errorf("%q: %s", header, got)
		}
	}
	h := newHarness(t, trusting)
	if got := h.ask("POST", "/notifications", push("1", "b.example.com"), "From", "127.0.0.1:1", "Host", "localhost", "X-Forwarded-For", "127.0.0.1"); got.Status != 200 {
		t.Errorf("from this machine through a proxy on this machine: %s", got)
	}
}

// A client cannot evade a limit by hiding its address. All clients with a hidden address behind
// one proxy share the limit of the proxy's address.
func TestUnknownAddressIsLimitedByTheProxy(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	h := newHarness(t, func(o *server.Options, l *issuer.Live) {
		trusting(o, l)
		l.Chain = chain.New(chain.Options{
			Sources: []identity.Source{{Name: "fake", Authenticator: &identitytest.Fake{People: map[string]string{"ann": annPassword}}}},
			Limiter: ratelimit.New(ratelimit.Options{MaxFailuresPerSource: 3, Now: func() time.Time { return at }}),
		})
	})
	guess := func(name, forwarded string) int {
		return h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic(name, "a guess"), "From", "127.0.0.1:1", "X-Forwarded-For", forwarded).Status
	}
	for _, name := range []string{"a", "b", "c"} {
		if got := guess(name, "unknown"); got != 401 {
			t.Fatalf("%s: %d", name, got)
		}
	}
	if got := guess("d", "_other"); got != 429 {
		t.Errorf("the fourth name without an address: %d", got)
	}
	if got := guess("e", "198.51.100.3"); got != 401 {
		t.Errorf("a client with a known address: %d", got)
	}
}

// FuzzForwardedFor compares the server with a simple parser. The server may use an address only if
// a header contains exactly this address. This also applies to the address of the proxy itself.
func FuzzForwardedFor(f *testing.F) {
	for _, text := range []string{
		"6.6.6.6:1234", "[2001:db8::1]:443", `"[2001:db8::1]:443"`, "unknown", "_hidden", "fe80::1%eth0", "::ffff:1.2.3.4", "", ",", " , ",
		"1.2.3.4, 127.0.0.1", "1.2.3.4,,127.0.0.1", `"`, `""`, "[]", "[]:1", "127.0.0.1:80", "::", "127.1",
	} {
		f.Add(text, "X-Forwarded-For")
		f.Add(text, "X-Real-Ip")
	}
	s := server.New(server.Options{TrustedProxies: proxies})
	f.Fuzz(func(t *testing.T, text, header string) {
		r := httptest.NewRequest("GET", "/token", nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header[header] = []string{text}
		got := s.Located(r).Remote
		if header != "X-Forwarded-For" {
			if got.IsValid() && got != netip.MustParseAddr("127.0.0.1") {
				t.Fatalf("the server uses an address of an untrusted peer: %s %q: %s", header, text, got)
			}
			return
		}
		if !got.IsValid() {
			return
		}
		if got.Zone() != "" || got.Is4In6() || got.IsUnspecified() {
			t.Fatalf("%q gives %s", text, got)
		}
		for part := range strings.SplitSeq(text, ",") {
			part = strings.Trim(strings.TrimSpace(part), `"`)
			bare := strings.Trim(part, "[]")
			for _, spelt := range []string{part, bare, part[:max(0, strings.LastIndexByte(part, ':'))]} {
				if a, err := netip.ParseAddr(strings.Trim(spelt, "[]")); err == nil && a.Unmap().WithZone("") == got {
					return
				}
			}
		}
		t.Fatalf("%q gives %s, which is not in it", text, got)
	})
}
