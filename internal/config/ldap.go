package config

import (
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// LDAP is a directory. Package ldap checks the filters, DNs and files. For the errors of package
// ldap, Place returns the positions.
type LDAP struct {
	Name    string // without "ldap:"
	Servers []string

	CA       string // PEM file; "": the certificates of the system
	StartTLS bool
	Plain    bool // send passwords unencrypted

	BindDN           string // "": look users up anonymously, or with their own password
	BindPasswordFile string

	User   LDAPUser
	Groups LDAPGroups

	Timeout time.Duration // default 5s
	Pool    int           // connections; default 8
	Cache   time.Duration // default 1m; 0: no cache

	Attempts ldapAttempts

	locatedSection
}

// ldapAttempts limits the wrong passwords for one user that are sent to a directory.
type ldapAttempts = struct {
	Max    int           // default 4; 0: no limit
	Window time.Duration // default 30m
}

// LDAPUser configures how users are found in a directory.
type LDAPUser struct {
	Bases                      []string // an empty base means the whole directory
	DN, Filter, Scope          string
	Bind, Domain               string
	NameAttribute, IDAttribute string
	Lowercase                  bool
	Attributes                 map[string]string // attribute -> claim
}

// LDAPGroups configures how the groups of a user are found.
type LDAPGroups struct {
	MemberOf      bool
	Bases         []string // an empty base means the whole directory
	Filter        string
	NameAttribute string
	Nested        string // none (default), chain, walk
}

func ldapKeys() []*strictyaml.Key[LDAP] {
	return []*strictyaml.Key[LDAP]{
		strictyaml.On("name", sourceName(), func(l *LDAP, v string) { l.Name = v }).Must().
			Says("The name of this directory. Its users have the source `ldap:NAME`."),
		strictyaml.On("servers", strictyaml.List(strictyaml.Line), func(l *LDAP, v []string) { l.Servers = v }).Must().
			Says("The servers of the directory, such as `ldaps://ldap.example.com` or `ldap://ldap.example.com:389`. Tidewaiter asks the first server. If it does not answer, Tidewaiter asks the next server in the list."),
		strictyaml.On("ca", strictyaml.FilePath("file"), func(l *LDAP, v string) { l.CA = v }).
			Says("A PEM file with the CA certificates to verify the servers. The default is the system's CA certificates."),
		strictyaml.On("start_tls", strictyaml.Bool, func(l *LDAP, v bool) { l.StartTLS = v }).Or("false").
			Says("Use StartTLS to encrypt connections to `ldap://` servers. If StartTLS fails, Tidewaiter sends no password."),
		strictyaml.On("plain", strictyaml.True, func(l *LDAP, v bool) { l.Plain = v }).
			Says("Send passwords unencrypted to `ldap://` servers that are not on this machine. Anyone on the network path can read these passwords."),
		strictyaml.On("bind_dn", strictyaml.Line, func(l *LDAP, v string) { l.BindDN = v }).
			Says("The DN of the service account that looks users up. Without `bind_dn`, users are looked up anonymously. With `user.dn` and without `bind_dn`, a user's entry is read with the user's own password. A refresh has no password, so it needs anonymous read access."),
		strictyaml.On("bind_password_file", strictyaml.FilePath("file"), func(l *LDAP, v string) { l.BindPasswordFile = v }).
			Says("A file with the password of `bind_dn`. Line ends after the password are ignored. The file is read again for each connection."),
		strictyaml.On("user", strictyaml.Section(ldapUserKeys()), func(l *LDAP, v LDAPUser) { l.User = v }).Must().
			Says("How users are found."),
		strictyaml.On("groups", strictyaml.Section(ldapGroupKeys()), func(l *LDAP, v LDAPGroups) { l.Groups = v }).
			Says("How the groups of users are found. In rules, a group is `group:NAME`. By default no groups are looked up."),
		strictyaml.On("timeout", duration(time.Second, time.Minute), func(l *LDAP, v time.Duration) { l.Timeout = v }).Or("5s").
			Says("The time limit of a sign-in, including all connections, searches and binds. When the limit is exceeded, the answer is 503."),
		strictyaml.On("pool", count(1, 1000), func(l *LDAP, v int) { l.Pool = v }).Or("8").
			Says("The maximum number of connections, to all servers together."),
		strictyaml.On("cache", duration(0, time.Hour), func(l *LDAP, v time.Duration) { l.Cache = v }).Or("1m").
			Says("How long a successful sign-in and its groups are cached. With `0s` every request asks the directory."),
		strictyaml.On("attempts", strictyaml.Section(ldapAttemptKeys(), checkAttempts), func(l *LDAP, v ldapAttempts) { l.Attempts = v }).Or("{}").
			Says("A limit of the wrong passwords that are sent to the directory for one user, so that the directory does not lock the account. When the limit is reached, the answer is 429 and the directory is not asked."),
	}
}

func ldapAttemptKeys() []*strictyaml.Key[ldapAttempts] {
	return []*strictyaml.Key[ldapAttempts]{
		strictyaml.On("max", count(0, 10_000), func(a *ldapAttempts, v int) { a.Max = v }).Or("4").
			Says("The maximum number of wrong passwords in a window, counted over all replicas. It must be less than the directory's lock threshold. Half of these attempts are reserved for places where the user signed in before, and the other half is for all places. `0` means no limit. Use `0` if the directory locks no accounts."),
		strictyaml.On("window", duration(time.Minute, 30*24*time.Hour), func(a *ldapAttempts, v time.Duration) { a.Window = v }).Or("30m").
			Says("The time for which an attempt counts. It must be at least as long as the period in which the directory counts wrong passwords."),
	}
}

// checkAttempts rejects a limit of one attempt. Half of the attempts are for places where the user
// signed in before, and one attempt cannot be divided.
func checkAttempts(d *strictyaml.Decoder, n *yaml.Node, a *ldapAttempts) {
	if a.Max == 1 {
		d.Problem(strictyaml.At(n, "max"), "must be 0 or at least 2: half of the attempts are for known places")
	}
}

func ldapUserKeys() []*strictyaml.Key[LDAPUser] {
	return []*strictyaml.Key[LDAPUser]{
		strictyaml.On("base", baseDNList(), func(u *LDAPUser, v []string) { u.Bases = v }).
			Says("The DN below which users are searched, such as `ou=people,dc=example,dc=com`, or a list of DNs. The search covers all of these DNs. If a name is found below two of them, the sign-in is refused. `\"\"` is the whole directory: all naming contexts of the server, or the forest at a global catalog (port 3268 or 3269)."),
		strictyaml.On("filter", strictyaml.Line, func(u *LDAPUser, v string) { u.Filter = v }).
			Says("The filter that finds a user's entry, with `{name}` for the name. The default is `(uid={name})`. Use `(sAMAccountName={name})` for Active Directory."),
		strictyaml.On("scope", oneOf("subtree", "one"), func(u *LDAPUser, v string) { u.Scope = v }).Or("subtree").
			Says("How deep to search. `subtree`: everything below the base. `one`: only the entries directly below the base."),
		strictyaml.On("dn", strictyaml.Line, func(u *LDAPUser, v string) { u.DN = v }).
			Says("Instead of `base` and `filter`: the user's DN, such as `uid={name},ou=people,dc=example,dc=com`."),
		strictyaml.On("bind", strictyaml.Line, func(u *LDAPUser, v string) { u.Bind = v }).
			Says("The name with which users bind, if there is no service account: `CORP\\{name}` or `{name}@corp.example.com` in Active Directory. After the bind, the user's entry is searched with `base` and `filter` on the same connection. The entry that is found must be the entry that has bound. Users cannot be looked up without a password, so there are no refresh tokens."),
		strictyaml.On("domain", strictyaml.Line, func(u *LDAPUser, v string) { u.Domain = v }).
			Says("A Windows domain that users may write before their name: with `CORP`, `CORP\\ann` is `ann`. With `bind`, it is also the domain in which users must have bound."),
		strictyaml.On("name_attribute", strictyaml.Line, func(u *LDAPUser, v string) { u.NameAttribute = v }).Or("uid").
			Says("The attribute with the user's name for rules and the journal, in the directory's spelling. Users must not be able to change this attribute of their own entry."),
		strictyaml.On("lowercase", strictyaml.Bool, func(u *LDAPUser, v bool) { u.Lowercase = v }).Or("false").
			Says("Convert names to lower case. Use this setting if names in the directory have capital letters: `${user}` in a rule becomes part of a repository path, which has no capital letters. Do not set `lowercase` if two users have names that differ only in case."),
		strictyaml.On("id_attribute", strictyaml.Line, func(u *LDAPUser, v string) { u.IDAttribute = v }).
			Says("The attribute with an id that is never reused for another user. The default is `entryUUID` or `objectGUID`, or the DN if the entry has neither attribute."),
		strictyaml.On("attributes", strictyaml.Map(strictyaml.Line), func(u *LDAPUser, v map[string]string) { u.Attributes = v }).
			Says("Attributes to use as claims, each with the name of the claim. In rules, a claim is `${claims.NAME}`."),
	}
}

func ldapGroupKeys() []*strictyaml.Key[LDAPGroups] {
	return []*strictyaml.Key[LDAPGroups]{
		strictyaml.On("member_of", strictyaml.True, func(g *LDAPGroups, v bool) { g.MemberOf = v }).
			Says("Read groups from the attribute `memberOf` of the user's entry. With `base`, only groups below `base` count."),
		strictyaml.On("base", baseDNList(), func(g *LDAPGroups, v []string) { g.Bases = v }).
			Says("The DN below which groups are searched, or a list of DNs. `\"\"` is the whole directory, as in `user`. Anyone who can create groups below this DN can create a group of any name."),
		strictyaml.On("filter", strictyaml.Line, func(g *LDAPGroups, v string) { g.Filter = v }).
			Says("The filter that finds a user's groups, with `{dn}` for the user's DN, `{name}` for the name, and `{attribute:NAME}` for another attribute of the user's entry. The default is `(member={dn})`. If a user's entry does not have the attribute NAME, the user is refused. If the attribute has several values, the groups of all values count."),
		strictyaml.On("name_attribute", strictyaml.Line, func(g *LDAPGroups, v string) { g.NameAttribute = v }).Or("cn").
			Says("The attribute with the name of a group, or `dn` for its whole DN."),
		strictyaml.On("nested", oneOf("none", "chain", "walk"), func(g *LDAPGroups, v string) { g.Nested = v }).Or("none").
			Says("Whether nested groups count. `none`: they do not count. `chain`: the directory resolves them, as Active Directory can. `walk`: Tidewaiter resolves them, with one search for each level."),
	}
}

// baseDNList is a base DN or a list of base DNs. In a list in brackets, YAML splits a DN without
// quotes at its commas. baseDNList reports such a list as an error.
func baseDNList() strictyaml.Type[[]string] {
	s := oneOrMore(baseDN())
	read := s.Read
	s.Read = func(d *strictyaml.Decoder, n *yaml.Node) ([]string, bool) {
		if n.Kind == yaml.SequenceNode {
			for i := range n.Content {
				meant := n.Content[i].Value
				for k := i; k+1 < len(n.Content) && onlyCommaBetween(n.Content[k], n.Content[k+1]); k++ {
					meant += "," + n.Content[k+1].Value
				}
				if meant != n.Content[i].Value {
					d.Suggest(n.Content[i], text.Quote(meant), "put a DN with commas in quotes in a list")
					return nil, false
				}
			}
		}
		return read(d, n)
	}
	return s
}

// onlyCommaBetween reports whether two items of a list have no quotes, and only a comma between
// them.
func onlyCommaBetween(a, b *yaml.Node) bool {
	return a.Style == 0 && b.Style == 0 && a.Line == b.Line && a.Column+utf8.RuneCountInString(a.Value)+1 == b.Column
}

// baseDN is a DN. The empty DN must be written in quotes, so that nobody writes it by mistake.
func baseDN() strictyaml.Type[string] {
	return strictyaml.Type[string]{Kind: strictyaml.Line.Kind, Read: func(d *strictyaml.Decoder, n *yaml.Node) (string, bool) {
		if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			return "", d.Is(n, yaml.ScalarNode, "a text")
		}
		return strictyaml.Line.Read(d, n)
	}}
}

func checkLDAP(_ *strictyaml.Decoder, n *yaml.Node, l *LDAP) { l.node = n }

// ldap checks the files of a directory. It adds a warning if, because of this directory,
// Tidewaiter never asks the later sources.
func (x crossChecks) ldap(n *yaml.Node, l *LDAP, later []Source) {
	x.checkReadable(strictyaml.At(n, "ca"), l.CA, false)
	x.checkReadable(strictyaml.At(n, "bind_password_file"), l.BindPasswordFile, true)
	if l.Plain {
		x.d.Warn(strictyaml.At(n, "plain"), "passwords travel unencrypted to the directory %s", text.QuoteShort(l.Name))
	}
	for _, s := range later {
		if l.User.DN != "" && l.BindDN == "" && s.LDAP != nil {
			x.d.Warn(strictyaml.At(n, "user"), "the directory %s is never asked: without bind_dn, %s cannot tell an unknown name from a wrong password",
				text.QuoteShort(s.LDAP.Name), text.QuoteShort(l.Name))
		}
	}
}
