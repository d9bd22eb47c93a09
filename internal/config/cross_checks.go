package config

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/net/publicsuffix"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/token"
)

// crossChecks is what sections have to do with each other and with the files that they name.
type crossChecks struct {
	d    *decoder
	root *yaml.Node
	c    *Config
	keys string // the flag --keys
}

// at returns what is written at a path of keys and places in lists, or the last of it that is.
func (x crossChecks) at(path ...any) *yaml.Node {
	n := x.root
	for _, step := range path {
		next := n
		switch step := step.(type) {
		case string:
			next = value(n, step)
		case int:
			next = item(n, step)
		}
		if next == n {
			break
		}
		n = next
	}
	return n
}

// fill sets the defaults that depend on other settings.
func (x crossChecks) fill() {
	s := &x.c.Signing
	if x.keys != "" {
		s.Certificate, s.Key = root{folder: x.keys}.files()
	} else if !has(x.at("signing"), "root") {
		s.Certificate, s.Key = root{folder: defaultKeys}.files()
	}
	t := &x.c.Token
	t.PushLifetime = cmp.Or(t.PushLifetime, max(defaultPush, t.Lifetime))
	longest := max(t.Lifetime, t.PushLifetime)
	for i := range x.c.Registries {
		r := &x.c.Registries[i]
		if r.Algorithm == "" {
			r.Algorithm = s.Algorithm
		}
		if r.Preset == Zot {
			if !has(x.at("registries", i), "key_id") {
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
	case s.LeafLifetime == 0, s.LeafLifetime >= least: // 0: its problem has been told
	case !has(x.at("signing"), "leaf_lifetime"):
		s.LeafLifetime = least
	default:
		x.d.problem(x.at("signing", "leaf_lifetime"), "tokens live for up to %s: it must be at least %s", text.Duration(longest), text.Duration(least))
	}
}

// services returns the names of the registries, those with mistakes elsewhere too.
func (x crossChecks) services() []string {
	names := []string{}
	if list := x.at("registries"); list.Kind == yaml.SequenceNode {
		for _, registry := range list.Content {
			if has(registry, "service") {
				names = append(names, value(registry, "service").Value)
			}
		}
	}
	return names
}

func (x crossChecks) check() {
	if x.c.Authorizer != nil {
		x.hook(x.at("authorizer", "webhook"), x.c.Authorizer)
	}
	x.publicURL()
	x.listeners()
	x.signing()
	x.registries()
	x.identity()
	x.proxies()
}

// publicURL warns of addresses that clients refuse to be sent to.
func (x crossChecks) publicURL() {
	u, err := url.Parse(x.c.PublicURL)
	if err != nil || x.c.PublicURL == "" {
		return
	}
	n := x.at("public_url")
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
		x.d.warn(n, "many clients refuse the private IP address %s; use a DNS name", ip)
	}
	for _, r := range x.c.Registries {
		registry, err := url.Parse(r.URL)
		if err != nil || registry.Hostname() == "" || sameSite(u, registry) {
			continue
		}
		x.d.warn(n, "%s is neither on the host of %s nor in its domain: a registry 3.1 as a mirror, Snyk and others then send no credentials; use an address on %s", u.Hostname(), text.QuoteShort(r.Service), registry.Hostname())
		break
	}
	if u.Scheme == "http" {
		for _, r := range x.c.Registries {
			if strings.HasPrefix(r.URL, "https:") {
				x.d.warn(n, "clients of %s refuse to go from https to http", text.QuoteShort(r.Service))
				break
			}
		}
	}
}

// sameSite reports whether a realm and a registry have one host, or one registrable domain (example.com,
// example.co.uk). Some clients send credentials to no other realm. A registry without a domain, such as
// localhost, passes: it is for a trial.
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
		n := x.at("listen", i)
		for _, other := range x.c.Listen[:i] {
			if l.Address != "" && other.Address == l.Address && !strings.HasSuffix(l.Address, ":0") {
				x.d.problem(value(n, "address"), "another listener has the address %s", l.Address)
			}
		}
		if l.TLS != nil && l.TLS.Certificate != "" && l.TLS.Key != "" {
			x.readable(value(value(n, "tls"), "certificate"), l.TLS.Certificate, false)
			x.readable(value(value(n, "tls"), "key"), l.TLS.Key, true)
		}
		if l.TLS != nil && l.TLS.SelfSigned {
			x.d.warn(value(value(n, "tls"), "self_signed"), "clients do not trust a self-signed certificate: for testing only")
		}
		if slices.Contains(l.Serve, FaceToken) {
			tokens = true
			if l.TLS == nil && l.Address != "" && !loopback(l.Address) {
				x.d.warn(value(n, "address"), "passwords travel to %s unencrypted, unless a proxy in front of it has TLS", l.Address)
			}
		}
	}
	if !tokens && len(x.c.Listen) > 0 {
		x.d.warn(x.at("listen"), "no listener serves token, so nobody can get a token")
	}
}

// loopback reports whether an address can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && endpoint.Local(host)
}

// signing looks whether the root can be opened.
func (x crossChecks) signing() {
	s := x.c.Signing
	n := x.at("signing", "root")
	switch {
	case x.keys != "":
		for _, file := range []string{s.Certificate, s.Key} {
			open, err := x.d.disk.look(file)
			if err != nil {
				x.d.diagnostics.problem(Problem{Text: "--keys: " + err.Error()})
			}
			for _, warning := range open.warnings(file, file == s.Key) {
				x.d.diagnostics.warn(Problem{Text: "--keys: " + warning})
			}
		}
	case s.Certificate == "" || s.Key == "": // its problem has been told
	case !has(x.at("signing"), "root"):
		if _, err := x.d.disk.look(s.Certificate); err != nil {
			x.d.problem(nil, "there is no signing root: %v; name one by signing.root or --keys", err)
			return
		}
		x.readable(nil, s.Key, true)
	case has(n, "folder"):
		x.readable(value(n, "folder"), s.Certificate, false)
		x.readable(value(n, "folder"), s.Key, true)
	default:
		x.readable(value(n, "certificate"), s.Certificate, false)
		x.readable(value(n, "key"), s.Key, true)
	}
}

