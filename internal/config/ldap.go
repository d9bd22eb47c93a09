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
			says("What this directory is called: its people are from `ldap:` and this name."),
		on("servers", list(line()), func(l *LDAP, v []string) { l.Servers = v }).must().
			says("Its servers, as `ldaps://ldap.example.com` or `ldap://ldap.example.com:389`. The first is asked; the others, in their order, when it does not answer."),
		on("ca", filePath("file"), func(l *LDAP, v string) { l.CA = v }).
			says("A PEM file with the certificates that the servers' are under. The default is those of the system."),
		on("start_tls", boolean(), func(l *LDAP, v bool) { l.StartTLS = v }).or("false").
			says("Encrypt the connections to `ldap://` servers. Where that fails, nothing is sent."),
		on("plain", set(), func(l *LDAP, v bool) { l.Plain = v }).
			says("Send passwords unencrypted to `ldap://` servers that are not on this machine: whoever is between can read them."),
		on("bind_dn", line(), func(l *LDAP, v string) { l.BindDN = v }).
			says("The service account that looks people up. Without one they are looked up anonymously; or, with `user.dn`, they look themselves up once they have signed in, and then a refresh needs anonymous reading."),
		on("bind_password_file", filePath("file"), func(l *LDAP, v string) { l.BindPasswordFile = v }).
			says("A file with its password; line ends at its end are not part of it. It is read again for each connection."),
		on("user", section(ldapUserKeys()), func(l *LDAP, v LDAPUser) { l.User = v }).must().
			says("Where people are."),
		on("groups", section(ldapGroupKeys()), func(l *LDAP, v LDAPGroups) { l.Groups = v }).
			says("Which groups they are in. Rules name them as `group:NAME`. By default none is looked up."),
		on("timeout", duration(time.Second, time.Minute), func(l *LDAP, v time.Duration) { l.Timeout = v }).or("5s").
			says("How long a sign-in may take, with all connections, searches and binds that it needs. Then it is answered with 503."),
		on("pool", count(1, 1000), func(l *LDAP, v int) { l.Pool = v }).or("8").
			says("How many connections there are at most, to all servers together."),
		on("cache", duration(0, time.Hour), func(l *LDAP, v time.Duration) { l.Cache = v }).or("1m").
			says("How long a password that held is not tried again, and groups are not looked up again. `0s`: each request asks the directory."),
		on("attempts", section(ldapAttemptKeys(), checkAttempts), func(l *LDAP, v LDAPAttempts) { l.Attempts = v }).or("{}").
			says("How many wrong passwords the directory is sent for one person, so that it does not lock the account. Past it, the answer is 429 and the directory is not asked."),
	}
}

func ldapAttemptKeys() []key[LDAPAttempts] {
	return []key[LDAPAttempts]{
		on("max", count(0, 10_000), func(a *LDAPAttempts, v int) { a.Max = v }).or("4").
			says("How many in a window, over all replicas. At most one less than what the directory locks after. Half of them are only for places where the person signed in before, the others for all places. `0`: no bound, where the directory locks nobody."),
		on("window", duration(time.Minute, 30*24*time.Hour), func(a *LDAPAttempts, v time.Duration) { a.Window = v }).or("30m").
			says("For how long an attempt counts: at least as long as in the directory."),
	}
}

// checkAttempts refuses a budget that cannot be halved.
func checkAttempts(d *decoder, n *yaml.Node, a *LDAPAttempts) {
	if a.Max == 1 {
		d.problem(value(n, "max"), "a person needs at least 2 attempts: one at places that are known, one at others")
	}
}

