package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// The tables of this file are all keys that there are: what each is called, what it holds, what it
// means, and what holds where it is missing. docs/configuration.md and the manual page are made from them.

// Limits of settings.
const (
	minToken = ruleset.MinLifetime
	maxToken = ruleset.MaxLifetime
	minLeaf  = time.Hour           // a leaf is dated back by an hour
	maxLeaf  = 90 * 24 * time.Hour // longer would be no rotation

	// A leaf is renewed at half its life. What it signed last must end before it does, with the minute
	// that registries allow, and with time for a renewal that fails at first.
	leafMargin = time.Hour

	// defaultPush is the life of a token that can push, where no push_lifetime is written: some 10 GB at 100 Mbit/s.
	defaultPush = 15 * time.Minute
	// defaultZotPush is the same for zot, whose clients cannot renew a token during a push.
	defaultZotPush = time.Hour

	maxHint = 200 // bytes at the end of a refusal, which is one line on a terminal
)

func databaseKey() key[written] {
	return on("database", databaseURL(), func(w *written, v string) { w.Database = v }).
		or("sqlite:data/state.db").formerly("state").
		says("Where the journal, accounts and rules are stored. `sqlite:PATH` is a file on a local disk; it is created with its folder if missing. `sqlite::memory:` stores nothing. `postgres://USER@HOST/DATABASE` serves several replicas; its password is in a file of its own (`password_file`). See docs/database.md.").
		shows("database: sqlite:/var/lib/tidewaiter/state.db\n")
}