// readable looks whether a file that is named at n can be read, and by too many.
func (x crossChecks) readable(n *yaml.Node, file string, secret bool) {
	open, err := x.d.disk.look(file)
	if err != nil {
		x.d.problem(n, "%v", err)
	}
	for _, warning := range open.warnings(file, secret) {
		x.d.warn(n, "%s", warning)
	}
}

func (x crossChecks) registries() {
	open := x.c.Notifications.Open
	if open {
		x.d.warn(x.at("notifications", "open"), "anyone can post events and write false entries into the journal: for demonstrations only")
	}
	remote := false // can events come from elsewhere?
	for _, l := range x.c.Listen {
		remote = remote || l.Address != "" && slices.Contains(l.Serve, FaceNotifications) && !loopback(l.Address)
	}
	for i, r := range x.c.Registries {
		n := x.at("registries", i)
		for k, other := range x.c.Registries[:i] {
			if r.Service != "" && other.Service == r.Service {
				x.d.problem(value(n, "service"), "another registry has the service %s, in line %d", text.QuoteShort(r.Service), x.at("registries", k).Line)
			} else if strings.EqualFold(other.Service, r.Service) {
				x.d.warn(value(n, "service"), "the registry in line %d has the same service in other case: clients that change the case, such as Watchtower, get no token for either", x.at("registries", k).Line)
			}
			if other.Notifications != nil && r.Notifications != nil && other.Notifications() == r.Notifications() {
				x.d.problem(value(n, "notifications"), "the registry in line %d has the same secret, so events cannot be attributed to one of them", x.at("registries", k).Line)
			}
		}
		if r.Notifications == nil && !has(n, "notifications") && remote && !open && r.Preset != Zot {
			x.d.warn(n, "without a secret, events of %s are taken from this machine only: set notifications", text.QuoteShort(r.Service))
		}
	}
}

func (x crossChecks) identity() {
	if !has(x.root, "identity") {
		x.d.warn(nil, "identity is missing, so nobody can sign in")
		return
	}
	names := map[string]int{}
	for i, s := range x.c.Identity {
		n := x.at("identity", i)
		switch {
		case s.Accounts != nil:
			x.accounts(i, names)
		case s.Anyone != nil:
			x.d.warn(value(n, "anyone"), "anyone can sign in with any name and any password: for demonstrations only")
			if i+1 < len(x.c.Identity) {
				x.d.problem(x.at("identity", i+1), "sources after anyone are never asked, because it knows every name; move it to the end")
			}
		case s.HTPasswd != nil:
			n := value(n, "htpasswd")
			if first, taken := names[s.HTPasswd.Name]; taken && s.HTPasswd.Name != "" {
				x.d.problem(value(n, "name"), "another source is called %s, in line %d", text.QuoteShort(s.HTPasswd.Name), x.at("identity", first).Line)
			}
			names[s.HTPasswd.Name] = i
			if s.HTPasswd.File != "" {
				x.readable(value(n, "file"), s.HTPasswd.File, false)
			}
		case s.LDAP != nil:
			n := value(n, "ldap")
			name := "ldap:" + s.LDAP.Name
			if first, taken := names[name]; taken && s.LDAP.Name != "" {
				x.d.problem(value(n, "name"), "another directory is called %s, in line %d", text.QuoteShort(s.LDAP.Name), x.at("identity", first).Line)
			}
			names[name] = i
			x.ldap(n, s.LDAP, x.c.Identity[i+1:])
		case s.OIDC != nil:
			n := value(n, "oidc")
			name := "oidc:" + s.OIDC.Name
			if first, taken := names[name]; taken && s.OIDC.Name != "" {
				x.d.problem(value(n, "name"), "another issuer is called %s, in line %d", text.QuoteShort(s.OIDC.Name), x.at("identity", first).Line)
			}
			names[name] = i
			x.oidc(n, s.OIDC, x.c.Identity[:i])
		case s.Hook() != nil:
			n, h := n.Content[1], s.Hook()
			// Both kinds share their names, because they were one kind: see identity.FormerSource.
			name := "hook:" + h.Name
			if first, taken := names[name]; taken && h.Name != "" {
				x.d.problem(value(n, "name"), "another webhook or exec is called %s, in line %d", text.QuoteShort(h.Name), x.at("identity", first).Line)
			}
			names[name] = i
			x.hook(n, h)
		}
	}
}

// proxies judges who may name the client's address. Where a proxy ends TLS, it has to be known: or all of
// its clients share one address, and the wrong passwords of one delay everybody.
func (x crossChecks) proxies() {
	direct := slices.ContainsFunc(x.c.Listen, func(l Listener) bool { return l.TLS != nil && slices.Contains(l.Serve, FaceToken) })
	if strings.HasPrefix(x.c.PublicURL, "https:") && !direct && len(x.c.TrustedProxies) == 0 {
		x.d.warn(x.at("public_url"), "no listener has TLS, so there is a proxy: list its addresses in trusted_proxies, or all clients share one address and one client's wrong passwords delay everyone")
	}
	for i, p := range x.c.TrustedProxies {
		if p.Bits() == 0 {
			x.d.warn(x.at("trusted_proxies", i), "any client can forge its address")
		}
	}
}
