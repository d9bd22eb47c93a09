package ldap

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
)

// settings are Options with the defaults filled in, and the values that were parsed from these
// Options.
type settings struct {
	Options
	servers  []*server
	problems setting.Problems
}

func (s *settings) problem(field, format string, args ...any) {
	s.problems.Add(field, -1, format, args...)
}

// check sets the defaults and returns all problems.
func (o Options) check() (*settings, setting.Problems) {
	s := &settings{Options: o}
	s.fill()
	if s.Name == "" {
		s.problem("name", "missing")
	}
	s.checkServers()
	s.checkAccount()
	s.checkUser()
	s.checkGroups()
	return s, s.problems
}

// fill sets the defaults.
func (s *settings) fill() {
	if s.User.DN == "" {
		s.User.Filter = cmp.Or(s.User.Filter, "(uid={name})")
	}
	s.User.NameAttribute = cmp.Or(s.User.NameAttribute, "uid")
	s.User.Scope = cmp.Or(s.User.Scope, Subtree)
	if len(s.Groups.Bases) > 0 && !s.Groups.MemberOf {
		s.Groups.Filter = cmp.Or(s.Groups.Filter, "(member={dn})")
	}
	s.Groups.NameAttribute = cmp.Or(s.Groups.NameAttribute, "cn")
	s.Groups.Nested = cmp.Or(s.Groups.Nested, None)
	s.Log = cmp.Or(s.Log, slog.New(slog.DiscardHandler))
	if s.Timeout <= 0 {
		s.Timeout = 5 * time.Second
	}
	if s.Pool <= 0 {
		s.Pool = 8
	}
	s.Now = clock.Wall(s.Now)
	if s.Sleep == nil {
		s.Sleep = clock.Sleep
	}
}

func (s *settings) checkServers() {
	roots, err := endpoint.Roots(s.CA)
	if err != nil {
		s.problem("ca", "%v", err)
	}
	if len(s.Servers) == 0 {
		s.problem("servers", "no server is configured")
	}
	encrypted := false
	for i, text := range s.Servers {
		at, wrong := parseServer(text)
		if wrong == "" && !at.tls {
			at.startTLS = s.StartTLS
			if !at.startTLS && !s.Plain && !endpoint.Local(at.host) {
				wrong = "passwords would travel unencrypted: use ldaps:// or start_tls (or plain: true to allow it)"
			}
		}
		if wrong != "" {
			s.problems.Add("servers", i, "%s", wrong)
			continue
		}
		encrypted = encrypted || at.tls || at.startTLS
		at.config = &tls.Config{RootCAs: roots, ServerName: at.host, MinVersion: tls.VersionTLS12}
		at.account, at.passwordFile = s.BindDN, s.BindPasswordFile
		at.timeout = s.Timeout
		s.servers = append(s.servers, at)
	}
	switch {
	case len(s.servers) < len(s.Servers) || len(s.Servers) == 0: // reported above
	case s.StartTLS && !slices.ContainsFunc(s.servers, func(at *server) bool { return at.startTLS }):
		s.problem("start_tls", "no server is ldap://: ldaps:// does not need start_tls")
	case s.CA != "" && !encrypted:
		s.problem("ca", "no server uses TLS, so ca has no effect")
	}
}

// parseServer parses the URL of a server. If the URL is invalid, it returns the reason, without
// the URL, because the URL can contain a password.
func parseServer(text string) (*server, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" && u.Scheme == "" || u.Opaque != "":
		return nil, "not a URL such as ldaps://ldap.example.com"
	case u.Scheme != "ldap" && u.Scheme != "ldaps":
		return nil, fmt.Sprintf("the scheme is %q; use ldaps or ldap", u.Scheme)
	case u.User != nil:
		return nil, "the URL contains a name or password; use bind_dn and bind_password_file instead"
	case u.Hostname() == "":
		return nil, "the URL has no host"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "the URL may only have a host and a port; set the search base in user.base"
	}
	s := &server{url: u.Scheme + "://" + u.Host, host: u.Hostname(), tls: u.Scheme == "ldaps"}
	port := cmp.Or(u.Port(), ldap.DefaultLdapPort)
	if s.tls {
		port = cmp.Or(u.Port(), ldap.DefaultLdapsPort)
	}
	s.address = net.JoinHostPort(s.host, port)
	s.catalog = port == "3268" || port == "3269"
	return s, ""
}

func (s *settings) checkAccount() {
	switch {
	case s.BindDN == "" && s.BindPasswordFile != "":
		s.problem("bind_password_file", "bind_dn is missing")
	case s.BindDN != "" && s.BindPasswordFile == "":
		s.problem("bind_dn", "bind_password_file is missing")
	case s.BindDN != "":
		if _, err := readPassword(s.BindPasswordFile); err != nil {
			s.problem("bind_password_file", "%v", err)
		}
	}
}