func configKeys() []key[written] {
	return []key[written]{
		on("public_url", webAddress(), func(w *written, v string) { w.PublicURL = v }).
			says("The URL at which clients reach Tidewaiter. Registries send clients there; `realm` in the registry's config is this URL with the token path. Use a DNS name: many clients refuse a private IP address.").
			shows("public_url: https://auth.example.com\n"),
		on("listen", list(section(listenKeys(), checkListener)), func(w *written, v []Listener) { w.Listen = v }).
			or(`[{address: "127.0.0.1:8080"}]`).
			says("The addresses to listen on. The default is reachable from this machine only.").
			shows(`listen:
  - address: ":8443"
    tls: { certificate: /tls/cert.pem, key: /tls/key.pem }
    serve: [token, keys, health]
  - address: "127.0.0.1:8080" # for what runs beside it
    serve: [notifications, health, metrics]
`),
		on("paths", section(pathKeys(), checkPaths), func(w *written, v Paths) { w.Paths = v }).
			or("{}").
			says("The paths of endpoints that can be changed.").
			shows("paths: { token: /auth/token, notifications: /auth/events }\n"),
		databaseKey(),
		on("audit", one(BestEffort, Strict), func(w *written, v Audit) { w.Audit = v }).
			or("best-effort").
			says("What happens if a decision cannot be written to the journal. `best-effort`: the token request is answered, and the loss is counted and logged. `strict`: it is answered only after its decision is on disk.").
			shows("audit: strict\n"),
		on("signing", section(signingKeys()), func(w *written, v Signing) { w.Signing = v }).
			or("{}").
			says("The keys that sign tokens.").
			shows(`signing:
  root: { certificate: /keys/cert.pem, key: /keys/privatekey.pem }
  leaf_lifetime: 24h
`),
		on("token", section(tokenKeys()), func(w *written, v Token) { w.Token = v }).
			or("{}").
			says("The properties of tokens.").
			shows("token: { issuer: tidewaiter, lifetime: 5m }\n"),
		on("registries", list(section(registryKeys())), func(w *written, v []Registry) { w.Registries = v }).
			must().
			says("The registries that trust this Tidewaiter. Tokens are issued for these only.").
			shows(`registries:
  - service: registry.example.com
    url: https://registry.example.com
    notifications: { secret_file: /run/secrets/notifications }
  - service: old.example.com
    key_id: libtrust # a registry 2.8 whose config stays as it is
`),
		on("notifications", section(notificationsKeys()), func(w *written, v Notifications) { w.Notifications = v }).
			or("{}").
			says("The receiver of registry events.").
			shows("notifications: { open: true } # for a demonstration\n"),
		on("identity", list(section(sourceKeys(), checkSource)), func(w *written, v []Source) { w.Identity = v }).
			says("The identity sources of users and programs, in the order in which they are asked. Without any, nobody can sign in, and only anonymous requests are answered.").
			shows(`identity:
  - htpasswd:
      file: users.htpasswd
      groups:
        developers: [ann, bob]
`),
		on("policy", section(policyKeys()), func(w *written, v writtenPolicy) { w.policy = v }).
			says("Who may do what. A matching deny wins over a matching allow. What no rule allows is refused. The order of rules does not matter.").
			shows(`policy:
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
		on("authorizer", authorizer(), func(w *written, v *Hook) { w.Authorizer = v }).formerly("decider").
			says("A service or a program of your own that is asked about each request after the policy. If it does not answer, nothing is granted and the answer is 503. The page [Webhook and exec](webhook.md) shows how.").
			shows("authorizer:\n  webhook: { name: shop, url: https://shop.example.com/registry/decide, grants: narrow }\n"),
		on("limits", section(limitsKeys()), func(w *written, v Limits) { w.Limits = v }).
			or("{}").
			says("Limits for failed sign-ins and for connections. See [rate limiting](rate-limiting.md).").
			shows("limits: { max_failures_per_pair: 10, max_delay: 5m }\n"),
		on("trusted_proxies", list(prefix()), func(w *written, v []netip.Prefix) { w.TrustedProxies = v }).
			says("Networks and addresses of proxies whose `X-Forwarded-For` is trusted. The default is none, because clients can forge the header. A proxy must set this header: if it sends only another one (`Forwarded`, `X-Real-IP`), or an invalid address, the client's address is unknown. Then conditions on `request.ip` fail, events need a secret, and limits count for the proxy. Ports (`192.0.2.7:1234`, `[2001:db8::7]:443`) are ignored.").
			shows("trusted_proxies: [10.1.0.0/16, \"fd00::7\"]\n"),
		on("log", section(logKeys()), func(w *written, v Log) { w.Log = v }).
			or("{}").
			says("The level and the format of the log.").
			shows("log: { level: info, format: json }\n"),
	}
}

func listenKeys() []key[Listener] {
	return []key[Listener]{
		on("address", address(), func(l *Listener, v string) { l.Address = v }).must().
			says("A host name or an IP address, and a port. Without a host it is all addresses of the machine."),
		on("tls", pointer(section(tlsKeys(), checkTLS)), func(l *Listener, v *TLS) { l.TLS = v }).
			says("The certificate. Without it, this is plain HTTP. Use that only for this machine or behind a proxy with TLS, because clients send passwords here."),
		on("serve", list(one(FaceToken, FaceNotifications, FaceKeys, FaceHealth, FaceAPI, FaceMetrics)), func(l *Listener, v []Face) { l.Serve = v }).
			or("[token, notifications, keys, health, api]").
			says("What is served at this address. `token`: the token endpoint. `notifications`: the receiver of events. `keys`: the public keys, as JWKS. `health`: `/healthz` and `/readyz`. `api`: the [admin API](api.md), for users with the rights. `metrics`: `/metrics`, which names registries and is for your monitoring only."),
	}
}

func tlsKeys() []key[TLS] {
	return []key[TLS]{
		on("certificate", filePath("file"), func(t *TLS, v string) { t.Certificate = v }).
			says("A PEM file with the certificate and its intermediate certificates. It is read again when it changes."),
		on("key", filePath("file"), func(t *TLS, v string) { t.Key = v }).
			says("A PEM file with the certificate's private key."),
		on("self_signed", set(), func(t *TLS, v bool) { t.SelfSigned = v }).
			says("Generate a certificate at each start instead. For testing only: clients do not trust it."),
	}
}

func pathKeys() []key[Paths] {
	return []key[Paths]{
		on("token", webPath(), func(p *Paths, v string) { p.Token = v }).or("/token").
			says("The token endpoint."),
		on("token_aliases", list(webPath()), func(p *Paths, v []string) { p.TokenAliases = v }).
			says("More paths of the token endpoint, for clients and registries that use another one, such as docker_auth's `/auth/token`."),
		on("notifications", webPath(), func(p *Paths, v string) { p.Notifications = v }).or("/notifications").
			says("The receiver of events."),
	}
}

func signingKeys() []key[Signing] {
	algorithms := one(token.ES256, token.ES384, token.ES512, token.RS256, token.EdDSA)
	return []key[Signing]{
		on("root", section(rootKeys(), checkRoot), func(s *Signing, v root) { s.Certificate, s.Key = v.files() }).
			says("The root: the certificate in the `rootcertbundle` of registries, and its key. Each start issues a short-lived certificate under it, which signs tokens. Use the root for Tidewaiter alone: anyone with a certificate under it can sign tokens. The default is the folder `/keys`. The flag `--keys` overrides this key."),
		on("algorithm", algorithms, func(s *Signing, v token.Algorithm) { s.Algorithm = v }).or("ES256").
			says("The signature algorithm of tokens. Registry 2.8 supports all but EdDSA."),
		on("leaf_lifetime", duration(minLeaf, maxLeaf), func(s *Signing, v time.Duration) { s.LeafLifetime = v }).or("24h").
			says("How long a signing certificate is valid. It is renewed at half of its lifetime. It must be at least twice the longest token lifetime plus one hour. The default is raised to that if needed."),
		on("direct", boolean(), func(s *Signing, v bool) { s.Direct = v }).or("false").
			says("Sign with the root's own key, without a certificate under it. A root that is not a CA always does."),
		on("shared_root", boolean(), func(s *Signing, v bool) { s.SharedRoot = v }).or("false").
			says("Accept a root that other certificates were issued under, or that looks like it. Anyone with such a certificate can sign tokens."),
	}
}

func rootKeys() []key[root] {
	return []key[root]{
		on("certificate", filePath("file"), func(r *root, v string) { r.certificate = v }).
			says("A PEM file with the root's certificate."),
		on("key", filePath("file"), func(r *root, v string) { r.key = v }).
			says("A PEM file with its private key: PKCS#8, SEC 1 or PKCS#1."),
		on("folder", filePath("folder"), func(r *root, v string) { r.folder = v }).
			says("Instead of both: a folder with `cert.pem` and `privatekey.pem`."),
	}
}

func tokenKeys() []key[Token] {
	return []key[Token]{
		on("issuer", line(), func(t *Token, v string) { t.Issuer = v }).or("tidewaiter").
			says("The issuer of tokens. It must equal `issuer` in the registries' configs."),
		on("lifetime", duration(minToken, maxToken), func(t *Token, v time.Duration) { t.Lifetime = v }).or("5m").
			says("How long a token is valid. Tokens cannot be revoked: a user who loses a right keeps it for this long."),
		on("push_lifetime", duration(minToken, maxToken), func(t *Token, v time.Duration) { t.PushLifetime = v }).
			says("How long a token that can push is valid. The upload of the largest layer must finish in this time. The default is `15m`, or `lifetime` if that is longer."),
		on("max_lifetime", section(maxLifetimeKeys()), func(t *Token, v MaxLifetimes) { t.MaxLifetime = v }).or("{}").formerly("at_most").
			says("Upper limits for the lifetime of tokens. Roles and rules have limits of their own."),
		on("reuse", boolean(), func(t *Token, v bool) { t.Reuse = v }).or("true").
			says("Answer identical requests with the same token for a tenth of its lifetime, at most 30 seconds. This saves signatures."),
		on("anonymous", boolean(), func(t *Token, v bool) { t.Anonymous = v }).or("true").
			says("Evaluate the policy for clients without credentials. `false` answers them with 401, so that they sign in."),
		on("allowed_origins", list(origin()), func(t *Token, v []string) { t.AllowedOrigins = v }).
			says("Origins of web pages that may request tokens with JavaScript (CORS), such as a registry's user interface. The default is none.").
			shows("token: { allowed_origins: [https://ui.example.com] }\n"),
		on("refusals", refusals(), func(t *Token, v Refusals) { t.Refusals = v }).or("explain").
			says("What a client gets when it is granted less than it needs. `explain`: a 403 with the reason, for clients that show it (docker, crane, oras, helm); other clients get the token. `specification`: always the token, and the registry refuses."),
		on("show_rules", boolean(), func(t *Token, v bool) { t.ShowRules = v }).or("false").
			says("Name the rule in a refusal, if the principal may pull from the repository. `explain` and the journal always name it."),
		on("refusal_hint", hint(), func(t *Token, v string) { t.Hint = v }).
			says("The end of each refusal: what to do, or whom to ask. At most 200 bytes."),
	}
}

// origin is the origin of a web page, as browsers send it.
func origin() valueType[string] {
	return scalar("origin", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || s != u.Scheme+"://"+u.Host || s != strings.ToLower(s) {
			d.problem(n, "%s is not the origin of a web page, such as https://ui.example.com: a scheme and a host in lower case, without a path", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

func refusals() valueType[Refusals] { return one(Explain, Specification) }

// hint is a line that is not too long.
func hint() valueType[string] {
	text := line()
	return scalar("text", func(d *decoder, n *yaml.Node, _ string) (string, bool) {
		if len(n.Value) > maxHint {
			d.problem(n, "the text has %d bytes, the limit is %d", len(n.Value), maxHint)
			return "", false
		}
		return text.read(d, n)
	})
}

func maxLifetimeKeys() []key[MaxLifetimes] {
	limit := duration(minToken, maxToken)
	return []key[MaxLifetimes]{
		on("anonymous", limit, func(a *MaxLifetimes, v time.Duration) { a.Anonymous = v }).
			says("Tokens of anonymous clients."),
		on("user", limit, func(a *MaxLifetimes, v time.Duration) { a.User = v }).
			says("Tokens of users."),
		on("robot", limit, func(a *MaxLifetimes, v time.Duration) { a.Robot = v }).
			says("Tokens of robots."),
		on("workload", limit, func(a *MaxLifetimes, v time.Duration) { a.Workload = v }).
			says("Tokens of CI jobs and pods with an ID token."),
		on("delete", limit, func(a *MaxLifetimes, v time.Duration) { a.Delete = v }).
			says("All tokens that can delete."),
	}
}

func registryKeys() []key[Registry] {
	return []key[Registry]{
		on("service", line(), func(r *Registry, v string) { r.Service = v }).must().
			says("The name of the registry, exactly as `service` in its config."),
		on("preset", one(Zot), func(r *Registry, v Preset) { r.Preset = v }).
			says("The kind of registry, if it is not distribution's `registry`. `zot` sets the defaults `key_id: thumbprint` and `push_lifetime: 1h`, and answers zot's own way of asking for its catalog. See [zot](zot.md)."),
		on("url", webAddress(), func(r *Registry, v string) { r.URL = v }).
			says("The URL of the registry."),
		on("key_id", one(token.X5C, token.Libtrust, token.Thumbprint, token.Thumbprint30), func(r *Registry, v token.KeyID) { r.KeyID = v }).or("x5c").
			says("How tokens identify their key. `x5c` works with every registry. `libtrust` is for 2.8 and before, `thumbprint` for 3.1, `thumbprint-3.0` for 3.0. With these three, the root's own key signs."),
		on("algorithm", one(token.ES256, token.ES384, token.ES512, token.RS256, token.EdDSA), func(r *Registry, v token.Algorithm) { r.Algorithm = v }).
			says("The signature algorithm of tokens for this registry. The default is `signing.algorithm`."),
		on("lifetime", duration(minToken, maxToken), func(r *Registry, v time.Duration) { r.Lifetime = v }).
			says("How long tokens for this registry are valid. The default is `token.lifetime`."),
		on("push_lifetime", duration(minToken, maxToken), func(r *Registry, v time.Duration) { r.PushLifetime = v }).
			says("How long tokens that can push are valid. The default is `token.push_lifetime`, or `lifetime` if that is longer."),
		on("issued_at", boolean(), func(r *Registry, v bool) { r.IssuedAt = v }).or("false").
			says("Include `issued_at` in token answers. Without it, Harbor as a proxy cache requests a token for each request. With it, BuildKit keeps a token forever if its clock is ahead of ours."),
		on("refusals", refusals(), func(r *Registry, v Refusals) { r.Refusals = v }).
			says("What a client of this registry gets when it is granted less than it needs. The default is `token.refusals`."),
		on("notifications", section(secretKeys(), checkSecret), func(r *Registry, v writtenSecret) { r.Notifications = v.secret }).
			says("The secret that the registry sends with its events to identify itself: at least 16 characters, without spaces, from one of the three places. Each registry needs its own secret. Without one, its events are accepted from this machine only."),
	}
}

func secretKeys() []key[writtenSecret] {
	return []key[writtenSecret]{
		on("secret_file", filePath("file"), func(s *writtenSecret, v string) { s.file = v }).
			says("A file with the secret, without a trailing line end."),
		on("secret_env", line(), func(s *writtenSecret, v string) { s.env = v }).
			says("The name of an environment variable with the secret."),
		on("secret", secretText(), func(s *writtenSecret, v string) { s.inline = v }).
			says("The secret itself. Protect this file then."),
	}
}

func notificationsKeys() []key[Notifications] {
	return []key[Notifications]{
		on("open", boolean(), func(v *Notifications, open bool) { v.Open = open }).or("false").
			says("Accept events from anyone, with any secret or none. For demonstrations only: anyone can then write false entries into the journal."),
	}
}

func sourceKeys() []key[Source] {
	return []key[Source]{
		on("accounts", pointer(section(accountsKeys())), func(s *Source, v *Accounts) { s.Accounts = v }).
			says("Local users, groups and robots, which `tidewaiter user`, `group` and `robot` manage, and the access and refresh tokens of all users. Write `accounts: {}`. The page [Accounts](accounts.md) shows how."),
		on("htpasswd", pointer(section(htpasswdKeys(), checkHTPasswd)), func(s *Source, v *HTPasswd) { s.HTPasswd = v }).
			says("Users with hashed passwords."),
		on("ldap", pointer(section(ldapKeys(), checkLDAP)), func(s *Source, v *LDAP) { s.LDAP = v }).
			says("A directory: OpenLDAP, Active Directory, 389, FreeIPA and others. The page [LDAP](ldap.md) shows how."),
		on("oidc", pointer(section(oidcKeys(), checkOIDC)), func(s *Source, v *OIDC) { s.OIDC = v }).
			says("An issuer of ID tokens: GitHub Actions, GitLab CI, Kubernetes and others. A job presents its ID token as the password, with any user name. The pages below [CI and workload identity](ci/README.md) show how."),
		on("webhook", hook(webhookKeys(), hookFind(), hookGroups()), func(s *Source, v *Hook) { s.Webhook = v }).formerly("external").
			says("A service of your own that is asked over HTTPS. The page [Webhook and exec](webhook.md) shows how."),
		on("exec", hook(execKeys(), hookGroups()), func(s *Source, v *Hook) { s.Exec = v }).formerly("external").
			says("A program of your own that is started for each request. The page [Webhook and exec](webhook.md) shows how."),
		on("anyone", pointer(section([]key[Anyone]{})), func(s *Source, v *Anyone) { s.Anyone = v }).
			says("Accept any name with any password. Write `anyone: {}`. For demonstrations only. It must be the last source, because it knows every name."),
	}
}

func htpasswdKeys() []key[HTPasswd] {
	claims := dictionary(dictionary(list(line())))
	claims.kind = "names, each with claims, each with a list of text"
	return []key[HTPasswd]{
		on("name", sourceName(), func(h *HTPasswd, v string) { h.Name = v }).or("htpasswd").
			says("The name of this source in the log. A second htpasswd source needs another name."),
		on("file", filePath("file"), func(h *HTPasswd, v string) { h.File = v }).
			says("A file in the format of `htpasswd -B`. It is read again when it changes. An empty file is rejected after one with users: to remove all users, write a line with `#`."),
		on("entries", list(passwordEntry()), func(h *HTPasswd, v []string) { h.Entries = v }).
			says("Lines of such a file, `name:hash`, instead of a file or in addition to it. Create the hash with `tidewaiter hash-password`."),
		on("groups", dictionary(list(line())), func(h *HTPasswd, v []named[[]string]) {
			h.Groups = make(map[string][]string, len(v))
			for _, group := range v {
				h.Groups[group.name] = group.value
			}
		}).says("Groups, each with its members. Rules refer to them as `group:NAME`."),
		on("claims", claims, func(h *HTPasswd, v []named[[]named[[]string]]) {
			h.Claims = make(map[string]map[string][]string, len(v))
			for _, who := range v {
				h.Claims[who.name] = make(map[string][]string, len(who.value))
				for _, claim := range who.value {
					h.Claims[who.name][claim.name] = claim.value
				}
			}
		}).says("More claims of a user. Rules use them as `${claims.NAME}`, conditions as `claims.NAME`."),
	}
}

func logKeys() []key[Log] {
	return []key[Log]{
		on("level", one("debug", "info", "warn", "error"), func(l *Log, v string) { l.Level = v }).or("info").
			says("The lowest level to log."),
		on("format", one("text", "json"), func(l *Log, v string) { l.Format = v }).or("text").
			says("The format of a line."),
	}
}

func policyKeys() []key[writtenPolicy] {
	return append(policyFileKeys(),
		on("files", list(filePattern()), func(p *writtenPolicy, v []filesPattern) { p.files = v }).
			says("More files with `roles` and `rules` at their top. The last part of a path may be a pattern: `policy/*.yaml` is all files that match, in the order of their names, except names that begin with a dot. Each pattern must match at least one file."),
		on("watch", boolean(), func(p *writtenPolicy, v bool) { p.rests = !v }).or("true").
			says("Read this file and the policy files again when they change. If anything is wrong, no change takes effect. With `false` they are read again only on SIGHUP."))
}

func policyFileKeys() []key[writtenPolicy] {
	return []key[writtenPolicy]{
		on("roles", dictionary(role()), func(p *writtenPolicy, v []named[policy.Role]) { p.roles = v }).
			says("Names for sets of actions, shared by all files: `reader: [pull]`, or with a lifetime `writer: { actions: [pull, push], lifetime: 30m }`."),
		on("rules", rules(), func(p *writtenPolicy, v []writtenRule) { p.rules = v }).
			says("The rules."),
	}
}

func roleKeys() []key[ruleset.Role] {
	return fields(ruleset.RoleFields, func(r *ruleset.Role) *[]string { return &r.Empty })
}

func ruleKeys() []key[ruleset.Rule] {
	return fields(ruleset.Fields, func(r *ruleset.Rule) *[]string { return &r.Empty })
}
