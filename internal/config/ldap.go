package config

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// LDAP is a directory. What its filters, DNs and files hold is checked by who speaks to it: Place then says
// where a setting is written.
type LDAP struct {
	Name    string // principals bear it behind "ldap:"
	Servers []string

	CA       string // PEM file; "": the certificates of the system
	StartTLS bool
	Plain    bool // passwords may travel unencrypted

	BindDN           string // "": people are looked up anonymously, or look themselves up
	BindPasswordFile string

	User   LDAPUser
	Groups LDAPGroups

	Timeout time.Duration // default 5s
	Pool    int           // connections; default 8
	Cache   time.Duration // default 1m; 0: none

	Attempts LDAPAttempts

	node *yaml.Node
}

// LDAPAttempts bound the wrong passwords that a directory is sent for one person.
type LDAPAttempts struct {
	Max    int           // default 4; 0: no bound
	Window time.Duration // default 30m
}

// LDAPUser says where people are in a directory.
type LDAPUser struct {
	Bases                      []string // an empty one is the whole directory
	DN, Filter, Scope          string
	Bind, Domain               string
	NameAttribute, IDAttribute string
	Lowercase                  bool
	Attributes                 map[string]string // attribute -> claim
}

// LDAPGroups says which groups they are in.
type LDAPGroups struct {
	MemberOf      bool
	Bases         []string // an empty one is the whole directory
	Filter        string
	NameAttribute string
	Nested        string // none (default), chain, walk
}

// Place returns line and column of a setting, as "user.filter", and of an item if it is a list; -1 is the
// setting as a whole. What is not written is where it would be.
func (l *LDAP) Place(setting string, place int) (line, column int) {
	n := l.node
	if n == nil {
		return 0, 0
	}
	for part := range strings.SplitSeq(setting, ".") {
		n = value(n, part)
	}
	n = item(n, place)
	return n.Line, n.Column
}

func ldapKeys() []key[LDAP] {
	return []key[LDAP]{
		on("name", sourceName(), func(l *LDAP, v string) { l.Name = v }).must().
			says("The name of this directory. Its users have the source `ldap:NAME`."),
		on("servers", list(line()), func(l *LDAP, v []string) { l.Servers = v }).must().
			says("Its servers, such as `ldaps://ldap.example.com` or `ldap://ldap.example.com:389`. The first is asked. If it does not answer, the others are asked in order."),
		on("ca", filePath("file"), func(l *LDAP, v string) { l.CA = v }).
			says("A PEM file with the CA certificates to verify the servers. The default is the system's CA certificates."),
		on("start_tls", boolean(), func(l *LDAP, v bool) { l.StartTLS = v }).or("false").
			says("Use StartTLS to encrypt connections to `ldap://` servers. If it fails, nothing is sent."),
		on("plain", set(), func(l *LDAP, v bool) { l.Plain = v }).
			says("Send passwords unencrypted to `ldap://` servers that are not on this machine. Anyone on the network path can read them."),
		on("bind_dn", line(), func(l *LDAP, v string) { l.BindDN = v }).
			says("The DN of the service account that looks users up. Without it, users are looked up anonymously. With `user.dn`, they look themselves up after they have signed in, and a refresh then needs anonymous read access."),
		on("bind_password_file", filePath("file"), func(l *LDAP, v string) { l.BindPasswordFile = v }).
			says("A file with the password of `bind_dn`, without its trailing line ends. It is read again for each connection."),
		on("user", section(ldapUserKeys()), func(l *LDAP, v LDAPUser) { l.User = v }).must().
			says("How users are found."),
		on("groups", section(ldapGroupKeys()), func(l *LDAP, v LDAPGroups) { l.Groups = v }).
			says("How the groups of users are found. Rules refer to them as `group:NAME`. By default no groups are looked up."),
		on("timeout", duration(time.Second, time.Minute), func(l *LDAP, v time.Duration) { l.Timeout = v }).or("5s").
			says("How long a sign-in may take, including all connections, searches and binds. After that the answer is 503."),
		on("pool", count(1, 1000), func(l *LDAP, v int) { l.Pool = v }).or("8").
			says("The maximum number of connections, to all servers together."),
		on("cache", duration(0, time.Hour), func(l *LDAP, v time.Duration) { l.Cache = v }).or("1m").
			says("How long a successful sign-in and its groups are cached. With `0s` every request asks the directory."),
		on("attempts", section(ldapAttemptKeys(), checkAttempts), func(l *LDAP, v LDAPAttempts) { l.Attempts = v }).or("{}").
			says("How many wrong passwords are sent to the directory for one user, so that it does not lock the account. Beyond that, the answer is 429 and the directory is not asked."),
	}
}

