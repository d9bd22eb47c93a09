package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/token"
)

// The tables in this file, and in the files of the identity sources, define all keys: their names,
// types, defaults and descriptions. docs/configuration.md and the manual page are generated from
// them.

// Limits of settings.
const (
	minToken = ruleset.MinLifetime
	maxToken = ruleset.MaxLifetime
	minLeaf  = time.Hour // the validity of a leaf begins an hour before its issue
	maxLeaf  = 90 * 24 * time.Hour

	// leafMargin is added to twice the longest token lifetime. A leaf is renewed at half of its
	// lifetime. It must expire at least a minute after its newest token, because registries allow
	// a minute of leeway. There must also be time to retry a failed renewal.
	leafMargin = time.Hour

	defaultLifetime = 5 * time.Minute
	// defaultPush is the default push_lifetime: enough time to upload about 10 GB at 100 Mbit/s.
	defaultPush = 15 * time.Minute
	// defaultZotPush is the default for zot, whose clients cannot renew a token during a push.
	defaultZotPush = time.Hour

	maxHint = 200 // bytes; so that a refusal is one line on a terminal
)

func databaseKey() *strictyaml.Key[writtenConfig] {
	return strictyaml.On("database", databaseURL(), func(w *writtenConfig, v string) { w.Database = v }).
		Or("sqlite:data/state.db").Formerly("state").
		Says("Where the journal, accounts and rules are stored. `sqlite:PATH` is a file on a local disk. If the file or its folder is missing, it is created. `sqlite::memory:` stores nothing. `postgres://USER@HOST/DATABASE` serves several replicas; the password is in a separate file (`password_file`). See [Database](database.md).").
		Shows("database: sqlite:/var/lib/tidewaiter/state.db\n")
}

