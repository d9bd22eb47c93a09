package dockerauth

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/policy/when"
)

// importer gathers what is to be written.
type importer struct {
	Options
	reader
	compiler *when.Compiler
	labels   map[string]labelled
	statics  map[string]map[string][]string // labels of the users of the file, by name
	sources  []string                       // of accounts, outside of the file
	closed   bool                           // no request gets past the list
	further  bool                           // whoever is not among the users is asked about elsewhere
	out      output
}

// output is the configuration that is written.
type output struct {
	address, path            string
	certificate, key         string // of the listener; "": plain HTTP
	rootCertificate, rootKey string
	algorithm                string
	shared                   bool
	issuer                   string
	lifetime                 int // seconds; 0: the default
	anonymous                bool
	services                 []string
	users                    []credential
	groups, claims           []listing
	directory                *directory
	source, decider          []string // programs
	deciderBeside            bool     // the list is there as well
	rules                    []outRule
}

// credential is a user with the hash of a password.
type credential struct{ name, hash string }

// listing is a group with its members, or a claim of a user with its values.
type listing struct {
	of, name string // of whom, for a claim
	values   []string
}

// sections are the keys at the top.
var sections = []string{
	"server", "token", "users", "ext_auth", "google_auth", "github_auth", "oidc_auth", "gitlab_auth", "ldap_auth", "mongo_auth",
	"xorm_auth", "plugin_authn", "acl", "acl_mongo", "acl_xorm", "ext_authz", "plugin_authz", "casbin_authz",
}

func (i *importer) all(root *yaml.Node) {
	top := i.section(root, sections...)
	at := func(name string) (*yaml.Node, bool) { n, ok := top[name]; return n, ok && !empty(n) }
	server := map[string]*yaml.Node{}
	if n, ok := at("server"); ok {
		server = i.server(n)
	} else {
		i.out.address = "127.0.0.1:5001"
	}
	i.token(top["token"], server)
	for _, name := range []string{"ext_auth", "google_auth", "github_auth", "oidc_auth", "gitlab_auth", "ldap_auth", "mongo_auth", "xorm_auth", "plugin_authn"} {
		if _, ok := at(name); ok {
			i.sources = append(i.sources, name)
			i.further = i.further || name == "ldap_auth" || name == "ext_auth"
		}
	}
	if _, ok := at("users"); !ok && len(i.sources) == 0 {
		i.sources = []string{"a source that is not in this file"}
	}
	if n, ok := at("users"); ok {
		i.ldapLabels(top["ldap_auth"]) // which labels are groups
		i.users(n)
	}
	if n, ok := at("ldap_auth"); ok {
		i.ldap(n)
	}
	if n, ok := at("ext_auth"); ok {
		i.out.source = i.program(n)
		i.general(Kept, n, "the program is asked as the source external:ext-auth, with the same protocol: for 5 s at most, 16 at once, in the folder /")
		i.environment(n, "the source ext-auth")
	}
	i.instead(top)
	if n, ok := at("acl"); ok {
		i.list(n)
	}
	if n, ok := at("ext_authz"); ok {
		i.authz(n, top["acl"])
	}
	i.registries(top["acl"])
	i.proxies(server)
}

// instead says what to use in place of what is not carried over.
func (i *importer) instead(top map[string]*yaml.Node) {
	browser := "the sign-in by browser is not carried over: let the people of it be in a directory (ldap) or in Tidewaiter's accounts, and CI jobs show its ID tokens (oidc; docs/ci)"
	type toldOf struct {
		node *yaml.Node
		keys []string
		text string
	}
	var told []toldOf
	defer func() { // what is so of several is said once
		for _, t := range told {
			i.note(Left, t.node, "%s: %s", strings.Join(t.keys, ", "), t.text)
		}
	}()
	for _, s := range []struct{ key, text string }{
		{"google_auth", browser}, {"github_auth", browser}, {"gitlab_auth", browser}, {"oidc_auth", browser},
		{"mongo_auth", "people in MongoDB are not carried over: `tidewaiter import htpasswd` takes names with bcrypt hashes into Tidewaiter's accounts, and a service of your own (external) can ask the database"},
		{"xorm_auth", "people in a database are not carried over: `tidewaiter import htpasswd` takes names with bcrypt hashes into Tidewaiter's accounts, and a service of your own (external) can ask the database"},
		{"plugin_authn", "Go plugins are not carried over: a service or a program of your own (external) says who somebody is"},
		{"acl_mongo", "the list in MongoDB is not carried over: export its entries into `acl`, and import again; until then, what only they allow is refused"},
		{"acl_xorm", "the list in a database is not carried over: export its entries into `acl`, and import again; until then, what only they allow is refused"},
		{"plugin_authz", "Go plugins are not carried over: a service or a program of your own (decider) says what they may do"},
		{"casbin_authz", "casbin is not carried over: write its policy as rules (docs/policy.md); until then, what only it allows is refused"},
	} {
		n, ok := top[s.key]
		if !ok || empty(n) {
			continue
		}
		if at := slices.IndexFunc(told, func(t toldOf) bool { return t.text == s.text }); at >= 0 {
			told[at].keys = append(told[at].keys, s.key)
		} else {
			told = append(told, toldOf{n, []string{s.key}, s.text})
		}
		if s.key != "oidc_auth" {
			continue
		}
		for _, e := range i.pairs(n) {
			if e.name == "label_claims" {
				i.note(Trap, e.key, "label_claims is what docker_auth's documentation says, and labels_claims what it reads: these labels were never there")
			}
		}
	}
}

