package setup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// The defaults are for one machine, where registries listen on port 5000.
const (
	defaultService  = "localhost:5000"
	defaultPort     = 5001
	defaultDatabase = "sqlite:data/state.db"
)

// The default paths of the endpoints.
const (
	tokenPath         = "/token"
	notificationsPath = "/notifications"
)

// maxText is the maximum length of each option in bytes. A DNS name has at most 253 bytes, and
// most paths are shorter.
const maxText = 1024

// plan is Options with all defaults filled in. The templates read it.
type plan struct {
	Options
	Realm, Events  string
	RegistryListen string // where the registry listens
	RegistryURL    string // the URL at which clients reach the registry; "" if it is unknown
	Issuer         string
	Login          string // the address for docker login

	Zot     bool // the registry is zot
	Proxied bool // a proxy terminates TLS
	// Before is the role with the rights that the registry's users had before: writer, or
	// maintainer if they could delete. If the registry had no users, it is "".
	Before string

	// Set by the writer.
	Root   string // absolute path of the root's certificate
	Secret string // the secret of the registry's events

	registry  *registry // nil if there is no registry yet
	contained bool      // the registry runs in a container, in which localhost is the container
	defaulted bool      // no option and no config names the service, so the default name is used
}

// plan validates o before anything is written, and fills in the defaults.
func (o Options) plan() (plan, error) {
	p := plan{Options: o, Issuer: Issuer, Zot: o.Preset == Zot}
	p.Admin = cmp.Or(o.Admin, Admin)
	p.Database = cmp.Or(o.Database, defaultDatabase)
	switch {
	case o.Preset != "" && !p.Zot:
		return plan{}, fmt.Errorf("unknown preset %q: the only one is %s", o.Preset, Zot)
	case p.Zot && o.RegistryConfig != "":
		return plan{}, fmt.Errorf("a registry config cannot be combined with the preset zot: leave the registry config out, and copy the section http.auth of the written %s into zot's config", ZotConfig)
	}
	if err := p.takeExisting(); err != nil {
		return plan{}, err
	}
	if p.Service == "" {
		p.Service, p.defaulted = defaultService, true
	}
	here := net.JoinHostPort("localhost", p.registry.freePort())
	if p.PublicURL == "" {
		p.PublicURL = "http://" + here
		if p.TLSCertificate != "" {
			p.PublicURL = "https://" + here
		}
	}
	for _, text := range []struct{ what, is string }{
		{"service", p.Service},
		{"public URL", p.PublicURL},
		{"address to listen at", p.Listen},
		{"database", p.Database},
		{"TLS certificate", p.TLSCertificate},
		{"TLS key", p.TLSKey},
		{"administrator", p.Admin},
	} {
		if err := checkOneLine(text.is); err != nil {
			return plan{}, fmt.Errorf("the %s %q %w", text.what, text.is, err)
		}
	}
	if (p.TLSCertificate == "") != (p.TLSKey == "") {
		return plan{}, errors.New("a TLS certificate and its key must be given together")
	}
	if strings.Contains(p.Service, "://") {
		return plan{}, fmt.Errorf("the service %q is a URL: give the registry's host, as in registry.example.com", p.Service)
	}
	// Only the option is checked, because the config of an existing registry can have any name.
	if strings.ContainsAny(o.Service, " /") {
		return plan{}, fmt.Errorf("the service %q contains a space or a slash: give the registry's host, as in registry.example.com", p.Service)
	}
	base, err := publicURL(p.PublicURL)
	if err != nil {
		return plan{}, err
	}
	if p.TLSCertificate != "" && base.Scheme != "https" {
		return plan{}, fmt.Errorf("the public URL %q must begin with https://, because there is a TLS certificate", p.PublicURL)
	}
	p.PublicURL = strings.TrimSuffix(base.String(), "/")
	p.RegistryListen = registryListen(p.Service)
	p.Login = p.Service
	p.Realm = p.PublicURL + tokenPath
	p.Events = p.PublicURL + notificationsPath
	if p.Listen == "" {
		p.Listen = listenAddress(base, p.TLSCertificate != "", here)
	}
	host, port, err := net.SplitHostPort(p.Listen)
	if err != nil || port == "" {
		return plan{}, fmt.Errorf("the address to listen at %q is not host:port, as in localhost:5001 or :8443", p.Listen)
	}
	p.Proxied = p.TLSCertificate == "" && !endpoint.Local(base.Hostname())
	if p.registry != nil {
		p.Login = p.registry.loginAddress(p.Service)
		if p.Proxied && endpoint.Local(host) && !p.contained {
			// The registry is on this machine, so its events need no proxy and no certificate.
			p.Events = "http://" + p.Listen + notificationsPath
		}
	}
	return p, nil
}

