package dockerauth

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// bcrypt is what docker_auth compares passwords with.
var bcrypt = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// nobody is the bcrypt hash of 32 random bytes that were thrown away.
const nobody = "$2a$10$pgqMOhtEJ7vPoxHxcSudcu7uDNSDq1Nd7T9axHy9YbayANgAN5A.S"

// users reads the users of the file.
func (i *importer) users(n *yaml.Node) {
	for _, e := range i.members(n) {
		keys := map[string]*yaml.Node{}
		if !empty(e.value) {
			keys = i.section(e.value, "password", "labels")
		}
		hash := i.text(keys["password"])
		switch {
		case empty(e.value):
			i.note(Trap, e.key, "the user %q has no value, not even {}: docker_auth does not know it, and so it is not carried over", e.name)
			continue
		case e.name == "" && keys["labels"] != nil && !empty(keys["labels"]):
			i.problem(keys["labels"], "who has not signed in has no labels in Tidewaiter: write entries with account: \"\" in their place")
		case e.name == "" && !empty(keys["password"]):
			i.problem(keys["password"], "who has not signed in has no password: take it out")
		case e.name == "":
			i.out.anonymous = true
			i.note(Kept, e.key, "who shows no name is judged by the rules (token.anonymous)")
			continue
		case strings.Contains(e.name, ":"):
			i.note(Left, e.key, "nobody can sign in with the name %q: what stands behind a colon is the password", e.name)
			continue
		case strings.TrimSpace(e.name) != e.name || !text.OneLine(e.name):
			i.problem(e.key, "nobody can sign in with the name %q: it has a control character, or white space at its ends; take the user out", e.name)
		case empty(keys["password"]) && i.further:
			i.note(Trap, e.key, "the user %q has no password, so that docker_auth takes any: it is carried over with one that nobody knows, which keeps out whom ldap_auth or ext_auth knows by that name", e.name)
			hash = nobody
		case empty(keys["password"]):
			i.note(Trap, e.key, "the user %q has no password, so that docker_auth takes any: it is not carried over", e.name)
			continue
		case !bcrypt.MatchString(hash) && i.further:
			i.note(Changed, keys["password"], "the user %q has a password that is no bcrypt hash, and so could never sign in, nor could whoever ldap_auth or ext_auth knows by that name: it is carried over with one that nobody knows; to let them in, remove it", e.name)
			hash = nobody
		case !bcrypt.MatchString(hash):
			i.note(Left, keys["password"], "the user %q has a password that is no bcrypt hash, and so could never sign in", e.name)
			continue
		}
		if odd.matches(e.name) {
			i.note(Changed, e.key, "the user %q has no ${user} in rules, since it is no part of a path: what entries with ${account} allowed there is lost; write an entry for it", e.name)
		}
		i.out.users = append(i.out.users, credential{e.name, hash})
		i.statics[e.name] = map[string][]string{}
		if keys["labels"] != nil {
			i.userLabels(e.name, keys["labels"])
		}
	}
	if len(i.out.users) > 0 {
		i.general(Kept, n, "%s of the file: names and the hashes of passwords stay; passwords longer than 72 bytes, which docker_auth compares by their first 72, are refused", count(len(i.out.users), "user", "users"))
	}
}

// oneLine reports whether a text can be a claim's name or value.
func oneLine(s string) bool {
	return s != "" && strings.TrimSpace(s) == s && text.OneLine(s)
}