func ldapAttemptKeys() []key[LDAPAttempts] {
	return []key[LDAPAttempts]{
		on("max", count(0, 10_000), func(a *LDAPAttempts, v int) { a.Max = v }).or("4").
			says("The maximum in a window, over all replicas. It must be less than the number of wrong passwords at which the directory locks. Half of them are reserved for places where the user signed in before, the others are for all places. `0` means no limit, for a directory that locks no accounts."),
		on("window", duration(time.Minute, 30*24*time.Hour), func(a *LDAPAttempts, v time.Duration) { a.Window = v }).or("30m").
			says("How long an attempt counts. It must be at least as long as in the directory."),
	}
}

// checkAttempts refuses a budget that cannot be halved.
func checkAttempts(d *decoder, n *yaml.Node, a *LDAPAttempts) {
	if a.Max == 1 {
		d.problem(value(n, "max"), "must be 0 or at least 2: half of the attempts are for known places")
	}
}

func ldapUserKeys() []key[LDAPUser] {
	return []key[LDAPUser]{
		on("base", baseDNs(), func(u *LDAPUser, v []string) { u.Bases = v }).
			says("The DN below which users are searched, such as `ou=people,dc=example,dc=com`, or a list of DNs. All are searched, and a name that is found below two of them is refused. `\"\"` is the whole directory: all naming contexts of the server, or the forest at a global catalog (port 3268 or 3269)."),
		on("filter", line(), func(u *LDAPUser, v string) { u.Filter = v }).
			says("The filter that finds a user's entry, with `{name}` for the name. The default is `(uid={name})`. Use `(sAMAccountName={name})` for Active Directory."),
		on("scope", one("subtree", "one"), func(u *LDAPUser, v string) { u.Scope = v }).or("subtree").
			says("How deep to search: `subtree` is everything below the base, `one` is only the entries directly below it."),
		on("dn", line(), func(u *LDAPUser, v string) { u.DN = v }).
			says("Instead of `base` and `filter`: the user's DN, such as `uid={name},ou=people,dc=example,dc=com`."),
		on("bind", line(), func(u *LDAPUser, v string) { u.Bind = v }).
			says("The name that users bind with, if there is no service account: `CORP\\{name}` or `{name}@corp.example.com` in Active Directory. After the bind, they search for their own entry with `base` and `filter`. The entry must be the one that the directory reports as bound. Users cannot be looked up without a password, so there are no refresh tokens."),
		on("domain", line(), func(u *LDAPUser, v string) { u.Domain = v }).
			says("A Windows domain that users may write before their name: with `CORP`, `CORP\\ann` is `ann`. With `bind`, it is also the domain in which they must have bound."),
		on("name_attribute", line(), func(u *LDAPUser, v string) { u.NameAttribute = v }).or("uid").
			says("The attribute with the user's name for rules and the journal, in the directory's spelling. Users must not be able to change their own."),
		on("lowercase", boolean(), func(u *LDAPUser, v bool) { u.Lowercase = v }).or("false").
			says("Convert names to lower case, because `${user}` in a rule becomes part of a repository path, which has no capital letters. Do not set it if two users have names that differ only in case."),
		on("id_attribute", line(), func(u *LDAPUser, v string) { u.IDAttribute = v }).
			says("The attribute with an id that is never reused for another user. The default is `entryUUID` or `objectGUID`, or the DN if there is neither."),
		on("attributes", dictionary(line()), func(u *LDAPUser, v []named[string]) {
			u.Attributes = make(map[string]string, len(v))
			for _, a := range v {
				u.Attributes[a.name] = a.value
			}
		}).says("Attributes to use as claims, each with the name of the claim. Rules use them as `${claims.NAME}`."),
	}
}