// RegistryPort is the port of RegistryListen.
func (p plan) RegistryPort() string { return strings.TrimPrefix(p.RegistryListen, ":") }

// LocalProxy reports whether the proxy can only be on this machine. If so, only the addresses
// of this machine are trusted as proxies.
func (p plan) LocalProxy() bool {
	host, _, err := net.SplitHostPort(p.Listen)
	return err == nil && endpoint.Local(host)
}

// takeExisting takes the settings of an existing registry from its config.
func (p *plan) takeExisting() error {
	if p.RegistryConfig == "" {
		return nil
	}
	r, err := readRegistry(p.RegistryConfig)
	if err != nil {
		return err
	}
	if p.Service == "" {
		if p.Service, err = r.service(forThisMachine(p.PublicURL)); err != nil {
			return err
		}
	}
	p.registry, p.RegistryURL = r, r.url()
	if there, err := pathExists(r.passwords()); p.RegistryUsers != "" && r.passwords() != "" && err == nil && !there {
		p.contained = true // the path of the password file in the config is not on this machine
	}
	p.RegistryUsers = cmp.Or(p.RegistryUsers, r.passwords())
	if p.RegistryUsers != "" {
		p.Before = "writer"
		if r.Storage.Delete.Enabled {
			p.Before = "maintainer"
		}
	}
	return nil
}

// usersError returns the error for a RegistryUsers file that cannot be read. If the registry's
// config names the file, the error has the position of the name in the config.
func (p *plan) usersError(err error) error {
	const doing = "reading the registry's password file"
	if p.registry == nil || p.RegistryUsers != p.registry.passwords() {
		return fmt.Errorf("%s: %w", doing, err)
	}
	hint := "name the file with --registry-users FILE"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "if this path is in a container, name the file on this machine with --registry-users FILE"
	}
	line := get(get(get(p.registry.doc.Content[0], "auth"), "htpasswd"), "path").Line
	return fmt.Errorf("%s, auth.htpasswd.path in %s:%d: %w (%s)", doing, p.registry.path, line, err, hint)
}

// forThisMachine reports whether a public URL is reachable from this machine only.
func forThisMachine(public string) bool {
	u, err := url.Parse(public)
	return public == "" || err == nil && endpoint.Local(u.Hostname())
}

// publicURL parses and validates the public URL.
func publicURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // url.Error contains the URL, and the URL can contain a password
		}
		return nil, fmt.Errorf("the public URL is not valid: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("the public URL %q is not a URL such as https://auth.example.com", s)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", u.Opaque != "":
		return nil, fmt.Errorf("the public URL %q has more than a host and a path", u.Redacted())
	}
	return u, nil
}

// listenAddress returns the default address to listen on. If the public URL is on this machine,
// the result is the address in the URL. Otherwise, if there is a TLS certificate, the result is
// the URL's port on all addresses of this machine. Otherwise the result is proxyAddress, to which
// a proxy on this machine can connect. So other machines can connect only if there is a TLS
// certificate.
func listenAddress(u *url.URL, certificate bool, proxyAddress string) string {
	switch {
	case certificate && u.Scheme == "https" && endpoint.Local(u.Hostname()):
		return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
	case certificate && u.Scheme == "https":
		return ":" + cmp.Or(u.Port(), "443")
	case u.Scheme == "http" && u.Port() != "" && endpoint.Local(u.Hostname()):
		return u.Host
	}
	return proxyAddress
}

// registryListen returns the address on which a registry listens. If the service is on this
// machine, the address has the service's port. Otherwise the registry is behind a proxy, and the
// address has port 5000, the default of the registry's image.
func registryListen(service string) string {
	host, port, err := net.SplitHostPort(service)
	if err != nil || port == "" || !endpoint.Local(host) {
		return ":5000"
	}
	return ":" + port
}

// checkOneLine rejects text that cannot be written on one line of a config.
func checkOneLine(s string) error {
	if len(s) > maxText {
		return fmt.Errorf("is longer than %d bytes", maxText)
	}
	if !text.Printable(s) {
		return errors.New("has a character that cannot be printed")
	}
	return nil
}
