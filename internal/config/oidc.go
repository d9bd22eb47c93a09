package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// OIDC is an issuer of ID tokens. Package oidc checks the URLs, templates and patterns. For the
// errors of package oidc, Place returns the positions.
type OIDC struct {
	Name     string // without "oidc:"
	Preset   string
	Issuer   string // "": the preset's
	Audience []string

	JWKSURL, JWKSFile string
	CA                string // PEM file; "": the certificates of the system
	TokenFile         string

	Algorithms []string
	MaxAge     time.Duration // 0: the preset's, or 24h
	Kind       string        // workload (default), user

	// AccessTokensAfterSignIn is the time for which access tokens of users work after the users'
	// newest sign-in. If it is 0, these users have no access tokens.
	AccessTokensAfterSignIn time.Duration

	Principal string
	Groups    []string
	Claims    []string
	Require   map[string][]string

	locatedSection
}

func oidcKeys() []*strictyaml.Key[OIDC] {
	return []*strictyaml.Key[OIDC]{
		strictyaml.On("name", sourceName(), func(o *OIDC, v string) { o.Name = v }).Must().
			Says("The name of this issuer. Its principals have the source `oidc:NAME`."),
		strictyaml.On("preset", oneOf("github-actions", "gitlab-ci", "kubernetes", "buildkite", "spiffe"), func(o *OIDC, v string) { o.Preset = v }).
			Says("A known kind of issuer. The preset sets the defaults of `issuer`, `principal`, `groups` and `claims`. [CI and workload identity](ci/README.md) has a page for each preset."),
		strictyaml.On("issuer", strictyaml.Line, func(o *OIDC, v string) { o.Issuer = v }).
			Says("The issuer, exactly as in the tokens' `iss`: an https URL. With `jwks_url` or `jwks_file`, the issuer can be any text, such as `api` or `kubernetes/serviceaccount`. Required if the preset has none."),
		strictyaml.On("audience", texts(), func(o *OIDC, v []string) { o.Audience = v }).Must().
			Says("The audience that tokens must have (`aud`): one audience or a list. If a token also has another audience, it is refused. `public_url` is a good value. Do not use the issuer's default audience, because jobs send tokens with the default audience to other services, too."),
		strictyaml.On("jwks_url", strictyaml.Line, func(o *OIDC, v string) { o.JWKSURL = v }).
			Says("The URL of the issuer's keys, as a JWKS. By default, the URL is read from the issuer's `/.well-known/openid-configuration`."),
		strictyaml.On("jwks_file", strictyaml.FilePath("file"), func(o *OIDC, v string) { o.JWKSFile = v }).
			Says("A file with the issuer's keys, as a JWKS, if the issuer cannot be reached. The file is read again when it changes."),
		strictyaml.On("ca", strictyaml.FilePath("file"), func(o *OIDC, v string) { o.CA = v }).
			Says("A PEM file with the CA certificates to verify the issuer. The default is the system's CA certificates."),
		strictyaml.On("token_file", strictyaml.FilePath("file"), func(o *OIDC, v string) { o.TokenFile = v }).
			Says("A file with a bearer token for fetching the issuer's keys. A Kubernetes API server requires such a token. The file is read at each fetch."),
		strictyaml.On("algorithms", strictyaml.List(oneOf("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")), func(o *OIDC, v []string) { o.Algorithms = v }).
			Says("The accepted signature algorithms. The default is all of these. A key is used only with the algorithms for its type."),
		strictyaml.On("max_age", duration(time.Minute, 400*24*time.Hour), func(o *OIDC, v time.Duration) { o.MaxAge = v }).
			Says("The maximum age of a token. An older token is refused, even if its `exp` is later. The default is `24h`, or `25h` with the preset `kubernetes`."),
		strictyaml.On("kind", oneOf("workload", "user"), func(o *OIDC, v string) { o.Kind = v }).Or("workload").
			Says("The kind of principals: `workload:NAME` or `user:NAME` in rules. Only users have a `${user}`."),
		strictyaml.On("access_tokens_after_sign_in", duration(0, 400*24*time.Hour), func(o *OIDC, v time.Duration) { o.AccessTokensAfterSignIn = v }).Or("720h").
			Says("With `kind: user`: how long an access token works after its owner's newest sign-in with an ID token. During this time, the access token has the groups and claims of that sign-in. After this time, it is refused until its owner signs in again. The default is 30 days. With `0s`, users of this issuer have no access tokens. Access tokens need `accounts` among the sources."),
		strictyaml.On("principal", strictyaml.Line, func(o *OIDC, v string) { o.Principal = v }).
			Says("The name of a principal, with claims in braces: `github:{repository}`. `{/kubernetes.io/namespace}` is a claim inside another claim. The default is that of the preset, or `{sub}`."),
		strictyaml.On("groups", strictyaml.List(strictyaml.Line), func(o *OIDC, v []string) { o.Groups = v }).
			Says("The groups of a principal, in the same form as `principal`. If a claim is a list or an object, as in `{groups}`, each item of the list or each key of the object is a group. Use a prefix, as in `sso:{groups}`. Without a prefix, the issuer can make users administrators of Tidewaiter. If the token does not have a claim in the template of a group, the group is left out. The default is that of the preset, or no groups."),
		strictyaml.On("claims", strictyaml.List(strictyaml.Line), func(o *OIDC, v []string) { o.Claims = v }).
			Says("Claims for `${claims.NAME}` in rules, and for the journal. Each is a name, or a path such as `/kubernetes.io/namespace`. The claim of a path gets the final part of the path as its name, here `namespace`. To choose another name, write `NAME=` before the name or the path. The default is that of the preset, or no claims."),
		strictyaml.On("require", strictyaml.Map(texts()), func(o *OIDC, v map[string][]string) { o.Require = v }).
			Says("Claims that a token must have, each with a value or a list of accepted values. `*` matches any text without a slash, `**` any text. All listed claims must match. For a public issuer, `require` is necessary, with a pattern that does not match the values of all users of the issuer."),
	}
}

// texts is a text or a list of texts.
func texts() strictyaml.Type[[]string] { return oneOrMore(strictyaml.Line) }

func checkOIDC(d *strictyaml.Decoder, n *yaml.Node, o *OIDC) {
	o.node = n
	if at := strictyaml.At(n, "access_tokens_after_sign_in"); at != n && o.Kind == "workload" {
		d.Problem(at, "access tokens need kind: user")
	}
}

// oidc checks the files of an issuer. It reports an error if an earlier source accepts the same
// tokens, because Tidewaiter would then never use this issuer.
func (x crossChecks) oidc(n *yaml.Node, o *OIDC, earlier []Source) {
	x.checkReadable(strictyaml.At(n, "ca"), o.CA, false)
	x.checkReadable(strictyaml.At(n, "jwks_file"), o.JWKSFile, false)
	x.checkReadable(strictyaml.At(n, "token_file"), o.TokenFile, true)
	for _, s := range earlier {
		if s.OIDC == nil || s.OIDC.Issuer != o.Issuer || o.Issuer == "" && s.OIDC.Preset != o.Preset {
			continue
		}
		for i, audience := range o.Audience {
			if slices.Contains(s.OIDC.Audience, audience) {
				x.d.Problem(strictyaml.At(n, "audience", i), "the issuer in line %d has the same tokens and audience, so this one is never asked", s.Line)
			}
		}
	}
}