func ldapUserKeys() []key[LDAPUser] {
	return []key[LDAPUser]{
		on("base", baseDNs(), func(u *LDAPUser, v []string) { u.Bases = v }).
			says("The DN below which people are searched, as `ou=people,dc=example,dc=com`, or a list of them. All are searched, and whose name is found below two is refused. `\"\"` is the whole directory: all naming contexts of the server, or the forest at a global catalog (port 3268 or 3269)."),
		on("filter", line(), func(u *LDAPUser, v string) { u.Filter = v }).
			says("Which entry is somebody's, with `{name}` for the name: `(uid={name})` if nothing is written; `(sAMAccountName={name})` for Active Directory."),
		on("scope", one("subtree", "one"), func(u *LDAPUser, v string) { u.Scope = v }).or("subtree").
			says("How deep is searched: `subtree` is all below the base, `one` what is directly below."),
		on("dn", line(), func(u *LDAPUser, v string) { u.DN = v }).
			says("In place of `base` and `filter`: the DN itself, as `uid={name},ou=people,dc=example,dc=com`."),
		on("bind", line(), func(u *LDAPUser, v string) { u.Bind = v }).
			says("What people bind as, where there is no service account that looks them up before: `CORP\\{name}` or `{name}@corp.example.com` in Active Directory. They then search for themselves with `base` and `filter`, and whom the directory says to have bound must be whom the filter finds. Nobody can be looked up without a password, so that there are no refresh tokens."),
		on("domain", line(), func(u *LDAPUser, v string) { u.Domain = v }).
			says("A domain of Windows that people may write before their name: with `CORP`, `CORP\\ann` is `ann`. With `bind`, it is also the domain in which they must have bound."),
		on("name_attribute", line(), func(u *LDAPUser, v string) { u.NameAttribute = v }).or("uid").
			says("The attribute whose value is the name that rules and the journal know, in the directory's spelling. People must not be able to change their own."),
		on("lowercase", boolean(), func(u *LDAPUser, v bool) { u.Lowercase = v }).or("false").
			says("Take names in lower case, since `${user}` in a rule is a part of a repository's path, which has no capitals. Not where two people's names differ in case alone."),
		on("id_attribute", line(), func(u *LDAPUser, v string) { u.IDAttribute = v }).
			says("The attribute whose value is never given to anybody else. The default is `entryUUID` or `objectGUID`, or the DN where there is neither."),
		on("attributes", dictionary(line()), func(u *LDAPUser, v []named[string]) {
			u.Attributes = make(map[string]string, len(v))
			for _, a := range v {
				u.Attributes[a.name] = a.value
			}
		}).says("Attributes that are taken as claims, each with the name of the claim. Rules use them as `${claims.NAME}`."),
	}
}

func ldapGroupKeys() []key[LDAPGroups] {
	return []key[LDAPGroups]{
		on("member_of", set(), func(g *LDAPGroups, v bool) { g.MemberOf = v }).
			says("Take the groups that somebody's entry names by `memberOf`; with `base`, those below it alone."),
		on("base", baseDNs(), func(g *LDAPGroups, v []string) { g.Bases = v }).
			says("The DN below which groups are searched, or a list of them, or `\"\"` as in `user`. Whoever can create groups below one can create one of any name."),
		on("filter", line(), func(g *LDAPGroups, v string) { g.Filter = v }).
			says("Which groups are somebody's, with `{dn}` for the DN of a member, `{name}` for the name, and `{attribute:NAME}` for the value of any other attribute of the member's entry: `(member={dn})` if nothing is written. Somebody whose entry lacks the attribute is refused. Where it has several values, the groups of each count."),
		on("name_attribute", line(), func(g *LDAPGroups, v string) { g.NameAttribute = v }).or("cn").
			says("The attribute whose value is the name of a group; `dn` for its whole DN."),
		on("nested", one("none", "chain", "walk"), func(g *LDAPGroups, v string) { g.Nested = v }).or("none").
			says("Groups in groups. `none`: they do not count. `chain`: the directory follows them, as Active Directory can. `walk`: they are followed by one search for each level."),
	}
}

// baseDNs is one base, or a list of them. In a list in brackets, a DN without quotes would be as
// many bases as it has parts.
func baseDNs() shape[[]string] {
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
					d.suggest(n.Content[i], text.Quote(meant), "a DN that has commas is put into quotes in a list")
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
func baseDN() shape[string] {
	text := line()
	return shape[string]{kind: text.kind, read: func(d *decoder, n *yaml.Node) (string, bool) {
		if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			return "", d.is(n, yaml.ScalarNode, "a text")
		}
		return text.read(d, n)
	}}
}

// count is a number of things.
func count(least, most int) shape[int] {
	return scalar("number", func(d *decoder, n *yaml.Node, s string) (int, bool) {
		v, err := strconv.Atoi(s)
		if err != nil || v < least || v > most {
			d.problem(n, "%s is no number from %d to %d", text.QuoteShort(s), least, most)
			return 0, false
		}
		return v, true
	})
}

// checkLDAP notes where all is written.
func checkLDAP(_ *decoder, n *yaml.Node, l *LDAP) { l.node = n }

// ldap looks at the files of a directory, and at what comes after it.
func (x cross) ldap(n *yaml.Node, l *LDAP, later []Source) {
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