// program reads a command with arguments.
func (i *importer) program(n *yaml.Node) []string {
	keys := i.section(n, "command", "args")
	name := i.text(keys["command"])
	if name == "" {
		i.problem(n, "command is missing: write the program's path")
		return nil
	}
	if !strings.HasPrefix(name, "/") {
		path, err := i.Look(name)
		if err != nil || !strings.HasPrefix(path, "/") {
			i.problem(keys["command"], "Tidewaiter starts programs by their absolute path, and %q is not found here: write its path", name)
			return nil
		}
		i.note(Changed, keys["command"], "the program %s is named by its absolute path, %s", name, path)
		name = path
	}
	return append([]string{name}, i.texts(keys["args"])...)
}

// environment tells of what a program had from docker_auth without a word.
func (i *importer) environment(n *yaml.Node, what string) {
	i.note(Todo, n, "docker_auth gave the program its whole environment, and Tidewaiter gives it PATH and LANG: if it reads other variables, name them in `environment: [NAME]` of %s, and set them for Tidewaiter", what)
}

// authz looks what ext_authz can be. docker_auth asks it about what the list leaves open;
// Tidewaiter's decider is asked about all that is granted, or about all that no rule denies.
func (i *importer) authz(n, acl *yaml.Node) {
	program := i.program(n)
	switch {
	case program == nil:
	case acl == nil || empty(acl) || len(acl.Content) == 0:
		i.out.decider = program
		i.general(Kept, n, "the program is asked as the decider external:ext-authz, with the same protocol, once for each scope")
		i.environment(n, "decider")
	case i.closed:
		i.note(Left, n, "ext_authz: it was never asked, since an entry of acl matches everybody")
	default:
		i.out.decider, i.out.deciderBeside = program, true
		i.note(Todo, n, "ext_authz: docker_auth asks it about what no entry of acl matches, and Tidewaiter's decider is asked about everything: it is written as a comment; if the program knows what the list allows as well, take away the marks, and until then what only it allows is refused")
	}
}

// registries says which registries there are. docker_auth makes tokens for any.
func (i *importer) registries(acl *yaml.Node) {
	services := append([]string(nil), i.Services...)
	add := func(names ...string) {
		for _, name := range names {
			known := false
			for _, s := range services {
				known = known || s == name
			}
			if !known {
				services = append(services, name)
			}
		}
	}
	for _, r := range i.out.rules {
		add(r.Registries...)
	}
	if len(services) == 0 {
		services = []string{"registry.example.com"}
		i.note(Todo, nil, "docker_auth makes tokens for every service that is asked for, and Tidewaiter for those that it knows: replace registry.example.com by what your registry's config says as auth.token.service, or import with --service")
	} else if len(i.Services) == 0 {
		i.note(Todo, acl, "docker_auth makes tokens for every service that is asked for, and Tidewaiter for those that it knows: written are those that acl names; add others under registries, or import with --service")
	} else {
		i.general(Changed, nil, "tokens are made for %s alone; docker_auth makes them for every service that is asked for", strings.Join(services, ", "))
	}
	i.out.services = services
}

// proxies refuses to guess from whom the header is believed: addresses open doors in the list.
func (i *importer) proxies(server map[string]*yaml.Node) {
	header := server["real_ip_header"]
	if header == nil || empty(header) {
		return
	}
	name := i.text(header)
	if len(i.TrustedProxies) == 0 {
		for _, r := range i.out.rules {
			if strings.Contains(r.When, "request.ip") {
				i.problem(header, "docker_auth believes %s from anybody; Tidewaiter believes X-Forwarded-For from the proxies that it knows. acl has entries with ip, so say which they are: --trusted-proxy 10.0.0.0/8", name)
				return
			}
		}
		i.note(Todo, header, "docker_auth believes %s from anybody; Tidewaiter believes X-Forwarded-For from the proxies that it knows: set trusted_proxies, or import with --trusted-proxy", name)
		return
	}
	i.note(Changed, header, "docker_auth believes %s from anybody; here X-Forwarded-For is believed from %s alone", name, strings.Join(i.TrustedProxies, ", "))
	if !strings.EqualFold(name, "X-Forwarded-For") {
		i.note(Todo, header, "let the proxy send X-Forwarded-For: Tidewaiter does not read %s", name)
	}
}