func configKeys(c *when.Compiler) []*strictyaml.Key[writtenConfig] {
	return []*strictyaml.Key[writtenConfig]{
		strictyaml.On("public_url", webAddress(), func(w *writtenConfig, v string) { w.PublicURL = v }).
			Says("The URL at which clients reach Tidewaiter. Registries refer clients to this URL. `realm` in the registry's config is this URL with the token path. Use a DNS name: many clients refuse a private IP address.").
			Shows("public_url: https://auth.example.com\n"),
		strictyaml.On("listen", strictyaml.List(strictyaml.Section(listenKeys(), checkListener)), func(w *writtenConfig, v []Listener) { w.Listen = v }).
			Or(`[{address: "127.0.0.1:8080"}]`).
			Says("The addresses to listen on. The default is reachable from this machine only.").
			Shows(`listen:
  - address: ":8443"
    tls: { certificate: /tls/cert.pem, key: /tls/key.pem }
    serve: [token, keys, health]
  - address: "127.0.0.1:8080" # for programs on this machine
    serve: [notifications, health, metrics]
`),
		strictyaml.On("paths", strictyaml.Section(pathKeys(), checkPaths), func(w *writtenConfig, v paths) { w.Paths = v }).
			Or("{}").
			Says("The paths of endpoints. Endpoints that are not listed here have fixed paths.").
			Shows("paths: { token: /auth/token, notifications: /auth/events }\n"),
		databaseKey(),
		strictyaml.On("audit", oneOf(BestEffort, Strict), func(w *writtenConfig, v string) { w.Audit = v }).
			Or("best-effort").
			Says("How a token request is answered if its decision cannot be written to the journal. `best-effort`: the request is answered, and the lost decision is counted and logged. `strict`: a token request is answered only after its decision is on disk.").
			Shows("audit: strict\n"),
		strictyaml.On("journal", strictyaml.Section(journalKeys()), func(w *writtenConfig, v Journal) { w.Journal = v }).
			Or("{}").
			Says("How long entries stay in the journal, and which data about clients they contain. See [Events and the journal](events.md).").
			Shows("journal:\n  keep: { decisions: { age: 30d, size: 500MB } }\n  addresses: shortened\n"),
		strictyaml.On("signing", strictyaml.Section(signingKeys()), func(w *writtenConfig, v Signing) { w.Signing = v }).
			Or("{}").
			Says("The keys that sign tokens.").
			Shows(`signing:
  root: { certificate: /keys/cert.pem, key: /keys/privatekey.pem }
  leaf_lifetime: 24h
`),
		strictyaml.On("token", strictyaml.Section(tokenKeys()), func(w *writtenConfig, v Token) { w.Token = v }).
			Or("{}").
			Says("The properties of tokens.").
			Shows("token: { issuer: tidewaiter, lifetime: 5m }\n"),
		strictyaml.On("registries", strictyaml.List(strictyaml.Section(registryKeys())), func(w *writtenConfig, v []Registry) { w.Registries = v }).
			Must().
			Says("The registries that trust this Tidewaiter. Tokens are issued only for these registries.").
			Shows(`registries:
  - service: registry.example.com
    url: https://registry.example.com
    notifications: { secret_file: /run/secrets/notifications }
  - service: old.example.com
    key_id: libtrust # a registry 2.8 whose config stays as it is
`),
		strictyaml.On("notifications", strictyaml.Section(notificationsKeys()), func(w *writtenConfig, v notifications) { w.Notifications = v }).
			Or("{}").
			Says("The receiver of registry events.").
			Shows("notifications: { open: true } # for a demonstration\n"),
		strictyaml.On("identity", strictyaml.List(strictyaml.Section(sourceKeys(), checkSource)), func(w *writtenConfig, v []Source) { w.Identity = v }).
			Says("The identity sources of users and programs. Tidewaiter asks them in this order. Without an identity source, nobody can sign in, and only anonymous requests are answered.").
			Shows(`identity:
  - htpasswd:
      file: users.htpasswd
      groups:
        developers: [ann, bob]
`),
		strictyaml.On("policy", policyfile.Sections(c), func(w *writtenConfig, v policyfile.Section) { w.policy = v }).
			Says("The rules: who may do what. A matching deny wins over a matching allow. If no rule allows a request, it is refused. The order of rules does not matter.").
			Shows(`policy:
  roles:
    reader: [pull]
    writer: [pull, push]
  rules:
    - { name: public images, subjects: [anyone], repositories: ["library/**"], role: reader }
    - { name: own images, subjects: [signed-in], repositories: ["${user}/**"], role: writer, actions: [delete] }
    - { name: catalog, subjects: ["group:operators"], catalog: true }
    - { name: freeze, effect: deny, repositories: ["prod/**"], actions: [push, delete],
        when: 'now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]' }
`),
		strictyaml.On("authorizer", authorizer(), func(w *writtenConfig, v *Hook) { w.Authorizer = v }).Formerly("decider").
			Says("Your own service or program that Tidewaiter asks about each request, after the policy has decided. If it does not answer, nothing is granted and the client gets 503. The page [Webhook and exec](webhook.md) shows how.").
			Shows("authorizer:\n  webhook: { name: shop, url: https://shop.example.com/registry/decide, grants: narrow }\n"),
		webhooksKey(),
		strictyaml.On("limits", strictyaml.Section(limitsKeys()), func(w *writtenConfig, v Limits) { w.Limits = v }).
			Or("{}").
			Says("Limits for failed sign-ins and for connections. See [rate limiting](rate-limiting.md).").
			Shows("limits: { max_failures_per_pair: 10, max_delay: 5m }\n"),
		strictyaml.On("trusted_proxies", strictyaml.List(prefix()), func(w *writtenConfig, v []netip.Prefix) { w.TrustedProxies = v }).
			Says("Networks and addresses of proxies whose `X-Forwarded-For` is trusted. By default the header is not trusted, because clients can forge it. A listed proxy must set `X-Forwarded-For`. If it sends only another header (`Forwarded`, `X-Real-IP`), or an invalid address, the client's address is unknown. For such requests, conditions on `request.ip` fail, events need a secret, and rate limits apply to the proxy's address. Ports after addresses in the header (`192.0.2.7:1234`, `[2001:db8::7]:443`) are ignored.").
			Shows("trusted_proxies: [10.1.0.0/16, \"fd00::7\"]\n"),
		strictyaml.On("log", strictyaml.Section(logKeys()), func(w *writtenConfig, v logging) { w.Log = v }).
			Or("{}").
			Says("The level and the format of the log.").
			Shows("log: { level: info, format: json }\n"),
	}
}

