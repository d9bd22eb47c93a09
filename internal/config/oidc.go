package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// OIDC is an issuer of ID tokens. What its URLs, templates and patterns hold is checked by who verifies the
// tokens: Place then says where a setting is written.
type OIDC struct {
	Name     string // principals bear it behind "oidc:"
	Preset   string
	Issuer   string // "": the preset's
	Audience []string

	JWKSURL, JWKSFile string
	CA                string // PEM file; "": the certificates of the system
	TokenFile         string

	Algorithms []string
	MaxAge     time.Duration // 0: the preset's, or 24h
	Kind       string        // workload (default), user

	// AccessTokensAfterSignIn is how long people's access tokens last after their last sign-in; 0: they have none.
	AccessTokensAfterSignIn time.Duration

	Principal string
	Groups    []string
	Claims    []string
	Require   map[string][]string

	node *yaml.Node
}

// Place returns line and column of a setting, and of an item if it is a list; -1 is the setting as a
// whole. What is not written is where it would be.
func (o *OIDC) Place(setting string, place int) (line, column int) {
	if o.node == nil {
		return 0, 0
	}
	n := item(value(o.node, setting), place)
	return n.Line, n.Column
}

func oidcKeys() []key[OIDC] {
	return []key[OIDC]{
		on("name", sourceName(), func(o *OIDC, v string) { o.Name = v }).must().
			says("What this issuer is called: its principals are from `oidc:` and this name."),
		on("preset", one("github-actions", "gitlab-ci", "kubernetes", "buildkite", "spiffe"), func(o *OIDC, v string) { o.Preset = v }).
			says("What the issuer is known to be like. It fills in `issuer`, `principal`, `groups` and `claims` where they are not written. The pages below [CI and workload identity](ci/README.md) show each."),
		on("issuer", line(), func(o *OIDC, v string) { o.Issuer = v }).
			says("The issuer, exactly as the tokens' `iss` has it: an https URL. Where `jwks_url` or `jwks_file` says where the keys are, it may be any text, as `api` or `kubernetes/serviceaccount`. Needed where the preset has none."),
		on("audience", texts(), func(o *OIDC, v []string) { o.Audience = v }).must().
			says("Whom a token must be for: its `aud`, one text or a list of them. A token that is for anybody else as well is refused. `public_url` is a good one. It is never to be left to what the issuer does by itself: such tokens are also shown to other services."),
		on("jwks_url", line(), func(o *OIDC, v string) { o.JWKSURL = v }).
			says("Where the issuer's keys are, as a JWKS. The default is what its `/.well-known/openid-configuration` says."),
		on("jwks_file", filePath("file"), func(o *OIDC, v string) { o.JWKSFile = v }).
			says("A file with the keys, as a JWKS, where the issuer cannot be asked. It is read again when it changes."),
		on("ca", filePath("file"), func(o *OIDC, v string) { o.CA = v }).
			says("A PEM file with the certificates that the issuer's is under. The default is those of the system."),
		on("token_file", filePath("file"), func(o *OIDC, v string) { o.TokenFile = v }).
			says("A file with a bearer token that is sent to the issuer to get its keys: a Kubernetes API server wants one. It is read at each fetch."),
		on("algorithms", list(one("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")), func(o *OIDC, v []string) { o.Algorithms = v }).
			says("How tokens may be signed. The default is all of these; a key is only ever used with those that it is made for."),
		on("max_age", duration(time.Minute, 400*24*time.Hour), func(o *OIDC, v time.Duration) { o.MaxAge = v }).
			says("How long after it was issued a token is taken, whatever its own `exp` says. The default is 24h, and 25h for Kubernetes."),
		on("kind", one("workload", "user"), func(o *OIDC, v string) { o.Kind = v }).or("workload").
			says("What the principals are: `workload:NAME` in rules, or `user:NAME`. Only users have a `${user}`."),
		on("access_tokens_after_sign_in", duration(0, 400*24*time.Hour), func(o *OIDC, v time.Duration) { o.AccessTokensAfterSignIn = v }).or("720h").
			says("With `kind: user`, how long access tokens last after their owner's last sign-in with an ID token. Until then they have the groups and claims of that sign-in. After it they are refused, and work again once their owner signs in. The default is 30 days. With `0s`, people of this issuer have no access tokens. Access tokens need `accounts` among the sources."),
		on("principal", line(), func(o *OIDC, v string) { o.Principal = v }).
			says("Their names, with claims in braces: `github:{repository}`. `{/kubernetes.io/namespace}` is a claim inside another. The default is the preset's, else `{sub}`."),
		on("groups", list(line()), func(o *OIDC, v []string) { o.Groups = v }).
			says("Their groups, written alike: `{groups}` is all that a list of that name has, or all keys of an object. Put something before it, as in `sso:{groups}`, unless the issuer is to name administrators. A group with a claim that a token lacks is left out. The default is the preset's, else none."),
		on("claims", list(line()), func(o *OIDC, v []string) { o.Claims = v }).
			says("Claims that are kept, for `${claims.NAME}` in rules and for the journal: a name, a path like `/kubernetes.io/namespace` (kept as `namespace`), or `NAME=` before either. The default is the preset's, else none."),
		on("require", dictionary(texts()), func(o *OIDC, v []named[[]string]) {
			o.Require = make(map[string][]string, len(v))
			for _, r := range v {
				o.Require[r.name] = r.value
			}
		}).says("Claims that a token must have, each with a text or a list of texts, of which one must be its value. `*` stands for any text without a slash, `**` for any text. All of them must hold. Issuers that serve the whole world need it, with a pattern that not everybody's value matches."),
	}
}

// texts is one text, or a list of them.
func texts() shape[[]string] { return oneOrMore(line()) }

// checkOIDC notes where all is written.
func checkOIDC(d *decoder, n *yaml.Node, o *OIDC) {
	o.node = n
	if at := value(n, "access_tokens_after_sign_in"); at != n && o.Kind == "workload" {
		d.problem(at, "only people have access tokens: it needs kind: user")
	}
}

// oidc looks at the files of an issuer, and at the issuers before it.
func (x cross) oidc(n *yaml.Node, o *OIDC, earlier []Source) {
	for _, f := range []struct {
		name, is string
		secret   bool
	}{{"ca", o.CA, false}, {"jwks_file", o.JWKSFile, false}, {"token_file", o.TokenFile, true}} {
		if f.is != "" {
			x.readable(value(n, f.name), f.is, f.secret)
		}
	}
	for _, s := range earlier {
		if s.OIDC == nil || s.OIDC.Issuer != o.Issuer || o.Issuer == "" && s.OIDC.Preset != o.Preset {
			continue
		}
		for i, audience := range o.Audience {
			if slices.Contains(s.OIDC.Audience, audience) {
				x.d.problem(item(value(n, "audience"), i), "the issuer in line %d is the same, for the same audience, so that this one is never asked", s.Line)
			}
		}
	}
}
