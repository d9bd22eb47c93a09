package dockerauth

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// bcrypt matches the only hashes that docker_auth accepts.
var bcrypt = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// randomHash is the bcrypt hash of 32 random bytes that nobody knows.
const randomHash = "$2a$10$pgqMOhtEJ7vPoxHxcSudcu7uDNSDq1Nd7T9axHy9YbayANgAN5A.S"

// users reads the users of the file.
func (i *importer) users(n *yaml.Node) {
	for _, e := range i.members(n) {
		keys := i.section(e.value, "password", "labels")
		hash := i.text(keys["password"])
		switch {
		case hasNoValue(e.value):
			i.note(Trap, e.key, "the user %q has no value, not even {}: docker_auth does not know the user, so the import leaves it out", e.name)
			continue
		case e.name == "" && keys["labels"] != nil:
			i.problem(keys["labels"], "anonymous requests have no labels in Tidewaiter: write entries with account: \"\" instead")
		case e.name == "" && keys["password"] != nil:
			i.problem(keys["password"], "anonymous requests have no password: remove it, or write a user name")
		case e.name == "":
			i.out.anonymous = true
			i.note(Kept, e.key, "the rules apply to anonymous requests, too (token.anonymous)")
			continue
		case strings.Contains(e.name, ":"):
			i.note(Left, e.key, "nobody can sign in with the name %q: the text after the colon is the password", e.name)
			continue
		case strings.TrimSpace(e.name) != e.name || !text.OneLine(e.name):
			i.problem(e.key, "nobody can sign in with the name %q: it has a control character, or leading or trailing white space: correct the name, or remove the user", e.name)
		case keys["password"] == nil && i.otherSources:
			i.note(Trap, e.key, "the user %q has no password, so docker_auth accepts any password: the user is imported with a random password, so that users of ldap_auth or ext_auth cannot sign in by that name", e.name)
			hash = randomHash
		case keys["password"] == nil:
			i.note(Trap, e.key, "the user %q has no password, so docker_auth accepts any password: the user is not imported", e.name)
			continue
		case !bcrypt.MatchString(hash) && i.otherSources:
			i.note(Changed, keys["password"], "the user %q has a password that is not a bcrypt hash, so nobody could sign in by that name, not even users of ldap_auth or ext_auth: it is imported with a random password; to let those users in, remove it", e.name)
			hash = randomHash
		case !bcrypt.MatchString(hash):
			i.note(Left, keys["password"], "the user %q has a password that is not a bcrypt hash, so nobody could sign in by that name", e.name)
			continue
		}
		if withoutUserValue.matches(e.name) {
			i.note(Changed, e.key, "the user %q has no ${user} in rules, because the name is not a path segment: it loses what entries with ${account} allow; write an entry for it", e.name)
		}
		i.out.users = append(i.out.users, credential{e.name, hash})
		i.statics[e.name] = map[string][]string{}
		if keys["labels"] != nil {
			i.userLabels(e.name, keys["labels"])
		}
	}
	if len(i.out.users) > 0 {
		i.generalNote(Kept, n, "%s of the file: names and password hashes are kept; passwords longer than 72 bytes are rejected; docker_auth compares only their first 72 bytes", count(len(i.out.users), "user", "users"))
	}
}

// oneLine reports whether a text can be a claim's name or value.
func oneLine(s string) bool {
	return s != "" && strings.TrimSpace(s) == s && text.OneLine(s)
}

// isDistinguishedName reports whether a text is a distinguished name. docker_auth compares
// distinguished names as text. In subjects and groups, Tidewaiter compares distinguished names by
// their meaning, so that other spellings match, too.
func isDistinguishedName(text string) bool {
	name, err := dn.Parse(text)
	return err == nil && name.Len() > 1
}

func (i *importer) userLabels(name string, n *yaml.Node) {
	for _, l := range i.pairs(n) {
		values := i.texts(l.value)
		i.statics[name][l.name] = values
		for k, v := range values {
			lower := strings.ToLower(v)
			switch known := i.labels[l.name]; {
			case !oneLine(v):
				i.problem(resolved(l.value.Content[k]), "a claim must be one line of text, but it is %q: write another value, here and in acl", v)
			case known.groups && isDistinguishedName(v):
				i.problem(resolved(l.value.Content[k]), "the label %s becomes groups, and %q is a distinguished name, which docker_auth compares as text and Tidewaiter compares as a name: write another value, here and in acl", l.name, v)
			case known.lower && lower != v:
				i.problem(resolved(l.value.Content[k]), "ldap_auth converts the label %s to lower case, but this user has %q: write %q here, or give the label of ldap_auth another name", l.name, v, lower)
			}
		}
		if !oneLine(l.name) {
			i.problem(l.key, "a claim's name must be one line of text, but it is %q: write another, here and in acl", l.name)
		}
		if len(values) == 0 {
			continue
		}
		if !i.labels[l.name].groups {
			i.out.claims = append(i.out.claims, listing{name, l.name, values})
			continue
		}
		for _, v := range values {
			at := slices.IndexFunc(i.out.groups, func(g listing) bool { return g.name == v })
			if at < 0 {
				i.out.groups = append(i.out.groups, listing{name: v})
				at = len(i.out.groups) - 1
			}
			i.out.groups[at].values = append(i.out.groups[at].values, name)
		}
	}
}

// directory is an LDAP directory.
type directory struct {
	server                     string
	startTLS, plain            bool
	ca, bindDN, bindFile       string
	dn, base, filter, nameFrom string
	attributes                 []listing // attribute, claim
	memberOf                   bool
}