func listenKeys() []*strictyaml.Key[Listener] {
	return []*strictyaml.Key[Listener]{
		strictyaml.On("address", address(), func(l *Listener, v string) { l.Address = v }).Must().
			Says("A host name or an IP address, and a port. Without a host, Tidewaiter listens on all addresses of the machine."),
		strictyaml.On("tls", pointer(strictyaml.Section(tlsKeys(), checkTLS)), func(l *Listener, v *TLS) { l.TLS = v }).
			Says("The certificate. Without `tls`, the listener serves plain HTTP. Use plain HTTP only for this machine or behind a proxy with TLS, because clients send passwords to this address."),
		strictyaml.On("serve", strictyaml.List(oneOf(ServeToken, ServeNotifications, ServeKeys, ServeHealth, ServeAPI, ServeMetrics)), func(l *Listener, v []string) { l.Serve = v }).
			Or("[token, notifications, keys, health, api]").
			Says("The endpoints at this address. `token`: the token endpoint. `notifications`: the receiver of events. `keys`: the public keys, as JWKS. `health`: `/healthz` and `/readyz`. `api`: the [admin API](api.md), for users with the rights. `metrics`: `/metrics`. The metrics contain the names of registries, so serve them only to your monitoring."),
	}
}

func tlsKeys() []*strictyaml.Key[TLS] {
	return []*strictyaml.Key[TLS]{
		strictyaml.On("certificate", strictyaml.FilePath("file"), func(t *TLS, v string) { t.Certificate = v }).
			Says("A PEM file with the certificate and its intermediate certificates. The file is read again when it changes."),
		strictyaml.On("key", strictyaml.FilePath("file"), func(t *TLS, v string) { t.Key = v }).
			Says("A PEM file with the certificate's private key."),
		strictyaml.On("self_signed", strictyaml.True, func(t *TLS, v bool) { t.SelfSigned = v }).
			Says("Generate a certificate at each start, instead of reading one from a file. For testing only: clients do not trust this certificate."),
	}
}

func pathKeys() []*strictyaml.Key[paths] {
	return []*strictyaml.Key[paths]{
		strictyaml.On("token", webPath(), func(p *paths, v string) { p.Token = v }).Or("/token").
			Says("The token endpoint."),
		strictyaml.On("token_aliases", strictyaml.List(webPath()), func(p *paths, v []string) { p.TokenAliases = v }).
			Says("Additional paths of the token endpoint, for clients and registries that use another path, such as docker_auth's `/auth/token`."),
		strictyaml.On("notifications", webPath(), func(p *paths, v string) { p.Notifications = v }).Or("/notifications").
			Says("The receiver of events."),
	}
}

func signingKeys() []*strictyaml.Key[Signing] {
	algorithms := oneOf(token.ES256, token.ES384, token.ES512, token.RS256, token.EdDSA)
	return []*strictyaml.Key[Signing]{
		strictyaml.On("root", strictyaml.Section(rootKeys(), checkRoot), func(s *Signing, v root) { s.Certificate, s.Key = v.files() }).
			Says("The root: the certificate in the `rootcertbundle` of registries, and its key. Tidewaiter issues short-lived certificates under the root, and their keys sign tokens. Use the root for Tidewaiter alone: anyone with a certificate under the root can sign tokens. The default is the folder `/keys`. The flag `--keys` overrides this key."),
		strictyaml.On("algorithm", algorithms, func(s *Signing, v token.Algorithm) { s.Algorithm = v }).Or("ES256").
			Says("The signature algorithm of tokens. Registry 2.8 supports all of these except EdDSA."),
		strictyaml.On("leaf_lifetime", duration(minLeaf, maxLeaf), func(s *Signing, v time.Duration) { s.LeafLifetime = v }).Or("24h").
			Says("How long a signing certificate is valid. The certificate is renewed at half of its lifetime. `leaf_lifetime` must be at least twice the longest token lifetime plus one hour. If the default is shorter than this minimum, it is raised."),
		strictyaml.On("direct", strictyaml.Bool, func(s *Signing, v bool) { s.Direct = v }).Or("false").
			Says("Sign with the root's own key, without a certificate under it. If the root is not a CA, its own key always signs."),
		strictyaml.On("shared_root", strictyaml.Bool, func(s *Signing, v bool) { s.SharedRoot = v }).Or("false").
			Says("Accept a root that has issued other certificates, or that looks like such a root. Anyone with such a certificate can sign tokens."),
		strictyaml.On("journal_key", strictyaml.FilePath("file"), func(s *Signing, v string) { s.JournalKey = v }).
			Says("The file with the key that signs the journal's checkpoints. The first start creates the file. The default is `journal.key` in the folder of the root's key. All replicas need the same file."),
	}
}

