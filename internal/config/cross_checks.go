package config

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/net/publicsuffix"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/token"
)

// crossChecks compares sections with each other, and with the files that the sections name.
type crossChecks struct {
	d    *strictyaml.Decoder
	root *yaml.Node
	c    *Config
	keys string // the flag --keys
}

// nodeAt returns the node at a path, or the last node of the path that exists.
func (x crossChecks) nodeAt(path ...any) *yaml.Node { return strictyaml.At(x.root, path...) }

// fill sets the defaults that depend on other settings.
func (x crossChecks) fill() {
	s := &x.c.Signing
	if x.keys != "" {
		s.Certificate, s.Key = root{folder: x.keys}.files()
	} else if !strictyaml.Has(x.nodeAt("signing"), "root") {
		s.Certificate, s.Key = root{folder: defaultKeys}.files()
	}
	s.JournalKey = cmp.Or(s.JournalKey, filepath.Join(filepath.Dir(s.Key), "journal.key"))
	t := &x.c.Token
	t.PushLifetime = cmp.Or(t.PushLifetime, max(defaultPush, t.Lifetime))
	longest := max(t.Lifetime, t.PushLifetime)
	for i := range x.c.Registries {
		r := &x.c.Registries[i]
		r.Algorithm = cmp.Or(r.Algorithm, s.Algorithm)
		if r.Preset == Zot {
			if !strictyaml.Has(x.nodeAt("registries", i), "key_id") {
				r.KeyID = token.Thumbprint
			}
			r.PushLifetime = cmp.Or(r.PushLifetime, max(defaultZotPush, t.PushLifetime))
		}
		r.PushLifetime = cmp.Or(r.PushLifetime, max(t.PushLifetime, r.Lifetime))
		r.Lifetime = cmp.Or(r.Lifetime, t.Lifetime)
		r.Refusals = cmp.Or(r.Refusals, t.Refusals)
		longest = max(longest, r.Lifetime, r.PushLifetime)
	}
	least := 2*longest + leafMargin
	switch {
	case s.LeafLifetime == 0, s.LeafLifetime >= least: // 0: invalid, and reported before
	case !strictyaml.Has(x.nodeAt("signing"), "leaf_lifetime"):
		s.LeafLifetime = least
	default:
		x.d.Problem(x.nodeAt("signing", "leaf_lifetime"), "tokens live for up to %s: it must be at least %s", text.Duration(longest), text.Duration(least))
	}
}

// services returns the names of all registries, including registries with errors.
func (x crossChecks) services() []string {
	names := []string{}
	if list := x.nodeAt("registries"); list.Kind == yaml.SequenceNode {
		for _, registry := range list.Content {
			if strictyaml.Has(registry, "service") {
				names = append(names, strictyaml.At(registry, "service").Value)
			}
		}
	}
	return names
}

func (x crossChecks) check() {
	if x.c.Authorizer != nil {
		x.hook(x.nodeAt("authorizer", "webhook"), x.c.Authorizer)
	}
	x.publicURL()
	x.listeners()
	x.checkSigning()
	x.registries()
	x.identity()
	x.webhooks()
	x.checkProxies()
}

// publicURL adds a warning if clients would refuse to send requests or credentials to the public
// URL.
func (x crossChecks) publicURL() {
	u, err := url.Parse(x.c.PublicURL)
	if err != nil || x.c.PublicURL == "" {
		return
	}
	n := x.nodeAt("public_url")
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
		x.d.Warn(n, "many clients refuse the private IP address %s; use a DNS name", ip)
	}
	for _, r := range x.c.Registries {
		registry, err := url.Parse(r.URL)
		if err != nil || registry.Hostname() == "" || sameSite(u, registry) {
			continue
		}
		x.d.Warn(n, "%s is neither on the host of %s nor in its domain, so some clients, such as Snyk and mirrors with registry 3.1, send no credentials; use an address on %s", u.Hostname(), text.QuoteShort(r.Service), registry.Hostname())
		break
	}
	for _, r := range x.c.Registries {
		if u.Scheme == "http" && strings.HasPrefix(r.URL, "https:") {
			x.d.Warn(n, "clients of %s refuse to send requests from an https registry to an http URL: use https", text.QuoteShort(r.Service))
			break
		}
	}
}

// sameSite reports whether a realm and a registry have the same host or the same registrable
// domain (example.com, example.co.uk). Some clients send credentials only to such a realm. A
// registry without a domain, such as localhost, is for tests, so the result is true.
func sameSite(realm, registry *url.URL) bool {
	theirs, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(registry.Hostname()))
	if err != nil || strings.EqualFold(realm.Hostname(), registry.Hostname()) {
		return true
	}
	ours, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(realm.Hostname()))
	return err == nil && ours == theirs
}