// directoryName reports whether a text is a distinguished name, which docker_auth compares as text, and Tidewaiter, in subjects and
// among groups, in whatever spelling.
func directoryName(text string) bool {
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
				i.problem(resolved(l.value.Content[k]), "a claim is text on one line, and %q is none: write another value in its place, here and in acl", v)
			case known.groups && directoryName(v):
				i.problem(resolved(l.value.Content[k]), "the label %s becomes groups, and %q is a distinguished name: it is text to docker_auth, and has one spelling here: write another value in its place, here and in acl", l.name, v)
			case known.lower && lower != v:
				i.problem(resolved(l.value.Content[k]), "ldap_auth takes the label %s in lower case, and this user has %q: write %q here, or give the label of ldap_auth another name", l.name, v, lower)
			}
		}
		if !oneLine(l.name) {
			i.problem(l.key, "a claim's name is text on one line, and %q is none: write another, here and in acl", l.name)
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

// ldapLabels says which labels of the directory are groups, and which are taken in lower case.
func (i *importer) ldapLabels(n *yaml.Node) (attributes []listing, memberOf bool) {
	if n == nil || empty(n) {
		return nil, false
	}
	for _, e := range i.pairs(n) {
		if e.name != "labels" || empty(e.value) {
			continue
		}
		for _, l := range i.members(e.value) {
			keys := i.section(l.value, "attribute", "parse_cn", "lower_case")
			attribute := i.text(keys["attribute"])
			known := labelled{lower: i.yes(keys["lower_case"]), plain: true}
			switch {
			case strings.EqualFold(attribute, "memberOf") && i.yes(keys["parse_cn"]) && memberOf:
				i.problem(l.key, "two labels are taken from memberOf with parse_cn, and groups have one name: keep one of them, here and in acl")
			case strings.EqualFold(attribute, "memberOf") && i.yes(keys["parse_cn"]):
				known.groups, memberOf = true, true
			case i.yes(keys["parse_cn"]):
				i.problem(keys["parse_cn"], "parse_cn is carried over for memberOf alone, as groups: take the label from memberOf, or take parse_cn out and write whole values in acl")
			default:
				attributes = append(attributes, listing{of: attribute, name: l.name})
			}
			i.labels[l.name] = known
		}
	}
	return attributes, memberOf
}

// ofAccount finds the attribute that a filter compares with the name.
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
		i.note(Changed, keys["addr"], "addr is a host and a port, and %s:// is none of it: docker_auth could not connect; it is taken for %s", before, address)
		if before == "ldaps" && i.text(keys["tls"]) == "" && !strings.Contains(address, ":") {
			address += ":636"
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	if host == "" {
		i.problem(n, "addr is missing: write the directory's host and port, as ldap.example.com:636")
		return
	}
	scheme := "ldap://"
	mode := i.text(keys["tls"])
	if mode == "" && port == "636" { // as docker_auth has it
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
		if a := net.ParseIP(host); host != "localhost" && (a == nil || !a.IsLoopback()) {
			d.plain = true
			i.note(Trap, n, "passwords travel to the directory unencrypted, as they did (plain: true); tls: always or starttls would keep them from whoever is between")
		}
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	d.server = scheme + host
	if port != "" && !(scheme == "ldap://" && port == "389") {
		d.server += ":" + port
	}
	if i.yes(keys["insecure_tls_skip_verify"]) {
		i.note(Changed, keys["insecure_tls_skip_verify"], "the directory's certificate is always verified: name the certificates that it is under (ca)")
	}
	d.ca, d.bindDN, d.bindFile = i.text(keys["ca_certificate"]), i.text(keys["bind_dn"]), i.text(keys["bind_password_file"])
	i.absolute(keys["ca_certificate"], d.ca)
	i.absolute(keys["bind_password_file"], d.bindFile)
	d.base, d.filter = i.text(keys["base"]), i.text(keys["filter"])
	found := ofAccount.FindAllStringSubmatch(d.filter, -1)
	if i.yes(keys["initial_bind_as_user"]) {
		if !strings.Contains(d.bindDN, "=${account}") {
			i.problem(keys["initial_bind_as_user"], "Tidewaiter binds as the person with a DN, as uid=${account},ou=people,…: give a service account (bind_dn, bind_password_file) in place of it")
			return
		}
		d.dn, d.base, d.filter, d.bindDN, d.bindFile = strings.ReplaceAll(d.bindDN, "${account}", "{name}"), "", "", "", ""
		d.nameFrom, _, _ = strings.Cut(d.dn, "=")
	} else {
		if len(found) == 0 {
			i.problem(n, "filter compares no attribute with the name: (uid=${account}) is wanted in it")
			return
		}
		d.filter, d.nameFrom = strings.ReplaceAll(d.filter, "${account}", "{name}"), found[0][1]
		// An empty base is the whole directory here. It is what docker_auth searches at a global catalog alone.
		if d.base == "" && port != "3268" && port != "3269" {
			i.problem(n, "base is missing, and docker_auth searches from the root, where most directories find nothing: write the DN below which people are")
			return
		}
	}
	i.general(Trap, n, "a directory finds alice when it is asked for ALICE, and docker_auth goes on with ALICE, whom no entry of the list knows: here the name is what the directory has as %s", d.nameFrom)
	i.general(Kept, n, "people of the directory are from the source ldap:directory; their labels are claims, and those of memberOf with parse_cn groups")
}
