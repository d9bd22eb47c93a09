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
			says("The name of this issuer. Its principals have the source `oidc:NAME`."),
		on("preset", one("github-actions", "gitlab-ci", "kubernetes", "buildkite", "spiffe"), func(o *OIDC, v string) { o.Preset = v }).
			says("A known kind of issuer. It sets the defaults of `issuer`, `principal`, `groups` and `claims`. The pages below [CI and workload identity](ci/README.md) show each."),
		on("issuer", line(), func(o *OIDC, v string) { o.Issuer = v }).
			says("The issuer, exactly as in the tokens' `iss`: an https URL. With `jwks_url` or `jwks_file` it may be any text, such as `api` or `kubernetes/serviceaccount`. Required if the preset has none."),
		on("audience", texts(), func(o *OIDC, v []string) { o.Audience = v }).must().
			says("The audience that tokens must have (`aud`), one or a list. A token that also has another audience is refused. `public_url` is a good value. Do not use the issuer's default audience: tokens with it are sent to other services too."),
		on("jwks_url", line(), func(o *OIDC, v string) { o.JWKSURL = v }).
			says("The URL of the issuer's keys, as a JWKS. The default is read from its `/.well-known/openid-configuration`."),
		on("jwks_file", filePath("file"), func(o *OIDC, v string) { o.JWKSFile = v }).
			says("A file with the issuer's keys, as a JWKS, if the issuer cannot be reached. It is read again when it changes."),
		on("ca", filePath("file"), func(o *OIDC, v string) { o.CA = v }).
			says("A PEM file with the CA certificates to verify the issuer. The default is the system's CA certificates."),
		on("token_file", filePath("file"), func(o *OIDC, v string) { o.TokenFile = v }).
			says("A file with a bearer token for fetching the issuer's keys. A Kubernetes API server requires one. It is read at each fetch."),
		on("algorithms", list(one("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")), func(o *OIDC, v []string) { o.Algorithms = v }).
			says("The accepted signature algorithms. The default is all of these. A key is used only with the algorithms for its type."),
		on("max_age", duration(time.Minute, 400*24*time.Hour), func(o *OIDC, v time.Duration) { o.MaxAge = v }).
			says("How long after its issue a token is accepted, even if its `exp` is later. The default is 24h, and 25h for Kubernetes."),
		on("kind", one("workload", "user"), func(o *OIDC, v string) { o.Kind = v }).or("workload").
			says("The kind of principals: `workload:NAME` or `user:NAME` in rules. Only users have a `${user}`."),
		on("access_tokens_after_sign_in", duration(0, 400*24*time.Hour), func(o *OIDC, v time.Duration) { o.AccessTokensAfterSignIn = v }).or("720h").
			says("With `kind: user`, how long access tokens work after their owner's last sign-in with an ID token. They have the groups and claims of that sign-in. Afterwards they are refused until their owner signs in again. The default is 30 days. With `0s`, users of this issuer have no access tokens. Access tokens need `accounts` among the sources."),
		on("principal", line(), func(o *OIDC, v string) { o.Principal = v }).
			says("The name of a principal, with claims in braces: `github:{repository}`. `{/kubernetes.io/namespace}` is a claim inside another. The default is the preset's, or `{sub}`."),
		on("groups", list(line()), func(o *OIDC, v []string) { o.Groups = v }).
			says("The groups of a principal, in the same form. `{groups}` stands for all items of that list, or all keys of that object. Use a prefix, as in `sso:{groups}`, unless the issuer may name administrators. A group with a claim that the token lacks is left out. The default is the preset's, or none."),
		on("claims", list(line()), func(o *OIDC, v []string) { o.Claims = v }).
			says("Claims to keep for `${claims.NAME}` in rules and for the journal: a name, or a path such as `/kubernetes.io/namespace`, which is kept as `namespace`. Write `NAME=` before either to choose the name. The default is the preset's, or none."),
		on("require", dictionary(texts()), func(o *OIDC, v []named[[]string]) {
			o.Require = make(map[string][]string, len(v))
			for _, r := range v {
				o.Require[r.name] = r.value
			}
		}).says("Claims that a token must have, each with a value or a list of accepted values. `*` matches any text without a slash, `**` any text. All of them must match. Required for public issuers, with a pattern that does not match everyone's value."),
	}
}

// texts is one text, or a list of them.
func texts() valueType[[]string] { return oneOrMore(line()) }

// checkOIDC notes where all is written.
func checkOIDC(d *decoder, n *yaml.Node, o *OIDC) {
	o.node = n
	if at := value(n, "access_tokens_after_sign_in"); at != n && o.Kind == "workload" {
		d.problem(at, "access tokens need kind: user")
	}
}

// oidc looks at the files of an issuer, and at the issuers before it.
func (x crossChecks) oidc(n *yaml.Node, o *OIDC, earlier []Source) {
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