// ldapLabels records which labels of the directory are groups, and which labels docker_auth
// converts to lower case. It returns the attributes of all other labels, and reports whether one
// of the labels becomes groups.
func (i *importer) ldapLabels(n *yaml.Node) (attributes []listing, memberOf bool) {
	for _, e := range i.pairs(n) {
		if e.name != "labels" {
			continue
		}
		for _, l := range i.members(e.value) {
			keys := i.section(l.value, "attribute", "parse_cn", "lower_case")
			attribute := i.text(keys["attribute"])
			known := labelForm{lower: i.isTrue(keys["lower_case"]), plain: true}
			switch {
			case strings.EqualFold(attribute, "memberOf") && i.isTrue(keys["parse_cn"]) && memberOf:
				i.problem(l.key, "two labels come from memberOf with parse_cn, but Tidewaiter has only one list of groups: keep one of the labels, here and in acl")
			case strings.EqualFold(attribute, "memberOf") && i.isTrue(keys["parse_cn"]):
				known.groups, memberOf = true, true
			case i.isTrue(keys["parse_cn"]):
				i.problem(keys["parse_cn"], "parse_cn is carried over for memberOf alone, as groups: take the label from memberOf, or take parse_cn out and write whole values in acl")
			default:
				attributes = append(attributes, listing{of: attribute, name: l.name})
			}
			i.labels[l.name] = known
		}
	}
	return attributes, memberOf
}

// ofAccount finds the attribute that an LDAP filter compares with the account's name.
var ofAccount = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)=\$\{account\}\)`)

// ldap reads the directory.
func (i *importer) ldap(n *yaml.Node) {
	keys := i.section(n, "addr", "tls", "insecure_tls_skip_verify", "ca_certificate", "base", "filter", "bind_dn", "bind_password_file", "initial_bind_as_user", "labels")
	d := &directory{}
	i.out.directory = d
	d.attributes, d.memberOf = i.ldapLabels(n)
	address := i.text(keys["addr"])
	if before, rest, ok := strings.Cut(address, "://"); ok {
		address = strings.TrimRight(rest, "/")
		i.note(Changed, keys["addr"], "addr is a host and a port, without %s://: docker_auth could not connect; the import uses %s", before, address)
		if before == "ldaps" && i.text(keys["tls"]) == "" && !strings.Contains(address, ":") {
			address += ":636"
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	if host == "" {
		i.problem(n, "addr is missing: write the directory's host and port, such as ldap.example.com:636")
		return
	}
	scheme := "ldap://"
	mode := i.text(keys["tls"])
	if mode == "" && port == "636" { // as in docker_auth
		mode = "always"
	}
	switch mode {
	case "always":
		scheme = "ldaps://"
		if port == "636" {
			port = ""
		}
	case "starttls":
		d.startTLS = true
	default:
		if !endpoint.Local(host) {
			d.plain = true
			i.note(Trap, n, "passwords are sent to the directory unencrypted, as before (plain: true); tls: always or starttls protects them from eavesdroppers")
		}
	}
	if d.server = scheme + host; strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		d.server = scheme + "[" + host + "]"
	}
	if port != "" && !(scheme == "ldap://" && port == "389") {
		d.server += ":" + port
	}
	if i.isTrue(keys["insecure_tls_skip_verify"]) {
		i.note(Changed, keys["insecure_tls_skip_verify"], "the directory's certificate is always verified: configure its CA certificates (ca)")
	}
	d.ca, d.bindDN, d.bindFile = i.text(keys["ca_certificate"]), i.text(keys["bind_dn"]), i.text(keys["bind_password_file"])
	i.noteRelativePath(keys["ca_certificate"], d.ca)
	i.noteRelativePath(keys["bind_password_file"], d.bindFile)
	d.base, d.filter = i.text(keys["base"]), i.text(keys["filter"])
	found := ofAccount.FindAllStringSubmatch(d.filter, -1)
	if i.isTrue(keys["initial_bind_as_user"]) {
		if !strings.Contains(d.bindDN, "=${account}") {
			i.problem(keys["initial_bind_as_user"], "Tidewaiter can bind as the user only with a DN such as uid=${account},ou=people,…: give a service account instead (bind_dn, bind_password_file)")
			return
		}
		d.dn, d.base, d.filter, d.bindDN, d.bindFile = strings.ReplaceAll(d.bindDN, "${account}", "{name}"), "", "", "", ""
		d.nameFrom, _, _ = strings.Cut(d.dn, "=")
	} else {
		if len(found) == 0 {
			i.problem(n, "filter does not compare an attribute with the name: write (uid=${account}) in it")
			return
		}
		d.filter, d.nameFrom = strings.ReplaceAll(d.filter, "${account}", "{name}"), found[0][1]
		// An empty base means the whole directory in Tidewaiter. docker_auth searches the whole
		// directory only at a global catalog.
		if d.base == "" && port != "3268" && port != "3269" {
			i.problem(n, "base is missing, and docker_auth searches from the root, where most directories find nothing: write base with the DN that contains the users")
			return
		}
	}
	i.generalNote(Trap, n, "a directory finds alice if the user types ALICE, but docker_auth continues with ALICE, which no entry of the list matches: Tidewaiter uses the directory's %s as the name", d.nameFrom)
	i.generalNote(Kept, n, "the directory became the source ldap:directory; labels became claims, and those of memberOf with parse_cn became groups")
}
