package dockerauth

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/policy/when"
)

// importer collects the settings that will be written.
type importer struct {
	Options
	reader
	compiler *when.Compiler
	labels   map[string]labelForm
	statics  map[string]map[string][]string // labels of the users in the file, by name
	sources  []string                       // sources of accounts outside the file
	closed   bool                           // every request matches an entry of the list
	// otherSources is true if docker_auth has other sources, in which it looks up accounts that are
	// not in the file.
	otherSources bool
	out          output
}

// output is the configuration to write.
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
	source, authorizer       []string // programs
	authorizerBeside         bool     // there is an acl list in addition to the authorizer
	rules                    []outRule
}

// credential is a user with a password hash.
type credential struct{ name, hash string }

// listing is a group with its members, or a claim of a user with its values.
type listing struct {
	of, name string // of: the user who has the claim
	values   []string
}

// sections are the top-level keys.
var sections = []string{
	"server", "token", "users", "ext_auth", "google_auth", "github_auth", "oidc_auth", "gitlab_auth", "ldap_auth", "mongo_auth",
	"xorm_auth", "plugin_authn", "acl", "acl_mongo", "acl_xorm", "ext_authz", "plugin_authz", "casbin_authz",
}

func (i *importer) all(root *yaml.Node) {
	top := i.section(root, sections...)
	server := map[string]*yaml.Node{}
	i.out.address = defaultAddress
	if n := top["server"]; n != nil {
		server = i.server(n)
	}
	i.token(top["token"], server)
	for _, name := range []string{"ext_auth", "google_auth", "github_auth", "oidc_auth", "gitlab_auth", "ldap_auth", "mongo_auth", "xorm_auth", "plugin_authn"} {
		if top[name] != nil {
			i.sources = append(i.sources, name)
			i.otherSources = i.otherSources || name == "ldap_auth" || name == "ext_auth"
		}
	}
	if n := top["users"]; n != nil {
		i.ldapLabels(top["ldap_auth"]) // finds the labels that are groups
		i.users(n)
	} else if len(i.sources) == 0 {
		i.sources = []string{"a source that is not in this file"}
	}
	if n := top["ldap_auth"]; n != nil {
		i.ldap(n)
	}
	if n := top["ext_auth"]; n != nil {
		i.out.source = i.program(n)
		i.generalNote(Kept, n, "the program became the source exec:ext-auth, with the same protocol: at most 5 s, 16 at once, in the folder /")
		i.noteEnvironment(n, "the source ext-auth")
	}
	i.leftOut(top)
	if n := top["acl"]; n != nil {
		i.list(n)
	}
	if n := top["ext_authz"]; n != nil {
		i.authz(n, top["acl"])
	}
	i.setRegistries(top["acl"])
	i.checkProxies(server["real_ip_header"])
}

// leftOut reports what to use in place of sections that are not imported.
func (i *importer) leftOut(top map[string]*yaml.Node) {
	for _, s := range []struct {
		keys []string
		text string
	}{
		{[]string{"google_auth", "github_auth", "gitlab_auth", "oidc_auth"}, "the sign-in by browser is not imported: move its users to a directory (ldap) or to Tidewaiter's accounts, and let CI jobs present ID tokens of the provider (oidc; docs/ci)"},
		{[]string{"mongo_auth"}, "users in MongoDB are not imported: `tidewaiter import htpasswd` imports names with bcrypt hashes into Tidewaiter's accounts, or write a service that queries the database (webhook)"},
		{[]string{"xorm_auth"}, "users in a database are not imported: `tidewaiter import htpasswd` imports names with bcrypt hashes into Tidewaiter's accounts, or write a service that queries the database (webhook)"},
		{[]string{"plugin_authn"}, "Go plugins are not imported: write a service or a program that authenticates users (webhook or exec)"},
		{[]string{"acl_mongo"}, "the list in MongoDB is not imported: export its entries into `acl` and import again; until then, requests that only they allow are refused"},
		{[]string{"acl_xorm"}, "the list in a database is not imported: export its entries into `acl` and import again; until then, requests that only they allow are refused"},
		{[]string{"plugin_authz"}, "Go plugins are not imported: write a service or a program that authorizes requests (authorizer)"},
		{[]string{"casbin_authz"}, "casbin is not imported: write its policy as rules (docs/policy.md); until then, requests that only it allows are refused"},
	} {
		keys := slices.DeleteFunc(s.keys, func(key string) bool { return top[key] == nil })
		if len(keys) > 0 {
			i.note(Left, top[keys[0]], "%s: %s", strings.Join(keys, ", "), s.text)
		}
	}
	for _, e := range i.pairs(top["oidc_auth"]) {
		if e.name == "label_claims" {
			i.note(Trap, e.key, "docker_auth's documentation says label_claims, but the program reads labels_claims: users never got these labels")
		}
	}
}