// maxPassword is the maximum size of the password file in bytes.
const maxPassword = 4 << 10

// readPassword reads the password of the service account. An empty password is an error,
// because the directory would accept it as an anonymous bind.
func readPassword(file string) (string, error) {
	text, err := endpoint.ReadFile(file, maxPassword)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(text), "\r\n")
	switch {
	case password == "":
		return "", fmt.Errorf("%s is empty", file)
	case strings.ContainsAny(password, "\x00\n"):
		return "", fmt.Errorf("%s contains more than one line or a NUL", file)
	}
	return password, nil
}

func (s *settings) checkUser() {
	u := &s.User
	switch {
	case u.DN != "" && (len(u.Bases) > 0 || u.Filter != ""):
		s.problem("user.dn", "use either dn, or base and filter, not both")
	case u.DN != "" && u.Bind != "":
		s.problem("user.bind", "use either dn or bind, not both")
	case u.DN != "":
		s.checkTemplate("user.dn", u.DN)
	case len(u.Bases) == 0:
		s.problem("user", "set base or dn")
	default:
		s.checkBases("user.base", u.Bases)
		s.checkFilter("user.filter", u.Filter, "{name}", namePlaceholder)
	}
	switch {
	case u.Bind != "" && strings.Count(u.Bind, "{name}") != 1:
		s.problem("user.bind", "must contain {name} exactly once")
	case u.Bind != "" && s.BindDN != "":
		s.problem("user.bind", "cannot be combined with bind_dn: the service account searches for users before they bind")
	}
	if strings.ContainsAny(u.Domain, `\@{}`) {
		s.problem("user.domain", "must be a domain only, such as CORP")
	} else if binds := u.bindDomain(); u.Domain != "" && binds != "" && !strings.EqualFold(u.Domain, binds) {
		s.problem("user.domain", "user.bind is for the domain %s, which is not %s", binds, u.Domain)
	}
	if u.Scope != Subtree && u.Scope != One {
		s.problem("user.scope", "%q is not %s or %s", u.Scope, Subtree, One)
	}
	s.attribute("user.name_attribute", u.NameAttribute)
	if u.IDAttribute != "" {
		s.attribute("user.id_attribute", u.IDAttribute)
	}
	for name := range u.Attributes {
		s.attribute("user.attributes", name)
		if secretAttributes[strings.ToLower(name)] {
			s.problem("user.attributes", "%s is secret and cannot be a claim", name)
		}
	}
}

// secretAttributes are attributes with passwords or password hashes. They cannot be claims,
// because claims are written to the journal.
var secretAttributes = map[string]bool{
	"userpassword": true, "unicodepwd": true, "dbcspwd": true, "ntpwdhistory": true, "lmpwdhistory": true,
	"supplementalcredentials": true, "sambantpassword": true, "sambalmpassword": true, "ipanthash": true,
	"krbprincipalkey": true, "pwdhistory": true, "authpassword": true, "ms-mcs-admpwd": true, "mslaps-password": true,
	"ms-ds-managedpassword": true, "msds-managedpassword": true, "orclpassword": true,
}

func (s *settings) checkGroups() {
	g := &s.Groups
	if !slices.Contains([]Nested{None, Chain, Walk}, g.Nested) {
		s.problem("groups.nested", "%q is not one of %s, %s, %s", g.Nested, None, Chain, Walk)
	}
	s.checkBases("groups.base", g.Bases)
	if g.NameAttribute != "dn" {
		s.attribute("groups.name_attribute", g.NameAttribute)
	}
	switch {
	case g.MemberOf && g.Filter != "":
		s.problem("groups.filter", "use either member_of, or base and filter, not both")
	case g.MemberOf && g.Nested == Chain:
		s.problem("groups.nested", "chain is a search: use base instead of member_of")
	case g.MemberOf:
	case len(g.Bases) == 0 && (g.Filter != "" || g.Nested != None):
		s.problem("groups", "set base or member_of: true")
	case len(g.Bases) > 0:
		s.checkFilter("groups.filter", g.Filter, "{dn}, {name} or {attribute:NAME}", memberPlaceholder)
		for _, name := range g.filterAttributes() {
			s.attribute("groups.filter", name)
			if secretAttributes[strings.ToLower(name)] {
				s.problem("groups.filter", "%s is secret and cannot be used in a search", name)
			}
		}
		if g.Nested == Chain && strings.Contains(g.Filter, "{") && inChain(g.Filter) == g.Filter {
			s.problem("groups.filter", "chain requires a part such as (member={dn})")
		}
		if g.Nested == Walk && memberPlaceholder.MatchString(g.Filter) && !strings.Contains(g.Filter, "{dn}") {
			s.problem("groups.filter", "{dn} is missing: walk finds groups in groups by their DN")
		}
	}
}
