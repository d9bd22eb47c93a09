package setup

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// The defaults are one machine: registries listen at 5000 of themselves, and we beside it.
const (
	defaultService = "localhost:5000"
	defaultURL     = "http://localhost:5001"
	defaultListen  = "localhost:5001"
	defaultState   = "sqlite:data/state.db"
)

// Where the faces are, unless a config says otherwise.
const (
	tokenPath         = "/token"
	notificationsPath = "/notifications"
)

// maxText bounds what goes into the files from outside, in bytes: a DNS name has 253, a path rarely more.
const maxText = 1024

// plan is Options with nothing left open. The templates read it.
type plan struct {
	Service        string
	PublicURL      string
	Listen         string
	State          string
	Realm, Events  string
	RegistryListen string // where the registry listens
	TLSCertificate string
	TLSKey         string
	Admin, Issuer  string

	// Set once they are known.
	Root   string // absolute path of the root's certificate
	Secret string // with which the registry posts
}

// plan checks o, so that no mistake of it reaches a file.
func (o Options) plan() (plan, error) {
	p := plan{
		Service: o.Service, PublicURL: o.PublicURL, Listen: o.Listen, State: o.State,
		TLSCertificate: o.TLSCertificate, TLSKey: o.TLSKey,
		Admin: Admin, Issuer: Issuer,
	}
	if p.Service == "" {
		p.Service = defaultService
	}
	if p.PublicURL == "" {
		p.PublicURL = defaultURL
	}
	if p.State == "" {
		p.State = defaultState
	}
	for _, text := range []struct{ what, is string }{
		{"service", p.Service},
		{"public URL", p.PublicURL},
		{"address to listen at", p.Listen},
		{"state", p.State},
		{"TLS certificate", p.TLSCertificate},
		{"TLS key", p.TLSKey},
	} {
		if err := plain(text.is); err != nil {
			return plan{}, fmt.Errorf("the %s %q %w", text.what, text.is, err)
		}
	}
	if (p.TLSCertificate == "") != (p.TLSKey == "") {
		return plan{}, errors.New("a TLS certificate needs its key, and a key its certificate")
	}
	if strings.Contains(p.Service, "://") {
		return plan{}, fmt.Errorf("the service %q is an address: the name of a service is the registry's host, as in registry.example.com", p.Service)
	}
	if strings.ContainsAny(p.Service, " /") {
		return plan{}, fmt.Errorf("the service %q has a space or a slash: the name of a service is the registry's host, as in registry.example.com", p.Service)
	}
	base, err := publicURL(p.PublicURL)
	if err != nil {
		return plan{}, err
	}
	p.PublicURL = strings.TrimSuffix(base.String(), "/")
	p.RegistryListen = registryListen(p.Service)
	p.Realm = p.PublicURL + tokenPath
	p.Events = p.PublicURL + notificationsPath
	if p.Listen == "" {
		p.Listen = listen(base)
	}
	if _, port, err := net.SplitHostPort(p.Listen); err != nil || port == "" {
		return plan{}, fmt.Errorf("the address to listen at %q is no host:port, as in localhost:5001 or :8443", p.Listen)
	}
	return p, nil
}

// publicURL refuses what would not be an address for clients.
func publicURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // url.Error shows the whole address, and with it a password
		}
		return nil, fmt.Errorf("the public URL is none: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("the public URL %q is no address like https://auth.example.com", s)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", u.Opaque != "":
		return nil, fmt.Errorf("the public URL %q has more than a host and a path", u.Redacted())
	}
	return u, nil
}

// listen returns the address for a public URL: its own if that is this machine, else one that a proxy on
// this machine passes requests to. Nothing is opened to others unless it was asked for.
func listen(u *url.URL) string {
	address, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || u.Port() == "" || u.Hostname() != "localhost" && (err != nil || !address.IsLoopback()) {
		return defaultListen
	}
	return u.Host
}

// registryListen returns where the registry of a service listens: at the service's port if it is on this
// machine, and else at 5000, as the registry's own image does, for a proxy in front.
func registryListen(service string) string {
	host, port, err := net.SplitHostPort(service)
	if err != nil || port == "" {
		return ":5000"
	}
	if address, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !address.IsLoopback()) {
		return ":5000"
	}
	return ":" + port
}

// plain refuses what does not belong in one line of a config.
func plain(s string) error {
	if len(s) > maxText {
		return fmt.Errorf("is longer than %d bytes", maxText)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }); i >= 0 {
		return errors.New("has a character that cannot be printed")
	}
	return nil
}
