package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// Problem is one mistake in Options.
type Problem struct {
	Field string // as the config calls it: "servers", "user.filter"
	Item  int    // of a list, from 0; -1: the field as a whole
	Text  string
}

// Problems is the error of New: all mistakes at once.
type Problems []Problem

// Error returns one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = fmt.Sprintf("ldap: %s: %s", p.Field, p.Text)
	}
	return strings.Join(lines, "\n")
}

// settings are Options with their defaults, and what was made of them.
type settings struct {
	Options
	servers  []*server
	problems Problems
}

func (s *settings) problem(field, format string, args ...any) {
	s.problems = append(s.problems, Problem{field, -1, fmt.Sprintf(format, args...)})
}

// check fills in the defaults and finds all that is wrong.
func (o Options) check() (*settings, Problems) {
	s := &settings{Options: o}
	s.fill()
	if s.Name == "" {
		s.problem("name", "it is missing")
	}
	s.checkServers()
	s.checkAccount()
	s.checkUser()
	s.checkGroups()
	return s, s.problems
}

// fill sets what is not said.
func (s *settings) fill() {
	or := func(into *string, standard string) {
		if *into == "" {
			*into = standard
		}
	}
	if s.User.DN == "" {
		or(&s.User.Filter, "(uid={name})")
	}
	or(&s.User.NameAttribute, "uid")
	or((*string)(&s.User.Scope), string(Subtree))
	if len(s.Groups.Bases) > 0 && !s.Groups.MemberOf {
		or(&s.Groups.Filter, "(member={dn})")
	}
	or(&s.Groups.NameAttribute, "cn")
	or((*string)(&s.Groups.Nested), string(None))
	if s.Timeout <= 0 {
		s.Timeout = 5 * time.Second
	}
	if s.Pool <= 0 {
		s.Pool = 8
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.Now = clock.Wall(s.Now)
	if s.Sleep == nil {
		s.Sleep = identity.Sleep
	}
}

func (s *settings) checkServers() {
	roots, err := readRoots(s.CA)
	if err != nil {
		s.problem("ca", "%v", err)
	}
	if len(s.Servers) == 0 {
		s.problem("servers", "there is none")
	}
	encrypted := false
	for i, text := range s.Servers {
		at, wrong := parseServer(text)
		if wrong == "" && !at.tls {
			at.startTLS = s.StartTLS
			if !at.startTLS && !s.Plain && !loopback(at.host) {
				wrong = "passwords would travel unencrypted: ldaps:// or start_tls is wanted (or plain: true, if that is meant)"
			}
		}
		if wrong != "" {
			s.problems = append(s.problems, Problem{"servers", i, wrong})
			continue
		}
		encrypted = encrypted || at.tls || at.startTLS
		at.config = &tls.Config{RootCAs: roots, ServerName: at.host, MinVersion: tls.VersionTLS12}
		at.account, at.passwordFile = s.BindDN, s.BindPasswordFile
		at.timeout = s.Timeout
		s.servers = append(s.servers, at)
	}
	switch {
	case len(s.servers) < len(s.Servers) || len(s.Servers) == 0: // told
	case s.StartTLS && !startsTLS(s.servers):
		s.problem("start_tls", "no server is ldap://: ldaps:// is encrypted without it")
	case s.CA != "" && !encrypted:
		s.problem("ca", "no server is spoken to by TLS: it would not be used")
	}
}

func startsTLS(servers []*server) bool {
	for _, s := range servers {
		if s.startTLS {
			return true
		}
	}
	return false
}

// parseServer reads the URL of a server, or says what is wrong with it. It does not repeat it, in case
// somebody has put a password into it.
func parseServer(text string) (*server, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" && u.Scheme == "" || u.Opaque != "":
		return nil, "this is no URL like ldaps://ldap.example.com"
	case u.Scheme != "ldap" && u.Scheme != "ldaps":
		return nil, fmt.Sprintf("the scheme is %q; ldaps or ldap is wanted", u.Scheme)
	case u.User != nil:
		return nil, "the URL has a name or password in it; bind_dn and bind_password_file are for these"
	case u.Hostname() == "":
		return nil, "the URL names no host"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "the URL has more than a host and a port; where to search is said by user.base"
	}
	s := &server{url: u.Scheme + "://" + u.Host, host: u.Hostname(), tls: u.Scheme == "ldaps"}
	port := u.Port()
	switch {
	case port != "":
	case s.tls:
		port = ldap.DefaultLdapsPort
	default:
		port = ldap.DefaultLdapPort
	}
	s.address = net.JoinHostPort(s.host, port)
	s.catalog = port == "3268" || port == "3269"
	return s, ""
}

// loopback says whether a host is this machine, without asking anybody.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// readRoots reads the certificates of a PEM file; nil, those of the system, without one.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return roots, nil
}