func rootKeys() []*strictyaml.Key[root] {
	return []*strictyaml.Key[root]{
		strictyaml.On("certificate", strictyaml.FilePath("file"), func(r *root, v string) { r.certificate = v }).
			Says("A PEM file with the root's certificate."),
		strictyaml.On("key", strictyaml.FilePath("file"), func(r *root, v string) { r.key = v }).
			Says("A PEM file with the root's private key: PKCS#8, SEC 1 or PKCS#1."),
		strictyaml.On("folder", strictyaml.FilePath("folder"), func(r *root, v string) { r.folder = v }).
			Says("Instead of `certificate` and `key`: a folder with `cert.pem` and `privatekey.pem`."),
	}
}

func tokenKeys() []*strictyaml.Key[Token] {
	return []*strictyaml.Key[Token]{
		strictyaml.On("issuer", strictyaml.Line, func(t *Token, v string) { t.Issuer = v }).Or("tidewaiter").
			Says("The issuer of tokens. It must equal `issuer` in the registries' configs."),
		strictyaml.On("lifetime", duration(minToken, maxToken), func(t *Token, v time.Duration) { t.Lifetime = v }).Or(text.Duration(defaultLifetime)).
			Says("How long a token is valid. Tokens cannot be revoked: a user who loses a right can still use it until the issued token expires."),
		strictyaml.On("push_lifetime", duration(minToken, maxToken), func(t *Token, v time.Duration) { t.PushLifetime = v }).
			Says("How long a token that can push is valid. The upload of the largest layer must finish in this time. The default is `15m`, or `lifetime` if that is longer."),
		strictyaml.On("max_lifetime", strictyaml.Section(maxLifetimeKeys()), func(t *Token, v MaxLifetimes) { t.MaxLifetime = v }).Or("{}").Formerly("at_most").
			Says("Upper limits for the lifetime of tokens. Roles and rules can have a `lifetime`, too."),
		strictyaml.On("reuse", strictyaml.Bool, func(t *Token, v bool) { t.Reuse = v }).Or("true").
			Says("Answer identical requests with the same token, for a tenth of the token's lifetime and at most 30 seconds. This reduces the number of signatures."),
		strictyaml.On("anonymous", strictyaml.Bool, func(t *Token, v bool) { t.Anonymous = v }).Or("true").
			Says("Evaluate the policy for clients without credentials. With `false`, such clients get a 401, so that they sign in."),
		strictyaml.On("allowed_origins", strictyaml.List(origin()), func(t *Token, v []string) { t.AllowedOrigins = v }).
			Says("Origins of web pages that may request tokens with JavaScript (CORS), such as a registry's user interface. By default there are no such origins.").
			Shows("token: { allowed_origins: [https://ui.example.com] }\n"),
		strictyaml.On("refusals", refusals(), func(t *Token, v string) { t.Refusals = v }).Or("explain").
			Says("The answer to a client that is granted less than it needs. `explain`: a 403 with the reason, for clients that show it (docker, crane, oras, helm). Other clients get a token that grants too little, and the registry refuses their request. `specification`: all clients get such a token."),
		strictyaml.On("show_rules", strictyaml.Bool, func(t *Token, v bool) { t.ShowRules = v }).Or("false").
			Says("Name the rule in a refusal, if the principal may pull from the repository. `tidewaiter explain` and the journal always name the rule."),
		strictyaml.On("refusal_hint", hint(), func(t *Token, v string) { t.Hint = v }).
			Says("A text at the end of each refusal, for example whom to ask. At most 200 bytes."),
	}
}