// program returns a command with its arguments.
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
		i.note(Changed, keys["command"], "the program %s is written with its absolute path, %s", name, path)
		name = path
	}
	return append([]string{name}, i.texts(keys["args"])...)
}

// noteEnvironment adds a note about environment variables, because docker_auth passed all its
// variables to a program.
func (i *importer) noteEnvironment(n *yaml.Node, what string) {
	i.note(Todo, n, "docker_auth gave the program its whole environment; Tidewaiter gives it PATH and LANG: if it reads other variables, list them in `environment: [NAME]` of %s, and set them for Tidewaiter", what)
}

// authz translates ext_authz. docker_auth calls ext_authz for requests that no entry of the
// list matches. Depending on its setting grants, Tidewaiter calls its authorizer for every
// request that is granted, or for every request that no rule denies.
func (i *importer) authz(n, acl *yaml.Node) {
	program := i.program(n)
	switch {
	case program == nil:
	case acl == nil || len(acl.Content) == 0:
		i.out.authorizer = program
		i.generalNote(Kept, n, "the program became the authorizer exec:ext-authz, with the same protocol, called once for each scope")
		i.noteEnvironment(n, "authorizer.exec")
	case i.closed:
		i.note(Left, n, "ext_authz: it was never called, because an entry of acl matches everybody")
	default:
		i.out.authorizer, i.out.authorizerBeside = program, true
		i.note(Todo, n, "ext_authz: docker_auth calls it for requests that no entry of acl matches; Tidewaiter calls its authorizer for every request. So the authorizer is written as a comment. If the program also allows what the list allows, uncomment the authorizer; until then, requests that only the program allows are refused")
	}
}

// setRegistries determines the registries to configure. docker_auth has no list of registries,
// because it issues tokens for any service.
func (i *importer) setRegistries(acl *yaml.Node) {
	services := i.Services
	for _, r := range i.out.rules {
		services = slices.Concat(services, r.Registries)
	}
	services = removeRepeated(services)
	if len(services) == 0 {
		services = []string{"registry.example.com"}
		i.note(Todo, nil, "docker_auth issues tokens for any service, Tidewaiter only for configured ones: replace registry.example.com by auth.token.service of your registry's config, or import with --service")
	} else if len(i.Services) == 0 {
		i.note(Todo, acl, "docker_auth issues tokens for any service, Tidewaiter only for configured ones: the services in acl are written as registries; add others under registries, or import with --service")
	} else {
		i.generalNote(Changed, nil, "tokens are issued for %s only; docker_auth issues them for any service", strings.Join(services, ", "))
	}
	i.out.services = services
}

// checkProxies reports an error if entries of the list compare addresses and no trusted proxy is
// given. With a wrong guess, clients could forge the addresses that the entries allow.
func (i *importer) checkProxies(header *yaml.Node) {
	if header == nil {
		return
	}
	name := i.text(header)
	if len(i.TrustedProxies) == 0 {
		if slices.ContainsFunc(i.out.rules, func(r outRule) bool { return strings.Contains(r.When, "request.ip") }) {
			i.problem(header, "docker_auth accepts %s from any client; Tidewaiter accepts X-Forwarded-For only from trusted proxies. acl has entries with ip, so give the proxies' networks: --trusted-proxy 10.0.0.0/8", name)
			return
		}
		i.note(Todo, header, "docker_auth accepts %s from any client; Tidewaiter accepts X-Forwarded-For only from trusted proxies: set trusted_proxies, or import with --trusted-proxy", name)
		return
	}
	i.note(Changed, header, "docker_auth accepts %s from any client; Tidewaiter accepts X-Forwarded-For only from %s", name, strings.Join(i.TrustedProxies, ", "))
	if !strings.EqualFold(name, "X-Forwarded-For") {
		i.note(Todo, header, "configure the proxy to send X-Forwarded-For: Tidewaiter does not read %s", name)
	}
}