func (x crossChecks) listeners() {
	tokens := false
	for i, l := range x.c.Listen {
		for _, other := range x.c.Listen[:i] {
			if l.Address != "" && other.Address == l.Address && !strings.HasSuffix(l.Address, ":0") {
				x.d.Problem(x.nodeAt("listen", i, "address"), "another listener has the address %s", l.Address)
			}
		}
		if l.TLS != nil && l.TLS.Certificate != "" && l.TLS.Key != "" {
			x.checkReadable(x.nodeAt("listen", i, "tls", "certificate"), l.TLS.Certificate, false)
			x.checkReadable(x.nodeAt("listen", i, "tls", "key"), l.TLS.Key, true)
		}
		if l.TLS != nil && l.TLS.SelfSigned {
			x.d.Warn(x.nodeAt("listen", i, "tls", "self_signed"), "clients do not trust a self-signed certificate: for testing only")
		}
		if slices.Contains(l.Serve, ServeToken) {
			tokens = true
			if l.TLS == nil && l.Address != "" && !loopback(l.Address) {
				x.d.Warn(x.nodeAt("listen", i, "address"), "passwords travel to %s unencrypted, unless a proxy in front of it has TLS", l.Address)
			}
		}
	}
	if !tokens && len(x.c.Listen) > 0 {
		x.d.Warn(x.nodeAt("listen"), "no listener serves token, so nobody can get a token")
	}
}

// loopback reports whether only this machine can reach an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && endpoint.Local(host)
}

// checkSigning checks that the root can be opened.
func (x crossChecks) checkSigning() {
	s := x.c.Signing
	n := x.nodeAt("signing", "root")
	create := x.createRoot()
	switch {
	case x.keys != "" && create != "":
		x.d.Report(strictyaml.Problem{Text: "--keys: there is no signing root in " + text.Escape(x.keys) + "; " + create})
	case x.keys != "":
		for _, file := range []string{s.Certificate, s.Key} {
			access, err := x.d.Check(file)
			if err != nil {
				x.d.Report(strictyaml.Problem{Text: "--keys: " + err.Error()})
			}
			for _, warning := range access.Warnings(file, file == s.Key) {
				x.d.ReportWarning(strictyaml.Problem{Text: "--keys: " + warning})
			}
		}
	case s.Certificate == "" || s.Key == "": // the root is invalid, and this has been reported
	case !strictyaml.Has(x.nodeAt("signing"), "root"):
		if _, err := x.d.Check(s.Certificate); err != nil {
			if create != "" {
				create = ", or " + create
			}
			x.d.Problem(nil, "there is no signing root: %v; name one by signing.root or --keys%s", err, create)
			return
		}
		x.checkReadable(nil, s.Key, true)
	case create != "":
		x.d.Problem(strictyaml.At(n, "folder"), "there is no signing root in this folder; %s", create)
	case strictyaml.Has(n, "folder"):
		x.checkReadable(strictyaml.At(n, "folder"), s.Certificate, false)
		x.checkReadable(strictyaml.At(n, "folder"), s.Key, true)
	default:
		x.checkReadable(strictyaml.At(n, "certificate"), s.Certificate, false)
		x.checkReadable(strictyaml.At(n, "key"), s.Key, true)
	}
}