// origin is the origin of a web page in the form that browsers send.
func origin() strictyaml.Type[string] {
	return strictyaml.Scalar("origin", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || s != u.Scheme+"://"+u.Host || s != strings.ToLower(s) {
			d.Problem(n, "%s is not the origin of a web page, such as https://ui.example.com: a scheme and a host in lower case, without a path", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

func refusals() strictyaml.Type[string] { return oneOf(Explain, Specification) }

// hint is a line of at most maxHint bytes.
func hint() strictyaml.Type[string] {
	return strictyaml.Scalar("text", func(d *strictyaml.Decoder, n *yaml.Node, _ string) (string, bool) {
		if len(n.Value) > maxHint {
			d.Problem(n, "the text has %d bytes, the limit is %d", len(n.Value), maxHint)
			return "", false
		}
		return strictyaml.Line.Read(d, n)
	})
}

func maxLifetimeKeys() []*strictyaml.Key[MaxLifetimes] {
	limit := duration(minToken, maxToken)
	return []*strictyaml.Key[MaxLifetimes]{
		strictyaml.On("anonymous", limit, func(a *MaxLifetimes, v time.Duration) { a.Anonymous = v }).
			Says("Tokens of anonymous clients."),
		strictyaml.On("user", limit, func(a *MaxLifetimes, v time.Duration) { a.User = v }).
			Says("Tokens of users."),
		strictyaml.On("robot", limit, func(a *MaxLifetimes, v time.Duration) { a.Robot = v }).
			Says("Tokens of robots."),
		strictyaml.On("workload", limit, func(a *MaxLifetimes, v time.Duration) { a.Workload = v }).
			Says("Tokens of CI jobs and pods with an ID token."),
		strictyaml.On("delete", limit, func(a *MaxLifetimes, v time.Duration) { a.Delete = v }).
			Says("All tokens that can delete."),
	}
}

func registryKeys() []*strictyaml.Key[Registry] {
	return []*strictyaml.Key[Registry]{
		strictyaml.On("service", strictyaml.Line, func(r *Registry, v string) { r.Service = v }).Must().
			Says("The name of the registry, exactly as `service` in the registry's config."),
		strictyaml.On("preset", oneOf(Zot), func(r *Registry, v string) { r.Preset = v }).
			Says("The kind of registry. Leave it out for distribution's `registry`. `zot` sets the defaults `key_id: thumbprint` and `push_lifetime: 1h`, and accepts the scope with which zot requests its catalog. See [zot](zot.md)."),
		strictyaml.On("url", webAddress(), func(r *Registry, v string) { r.URL = v }).
			Says("The URL of the registry. `tidewaiter catalog reconcile` and other commands that call the registry connect to it. If it is `http://` and not on this machine, they need `plain: true`."),
		strictyaml.On("ca", strictyaml.FilePath("file"), func(r *Registry, v string) { r.CA = v }).
			Says("A PEM file with the CA certificates to verify the registry at `url`. The default is the system's CA certificates."),
		strictyaml.On("plain", strictyaml.True, func(r *Registry, v bool) { r.Plain = v }).
			Says("Let commands connect to an `http://` URL that is not on this machine. Their tokens can delete and replace manifests, and anyone on the network path can read these tokens."),
		strictyaml.On("key_id", oneOf(token.X5C, token.Libtrust, token.Thumbprint, token.Thumbprint30), func(r *Registry, v token.KeyID) { r.KeyID = v }).Or("x5c").
			Says("How tokens identify their key. `x5c` works with every registry. `libtrust` is for registry 2.8 and older versions, `thumbprint` for 3.1, `thumbprint-3.0` for 3.0. With `libtrust`, `thumbprint` and `thumbprint-3.0`, the root's own key signs."),
		strictyaml.On("algorithm", oneOf(token.ES256, token.ES384, token.ES512, token.RS256, token.EdDSA), func(r *Registry, v token.Algorithm) { r.Algorithm = v }).
			Says("The signature algorithm of tokens for this registry. The default is `signing.algorithm`."),
		strictyaml.On("lifetime", duration(minToken, maxToken), func(r *Registry, v time.Duration) { r.Lifetime = v }).
			Says("How long tokens for this registry are valid. The default is `token.lifetime`."),
		strictyaml.On("push_lifetime", duration(minToken, maxToken), func(r *Registry, v time.Duration) { r.PushLifetime = v }).
			Says("How long tokens that can push are valid. The default is `token.push_lifetime`, or `lifetime` if that is longer."),
		strictyaml.On("issued_at", strictyaml.Bool, func(r *Registry, v bool) { r.IssuedAt = v }).Or("false").
			Says("Include `issued_at` in token answers. Without `issued_at`, Harbor as a proxy cache requests a token for each request. With `issued_at`, BuildKit keeps a token forever if BuildKit's clock is ahead of Tidewaiter's."),
		strictyaml.On("refusals", refusals(), func(r *Registry, v string) { r.Refusals = v }).
			Says("The answer to a client of this registry that is granted less than it needs. The default is `token.refusals`."),
		strictyaml.On("notifications", strictyaml.Section(secretKeys(), checkSecret), func(r *Registry, v writtenSecret) { r.Notifications = v.secret }).
			Says("The secret that identifies the registry when it sends events. The secret has at least 16 characters and no spaces. It is in a file, in an environment variable or in this config. Each registry needs its own secret. If a registry has no secret, its events are accepted only from this machine."),
	}
}

func secretKeys() []*strictyaml.Key[writtenSecret] {
	return []*strictyaml.Key[writtenSecret]{
		strictyaml.On("secret_file", strictyaml.FilePath("file"), func(s *writtenSecret, v string) { s.file = v }).
			Says("A file with the secret. A line end after the secret is ignored."),
		strictyaml.On("secret_env", strictyaml.Line, func(s *writtenSecret, v string) { s.env = v }).
			Says("The name of an environment variable with the secret."),
		strictyaml.On("secret", secretText(), func(s *writtenSecret, v string) { s.inline = v }).
			Says("The secret itself. If you use this key, make sure that no other user of the machine can read the config."),
	}
}

func notificationsKeys() []*strictyaml.Key[notifications] {
	return []*strictyaml.Key[notifications]{
		strictyaml.On("open", strictyaml.Bool, func(n *notifications, v bool) { n.Open = v }).Or("false").
			Says("Accept events from anyone, with any secret or without a secret. For demonstrations only: anyone can then write false entries into the journal."),
	}
}

func sourceKeys() []*strictyaml.Key[Source] {
	return []*strictyaml.Key[Source]{
		strictyaml.On("accounts", pointer(strictyaml.Section(accountsKeys())), func(s *Source, v *Accounts) { s.Accounts = v }).
			Says("Local users, groups and robots, and the access and refresh tokens of all users. `tidewaiter user`, `group`, `robot` and `token` manage them. Write `accounts: {}`. See [Accounts](accounts.md)."),
		strictyaml.On("htpasswd", pointer(strictyaml.Section(htpasswdKeys(), checkHTPasswd)), func(s *Source, v *HTPasswd) { s.HTPasswd = v }).
			Says("Users with hashed passwords."),
		strictyaml.On("ldap", pointer(strictyaml.Section(ldapKeys(), checkLDAP)), func(s *Source, v *LDAP) { s.LDAP = v }).
			Says("A directory: OpenLDAP, Active Directory, 389, FreeIPA and others. The page [LDAP](ldap.md) shows how."),
		strictyaml.On("oidc", pointer(strictyaml.Section(oidcKeys(), checkOIDC)), func(s *Source, v *OIDC) { s.OIDC = v }).
			Says("An issuer of ID tokens: GitHub Actions, GitLab CI, Kubernetes and others. A job presents its ID token as the password, with any user name. The pages below [CI and workload identity](ci/README.md) show how."),
		strictyaml.On("webhook", hook(webhookKeys(), hookFind(), hookGroups()), func(s *Source, v *Hook) { s.Webhook = v }).Formerly("external").
			Says("Your own service, which Tidewaiter asks over HTTPS. The page [Webhook and exec](webhook.md) shows how."),
		strictyaml.On("exec", hook(execKeys(), hookGroups()), func(s *Source, v *Hook) { s.Exec = v }).Formerly("external").
			Says("Your own program, which Tidewaiter starts for each request. The page [Webhook and exec](webhook.md) shows how."),
		strictyaml.On("anyone", strictyaml.Section([]*strictyaml.Key[struct{}]{}), func(s *Source, _ struct{}) { s.Anyone = true }).
			Says("Accept any name with any password. Write `anyone: {}`. For demonstrations only. It must be the last source, because it knows every name."),
	}
}

func logKeys() []*strictyaml.Key[logging] {
	return []*strictyaml.Key[logging]{
		strictyaml.On("level", oneOf("debug", "info", "warn", "error"), func(l *logging, v string) { l.Level = v }).Or("info").
			Says("The lowest level to log."),
		strictyaml.On("format", oneOf("text", "json"), func(l *logging, v string) { l.Format = v }).Or("text").
			Says("The format of a line."),
	}
}

func limitsKeys() []*strictyaml.Key[Limits] {
	return []*strictyaml.Key[Limits]{
		strictyaml.On("throttle", strictyaml.Bool, func(l *Limits, v bool) { l.Throttle = v }).Or("true").
			Says("Limit failed sign-ins, and answer 429 when a limit is exceeded. See [rate limiting](rate-limiting.md). Set `throttle` to `false` only if something in front of Tidewaiter limits failed sign-ins."),
		strictyaml.On("max_failures_per_pair", count(1, 10_000), func(l *Limits, v int) { l.MaxFailuresPerPair = v }).Or("10").Formerly("failures_per_name").
			Says("The number of wrong passwords for one name from one source that are not delayed. After this number, the delay starts at one second and doubles with each further wrong password. A source is an IPv4 address or an IPv6 /64. Repeating the same wrong password does not count."),
		strictyaml.On("max_failures_per_source", count(1, 1_000_000), func(l *Limits, v int) { l.MaxFailuresPerSource = v }).Or("100").Formerly("failures_per_address").
			Says("The number of wrong passwords from one source that are not delayed, for all names together. An IPv6 /56 may have four times as many wrong passwords, a /48 sixteen times as many. Behind a proxy, set `trusted_proxies`. Otherwise the proxy's address is the source of all clients. The delay is at most 30 seconds."),
		strictyaml.On("max_delay", duration(time.Second, time.Hour), func(l *Limits, v time.Duration) { l.MaxDelay = v }).Or("5m").Formerly("longest_delay").
			Says("The maximum delay."),
		strictyaml.On("unknown_places", oneOf("slow", RefusePlaces), func(l *Limits, v string) { l.UnknownPlaces = v }).Or("slow").
			Says("How sign-ins from unknown places are limited after 100 failures for a name. Unknown places are places where the name has not signed in before. `slow`: one attempt per minute is checked. `refuse`: no attempt is checked until a failure is forgotten. One failure is forgotten every 15 minutes."),
		strictyaml.On("connections", count(10, 1_000_000), func(l *Limits, v int) { l.Connections = v }).Or("4000").
			Says("The maximum number of open connections for each address under `listen`. When all connections are in use, idle connections are closed to admit new connections. If no connection is idle, the answer is 503. One client address can use at most half of the connections, unless the address is a trusted proxy or this machine. To change this setting, restart the service."),
	}
}
