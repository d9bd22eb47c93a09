package drive

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrNotLoopback means that an address may belong to another machine.
var ErrNotLoopback = errors.New("not a loopback address: this driver only puts this machine under load")

// TargetOptions describe the requests.
type TargetOptions struct {
	Name     string   // for reports; default the URL's host
	URL      string   // http or https, with service and scope in its query
	User     string   // for Basic authentication, or in the form with Post
	Password string   // with User
	Headers  []string // "Name: value"
	Post     bool     // send the query as a form, with grant_type=password
	Process  int      // id of the answering process, to measure its processor time; 0: unknown
	// Vary is the number of repositories to request in turn, by appending -0, -1 … to the
	// scopes' names.
	Vary  int
	Names int  // number of names to send in turn, by appending -0, -1 … to User
	Apart bool // send a different X-Forwarded-For with each of these names
	Event bool // post a registry's event, which is different in each request
}

// Target is a token endpoint with its prepared requests.
type Target struct {
	Name string

	// address is checked and then dialed. A host name could resolve to another address the next
	// time.
	address  netip.AddrPort
	tls      *tls.Config // nil: plain HTTP
	requests [][]byte
	events   *numberedEvents // writes an event into a request; nil: the requests are sent unchanged
	process  int
}

// maxVary limits the memory of prepared requests.
const maxVary = 100_000

// NewTarget resolves the host and prepares the requests. If an address of the host is not
// loopback, it fails with ErrNotLoopback.
func NewTarget(ctx context.Context, o TargetOptions) (*Target, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the address of a target: %w", err)
	}
	if u.User != nil {
		return nil, errors.New("a target's URL must not contain a name or password: they are separate options")
	}
	t := &Target{Name: o.Name, process: o.Process}
	port := u.Port()
	switch u.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
		// The certificate is not verified, because nobody can intercept a connection on loopback,
		// and test certificates have no trusted issuer.
		t.tls = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
	default:
		return nil, fmt.Errorf("target %q: not an http or https address", o.URL)
	}
	if t.Name == "" {
		t.Name = u.Host
	}
	if t.address, err = resolveLoopback(ctx, u.Hostname(), port); err != nil {
		return nil, fmt.Errorf("target %q: %w", o.URL, err)
	}
	if o.Event {
		t.events = newEvents()
	}
	if t.requests, err = requests(u, o); err != nil {
		return nil, fmt.Errorf("target %q: %w", o.URL, err)
	}
	return t, nil
}

// resolveLoopback resolves a host. It fails if an address of the host is not loopback.
func resolveLoopback(ctx context.Context, host, port string) (netip.AddrPort, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return netip.AddrPort{}, fmt.Errorf("port %q: not a number from 1 to 65535", port)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("resolving %q: %w", host, err)
	}
	var first netip.Addr
	for _, address := range found {
		address = address.Unmap()
		if !address.IsLoopback() {
			return netip.AddrPort{}, fmt.Errorf("%w: %s (%s)", ErrNotLoopback, host, address)
		}
		// localhost resolves to IPv4 and IPv6. Prefer IPv4, because some servers listen only on
		// IPv4.
		if !first.IsValid() || address.Is4() && !first.Is4() {
			first = address
		}
	}
	if !first.IsValid() {
		return netip.AddrPort{}, fmt.Errorf("resolving %q: no address", host)
	}
	return netip.AddrPortFrom(first, uint16(number)), nil
}

// dial connects to the address that was checked.
func (t *Target) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", t.address.String())
	if err != nil || t.tls == nil {
		return conn, err
	}
	secure := tls.Client(conn, t.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// requests returns the bytes to send, one request for each repository.
func requests(u *url.URL, o TargetOptions) ([][]byte, error) {
	for what, n := range map[string]int{"scopes": o.Vary, "names": o.Names} {
		if n < 0 || n > maxVary {
			return nil, fmt.Errorf("%d %s: the maximum is %d", n, what, maxVary)
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("reading its query: %w", err)
	}
	var headers strings.Builder
	for _, header := range o.Headers {
		name, value, ok := strings.Cut(header, ":")
		if !ok || name == "" || strings.ContainsAny(header, "\r\n\x00") || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("header %q: not of the form Name: value", header)
		}
		fmt.Fprintf(&headers, "%s: %s\r\n", name, strings.TrimSpace(value))
	}
	made := make([][]byte, max(o.Vary, o.Names, 1))
	for i := range made {
		asked, one, head := query, o, headers.String()
		if o.Vary > 0 {
			asked = vary(query, i%o.Vary)
		}
		if o.Names > 0 {
			one.User += "-" + strconv.Itoa(i%o.Names)
		}
		if o.Apart {
			head += fmt.Sprintf("X-Forwarded-For: 10.%d.%d.%d\r\n", i>>16, i>>8&0xff, i&0xff)
		}
		if o.Event {
			made[i] = postEvent(u, head)
		} else if o.Post {
			made[i] = post(u, asked, one, head)
		} else {
			made[i] = get(u, asked, head+basicHeader(one))
		}
	}
	return made, nil
}

// basicHeader returns the header for Basic authentication, if there is a name.
func basicHeader(o TargetOptions) string {
	if o.User == "" {
		return ""
	}
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(o.User+":"+o.Password)) + "\r\n"
}

func get(u *url.URL, query url.Values, headers string) []byte {
	address := u.EscapedPath()
	if address == "" {
		address = "/"
	}
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tidewaiter-load\r\n%s\r\n", address, u.Host, headers)
}

func post(u *url.URL, query url.Values, o TargetOptions, headers string) []byte {
	form := url.Values{"grant_type": {"password"}, "client_id": {"tidewaiter-load"}}
	if o.User != "" {
		form.Set("username", o.User)
		form.Set("password", o.Password)
	}
	for name, values := range query {
		form[name] = values
	}
	address := u.EscapedPath()
	if address == "" {
		address = "/"
	}
	body := form.Encode()
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tidewaiter-load\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n%s\r\n%s", address, u.Host, len(body), headers, body)
}

// vary appends -i to the name in each scope: repository:team/app:pull becomes
// repository:team/app-7:pull.
func vary(query url.Values, i int) url.Values {
	varied := url.Values{}
	for name, values := range query {
		for _, value := range values {
			if name == "scope" {
				scopes := strings.Fields(value)
				for n, scope := range scopes {
					// The name may contain host:port/, so the actions begin at the last colon.
					if at := strings.LastIndexByte(scope, ':'); at >= 0 {
						scopes[n] = scope[:at] + "-" + strconv.Itoa(i) + scope[at:]
					}
				}
				value = strings.Join(scopes, " ")
			}
			varied.Add(name, value)
		}
	}
	return varied
}