func (s *settings) checkAccount() {
	switch {
	case s.BindDN == "" && s.BindPasswordFile != "":
		s.problem("bind_password_file", "there is no bind_dn that the password is of")
	case s.BindDN != "" && s.BindPasswordFile == "":
		s.problem("bind_dn", "bind_password_file is missing")
	case s.BindDN != "":
		if _, err := readPassword(s.BindPasswordFile); err != nil {
			s.problem("bind_password_file", "%v", err)
		}
	}
}

// maxPassword bounds the file of the service account's password, in bytes.
const maxPassword = 4 << 10

// readPassword reads the password of the service account. An empty one is refused: the directory would
// take it as "nobody" and say yes.
func readPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(text), "\r\n")
	switch {
	case password == "":
		return "", fmt.Errorf("%s is empty", file)
	case len(password) > maxPassword:
		return "", fmt.Errorf("%s has more than %d bytes", file, maxPassword)
	case strings.ContainsAny(password, "\x00\n"):
		return "", fmt.Errorf("%s has more than one line, or a NUL, in it", file)
	}
	return password, nil
}

func (s *settings) checkUser() {
	u := &s.User
	switch {
	case u.DN != "" && (len(u.Bases) > 0 || u.Filter != ""):
		s.problem("user.dn", "people are named by dn, or searched by base and filter, not both")
	case u.DN != "" && u.Bind != "":
		s.problem("user.bind", "people bind as dn says, or as bind does, not both")
	case u.DN != "":
		s.template("user.dn", u.DN)
	case len(u.Bases) == 0:
		s.problem("user", "base is missing, or dn")
	default:
		s.bases("user.base", u.Bases)
		s.filter("user.filter", u.Filter, "{name}", namePlaceholder)
	}
	switch {
	case u.Bind != "" && strings.Count(u.Bind, "{name}") != 1:
		s.problem("user.bind", "{name} is wanted in it, once")
	case u.Bind != "" && s.BindDN != "":
		s.problem("user.bind", "there is a service account (bind_dn), which looks people up before they bind")
	}
	if strings.ContainsAny(u.Domain, `\@{}`) {
		s.problem("user.domain", "the domain alone is wanted, as in CORP")
	} else if binds := u.bindDomain(); u.Domain != "" && binds != "" && !strings.EqualFold(u.Domain, binds) {
		s.problem("user.domain", "people bind in the domain %s, and would be taken for those of %s", binds, u.Domain)
	}
	if u.Scope != Subtree && u.Scope != One {
		s.problem("user.scope", "%q is neither %s nor %s", u.Scope, Subtree, One)
	}
	s.attribute("user.name_attribute", u.NameAttribute)
	if u.IDAttribute != "" {
		s.attribute("user.id_attribute", u.IDAttribute)
	}
	for name := range u.Attributes {
		s.attribute("user.attributes", name)
		if secretAttributes[strings.ToLower(name)] {
			s.problem("user.attributes", "%s is a secret, and a claim is none", name)
		}
	}
}

// secretAttributes hold passwords or what stands for them. A claim goes into the journal.
var secretAttributes = map[string]bool{
	"userpassword": true, "unicodepwd": true, "dbcspwd": true, "ntpwdhistory": true, "lmpwdhistory": true,
	"supplementalcredentials": true, "sambantpassword": true, "sambalmpassword": true, "ipanthash": true,
	"krbprincipalkey": true, "pwdhistory": true, "authpassword": true, "ms-mcs-admpwd": true, "mslaps-password": true,
	"ms-ds-managedpassword": true, "msds-managedpassword": true, "orclpassword": true,
}

func (s *settings) checkGroups() {
	g := &s.Groups
	switch g.Nested {
	case None, Chain, Walk:
	default:
		s.problem("groups.nested", "%q is none of %s, %s, %s", g.Nested, None, Chain, Walk)
	}
	s.bases("groups.base", g.Bases)
	if g.NameAttribute != "dn" {
		s.attribute("groups.name_attribute", g.NameAttribute)
	}
	switch {
	case g.MemberOf && g.Filter != "":
		s.problem("groups.filter", "groups are named by member_of, or searched by base and filter, not both")
	case g.MemberOf && g.Nested == Chain:
		s.problem("groups.nested", "chain is a search: base is wanted in place of member_of")
	case g.MemberOf:
	case len(g.Bases) == 0 && (g.Filter != "" || g.Nested != None):
		s.problem("groups", "base is missing, or member_of: true")
	case len(g.Bases) > 0:
		s.filter("groups.filter", g.Filter, "{dn}, {name} or {attribute:NAME}", memberPlaceholder)
		for _, name := range g.attributes() {
			s.attribute("groups.filter", name)
			if secretAttributes[strings.ToLower(name)] {
				s.problem("groups.filter", "%s is a secret, and a search is none", name)
			}
		}
		if g.Nested == Chain && strings.Contains(g.Filter, "{") && inChain(g.Filter) == g.Filter {
			s.problem("groups.filter", "chain wants a part like (member={dn}) in it")
		}
		if g.Nested == Walk && memberPlaceholder.MatchString(g.Filter) && !strings.Contains(g.Filter, "{dn}") {
			s.problem("groups.filter", "{dn} is missing: a group in a group has no other name")
		}
	}
}