func ldapGroupKeys() []key[LDAPGroups] {
	return []key[LDAPGroups]{
		on("member_of", set(), func(g *LDAPGroups, v bool) { g.MemberOf = v }).
			says("Read groups from the attribute `memberOf` of the user's entry. With `base`, only groups below it count."),
		on("base", baseDNs(), func(g *LDAPGroups, v []string) { g.Bases = v }).
			says("The DN below which groups are searched, or a list of DNs, or `\"\"` as in `user`. Anyone who can create groups there can create a group of any name."),
		on("filter", line(), func(g *LDAPGroups, v string) { g.Filter = v }).
			says("The filter that finds a user's groups, with `{dn}` for the user's DN, `{name}` for the name, and `{attribute:NAME}` for another attribute of the user's entry. The default is `(member={dn})`. A user whose entry lacks the attribute is refused. If it has several values, the groups of each value count."),
		on("name_attribute", line(), func(g *LDAPGroups, v string) { g.NameAttribute = v }).or("cn").
			says("The attribute with the name of a group, or `dn` for its whole DN."),
		on("nested", one("none", "chain", "walk"), func(g *LDAPGroups, v string) { g.Nested = v }).or("none").
			says("Nested groups. `none`: they do not count. `chain`: the directory resolves them, which Active Directory can do. `walk`: Tidewaiter resolves them with one search for each level."),
	}
}

// baseDNs is one base, or a list of them. In a list in brackets, a DN without quotes would be as
// many bases as it has parts.
func baseDNs() valueType[[]string] {
	s := oneOrMore(baseDN())
	read := s.read
	s.read = func(d *decoder, n *yaml.Node) ([]string, bool) {
		if n.Kind == yaml.SequenceNode {
			for i := range n.Content {
				meant := n.Content[i].Value
				for k := i; k+1 < len(n.Content) && touch(n.Content[k], n.Content[k+1]); k++ {
					meant += "," + n.Content[k+1].Value
				}
				if meant != n.Content[i].Value {
					d.suggest(n.Content[i], text.Quote(meant), "put a DN with commas in quotes in a list")
					return nil, false
				}
			}
		}
		return read(d, n)
	}
	return s
}

// touch reports whether two items of a list are written without quotes, and with nothing but a
// comma between them.
func touch(a, b *yaml.Node) bool {
	return a.Style == 0 && b.Style == 0 && a.Line == b.Line && a.Column+utf8.RuneCountInString(a.Value)+1 == b.Column
}

// baseDN is a DN. The empty one is written in quotes, so that nobody has it by leaving something
// out.
func baseDN() valueType[string] {
	text := line()
	return valueType[string]{kind: text.kind, read: func(d *decoder, n *yaml.Node) (string, bool) {
		if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			return "", d.is(n, yaml.ScalarNode, "a text")
		}
		return text.read(d, n)
	}}
}

// count is a number of things.
func count(least, most int) valueType[int] {
	return scalar("number", func(d *decoder, n *yaml.Node, s string) (int, bool) {
		v, err := strconv.Atoi(s)
		if err != nil || v < least || v > most {
			d.problem(n, "%s is not a number from %d to %d", text.QuoteShort(s), least, most)
			return 0, false
		}
		return v, true
	})
}

// checkLDAP notes where all is written.
func checkLDAP(_ *decoder, n *yaml.Node, l *LDAP) { l.node = n }

// ldap looks at the files of a directory, and at what comes after it.
func (x crossChecks) ldap(n *yaml.Node, l *LDAP, later []Source) {
	if l.CA != "" {
		x.readable(value(n, "ca"), l.CA, false)
	}
	if l.BindPasswordFile != "" {
		x.readable(value(n, "bind_password_file"), l.BindPasswordFile, true)
	}
	if l.Plain {
		x.d.warn(value(n, "plain"), "passwords travel unencrypted to the directory %s", text.QuoteShort(l.Name))
	}
	for _, s := range later {
		if l.User.DN != "" && l.BindDN == "" && s.LDAP != nil {
			x.d.warn(value(n, "user"), "the directory %s is never asked: without bind_dn, %s cannot tell an unknown name from a wrong password",
				text.QuoteShort(s.LDAP.Name), text.QuoteShort(l.Name))
		}
	}
}