// createRoot returns the advice for a missing root: the command that creates one. If one of the
// root's files exists, the result is "", because the command would refuse to run.
func (x crossChecks) createRoot() string {
	for _, file := range []string{x.c.Signing.Certificate, x.c.Signing.Key} {
		if _, err := x.d.Check(file); !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	return "create one with tidewaiter key new --dir " + text.Shell(filepath.Dir(x.c.Signing.Certificate))
}

// checkReadable checks that the file can be opened. It adds a warning if other users can change
// the file, or can read a secret file. n is the node that names the file. If the file's name is
// "", checkReadable does nothing.
func (x crossChecks) checkReadable(n *yaml.Node, file string, secret bool) {
	if file == "" {
		return
	}
	access, err := x.d.Check(file)
	if err != nil {
		x.d.Problem(n, "%v", err)
	}
	for _, warning := range access.Warnings(file, secret) {
		x.d.Warn(n, "%s", warning)
	}
}

func (x crossChecks) registries() {
	open := x.c.Notifications.Open
	if open {
		x.d.Warn(x.nodeAt("notifications", "open"), "anyone can post events and write false entries into the journal: for demonstrations only")
	}
	// If exposed is true, other machines can post events.
	exposed := slices.ContainsFunc(x.c.Listen, func(l Listener) bool {
		return l.Address != "" && slices.Contains(l.Serve, ServeNotifications) && !loopback(l.Address)
	})
	for i, r := range x.c.Registries {
		n := x.nodeAt("registries", i)
		x.checkReadable(strictyaml.At(n, "ca"), r.CA, false)
		if u, err := url.Parse(r.URL); err == nil && strings.Trim(u.Path, "/") != "" {
			x.d.Warn(strictyaml.At(n, "url"), "commands cannot connect to a registry whose URL has a path: remove %s", text.QuoteShort(u.Path))
		}
		for k, other := range x.c.Registries[:i] {
			line := x.nodeAt("registries", k).Line
			if r.Service != "" && other.Service == r.Service {
				x.d.Problem(strictyaml.At(n, "service"), "another registry has the service %s, in line %d", text.QuoteShort(r.Service), line)
			} else if strings.EqualFold(other.Service, r.Service) {
				x.d.Warn(strictyaml.At(n, "service"), "the registry in line %d has the same service in other case: clients that change the case, such as Watchtower, get no token for either", line)
			}
			ours, theirs := []byte(r.Notifications.Reveal()), []byte(other.Notifications.Reveal())
			if len(ours) > 0 && subtle.ConstantTimeCompare(ours, theirs) == 1 {
				x.d.Problem(strictyaml.At(n, "notifications"), "the registry in line %d has the same secret, so events cannot be attributed to one of them", line)
			}
		}
		if r.Notifications.Reveal() == "" && !strictyaml.Has(n, "notifications") && exposed && !open && r.Preset != Zot {
			x.d.Warn(n, "without a secret, events of %s are accepted from this machine only: set notifications", text.QuoteShort(r.Service))
		}
	}
}

func (x crossChecks) identity() {
	if !strictyaml.Has(x.root, "identity") {
		x.d.Warn(nil, "identity is missing, so nobody can sign in")
		return
	}
	names := map[string]int{} // the index of the source
	for i, s := range x.c.Identity {
		kind, name := "source", s.Name()
		n := x.nodeAt("identity", i)
		if len(n.Content) == 2 {
			n = n.Content[1]
		}
		switch {
		case s.Anyone:
			x.d.Warn(n, "anyone can sign in with any name and any password: for demonstrations only")
			if i+1 < len(x.c.Identity) {
				x.d.Problem(x.nodeAt("identity", i+1), "sources after anyone are never asked, because it knows every name; move it to the end")
			}
			continue
		case s.HTPasswd != nil:
			x.checkReadable(strictyaml.At(n, "file"), s.HTPasswd.File, false)
		case s.LDAP != nil:
			kind = "directory"
			x.ldap(n, s.LDAP, x.c.Identity[i+1:])
		case s.OIDC != nil:
			kind = "issuer"
			x.oidc(n, s.OIDC, x.c.Identity[:i])
		case s.Hook() != nil:
			// A webhook and an exec source cannot have the same name, because earlier versions
			// had one kind for both: see sourcename.Former.
			kind, name = "webhook or exec", "hook:"+s.Hook().Name
			x.hook(n, s.Hook())
		}
		_, short, qualified := strings.Cut(name, ":")
		if !qualified {
			short = name
		}
		if first, taken := names[name]; taken && short != "" {
			if n = strictyaml.At(n, "name"); s.Accounts != nil {
				n = x.nodeAt("identity", i)
			}
			x.d.Problem(n, "another %s is called %s, in line %d", kind, text.QuoteShort(short), x.nodeAt("identity", first).Line)
		}
		names[name] = i
	}
}

// checkProxies checks the list of proxies that may report the client's address. A proxy that
// terminates TLS must be in the list. Otherwise all its clients share one address, and one
// client's wrong passwords delay everyone.
func (x crossChecks) checkProxies() {
	direct := slices.ContainsFunc(x.c.Listen, func(l Listener) bool { return l.TLS != nil && slices.Contains(l.Serve, ServeToken) })
	if strings.HasPrefix(x.c.PublicURL, "https:") && !direct && len(x.c.TrustedProxies) == 0 {
		x.d.Warn(x.nodeAt("public_url"), "no listener has TLS, so there is a proxy: list its addresses in trusted_proxies, or all clients share one address and one client's wrong passwords delay everyone")
	}
	for i, p := range x.c.TrustedProxies {
		if p.Bits() == 0 {
			x.d.Warn(x.nodeAt("trusted_proxies", i), "any client can forge its address")
		}
	}
}
