package oidc

import (
	"cmp"
	"time"
)

// Preset names a platform whose settings are known.
type Preset string

// The presets.
const (
	GitHubActions Preset = "github-actions"
	GitLabCI      Preset = "gitlab-ci"
	Kubernetes    Preset = "kubernetes"
	Buildkite     Preset = "buildkite"
	SPIFFE        Preset = "spiffe"
)

// preset has the values for empty fields of Options.
type preset struct {
	issuer    string
	jwksURL   string // used only with the preset's issuer
	ca, token string // used only with the preset's issuer
	principal string
	groups    []string
	claims    []string // the values are strings, except for claims in the field numbers
	// Other claims that the issuer documents as strings, even if their values look like numbers.
	texts   []string
	numbers []string // claims whose values the issuer writes as numbers
	maxAge  time.Duration
	number  string // claim with the issuer's own number for the principal

	// sharedIssuer is the URL of an issuer that issues tokens to anyone, with any audience. The
	// value "*" means any issuer. If the field is set, the config must require one of the claims
	// in the field own.
	sharedIssuer string
	own          []ownClaim
}

// Paths in a pod for requests to the API server.
const (
	podCA    = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
	podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// presetOf returns a preset, and reports whether the preset exists. The name "" means the zero
// preset.
//
// The names of principals begin with the platform, so acme/app of one platform is never
// acme/app of another.
func presetOf(name Preset) (preset, bool) {
	switch name {
	case "":
		return preset{}, true
	case GitHubActions:
		const issuer = "https://token.actions.githubusercontent.com"
		return preset{
			issuer: issuer, sharedIssuer: issuer,
			principal: "github:{repository}",
			groups: []string{
				"github:{repository_owner}",
				"github:{repository}:ref:{ref}",
				"github:{repository}:environment:{environment}",
			},
			claims: []string{
				"repository", "repository_id", "repository_owner", "repository_owner_id", "ref", "ref_type", "environment",
				"event_name", "workflow_ref", "job_workflow_ref", "actor", "sha", "run_id",
			},
			texts: []string{
				"run_attempt", "run_number", "actor_id", "base_ref", "head_ref", "ref_protected", "repository_visibility",
				"runner_environment", "workflow", "workflow_sha", "job_workflow_sha", "enterprise", "enterprise_id",
			},
			number: "repository_id",
			own: []ownClaim{
				{"repository_owner", []string{"?"}}, {"repository_owner_id", []string{"?"}},
				{"repository", []string{"?/…"}}, {"repository_id", []string{"?"}},
				{"enterprise", []string{"?"}}, {"enterprise_id", []string{"?"}},
				// Since 2026, repository names include ids.
				{"sub", []string{"repo:?/…", "repo:?@?/…"}},
			},
		}, true
	case GitLabCI:
		const issuer = "https://gitlab.com"
		return preset{
			issuer: issuer, sharedIssuer: issuer,
			principal: "gitlab:{project_path}",
			groups: []string{
				"gitlab:{namespace_path}",
				"gitlab:{project_path}:ref:{ref_path}",
				"gitlab:{project_path}:environment:{environment}",
			},
			claims: []string{
				"project_path", "project_id", "namespace_path", "namespace_id", "ref", "ref_type", "ref_path", "ref_protected",
				"environment", "environment_protected", "pipeline_source", "user_login", "sha", "pipeline_id", "job_id",
			},
			texts:   []string{"user_id", "user_email", "user_access_level", "deployment_tier", "project_visibility", "runner_environment", "ci_config_sha"},
			numbers: []string{"runner_id"},
			number:  "project_id",
			own: []ownClaim{
				{"namespace_path", []string{"?", "?/…"}}, {"namespace_id", []string{"?"}},
				{"project_path", []string{"?/…"}}, {"project_id", []string{"?"}},
				{"sub", []string{"project_path:?/…"}},
			},
		}, true
	case Buildkite:
		const issuer = "https://agent.buildkite.com"
		return preset{
			issuer: issuer, sharedIssuer: issuer,
			principal: "buildkite:{organization_slug}/{pipeline_slug}",
			groups: []string{
				"buildkite:{organization_slug}",
				"buildkite:{organization_slug}/{pipeline_slug}:branch:{build_branch}",
			},
			claims: []string{
				"organization_slug", "organization_id", "pipeline_slug", "pipeline_id", "build_branch", "build_tag", "build_commit",
				"build_number", "step_key", "job_id",
			},
			numbers: []string{"build_number"},
			number:  "pipeline_id",
			own: []ownClaim{
				{"organization_slug", []string{"?"}}, {"organization_id", []string{"?"}}, {"pipeline_id", []string{"?"}},
				{"sub", []string{"organization:?:…"}},
			},
		}, true
	case Kubernetes:
		return preset{
			issuer: "https://kubernetes.default.svc.cluster.local",
			// The discovery document of an API server often has an address that is not in the
			// server's certificate.
			jwksURL: "https://kubernetes.default.svc/openid/v1/jwks", ca: podCA, token: podToken,
			principal: "{sub}", // system:serviceaccount:NAMESPACE:NAME
			groups:    []string{"system:serviceaccounts:{/kubernetes.io/namespace}"},
			claims: []string{
				"namespace=/kubernetes.io/namespace",
				"service_account=/kubernetes.io/serviceaccount/name",
				"pod=/kubernetes.io/pod/name",
			},
			// A kubelet renews the token of a pod after a day, sometimes slightly later.
			maxAge: 25 * time.Hour,
			number: "/kubernetes.io/serviceaccount/uid",
		}, true
	case SPIFFE:
		return preset{
			principal:    "{sub}", // spiffe://TRUST-DOMAIN/PATH
			sharedIssuer: "*",
			own:          []ownClaim{{"sub", []string{"spiffe://?/…"}}},
		}, true
	}
	return preset{}, false
}

// fill sets empty fields of o. If the config has another issuer than the preset, the preset's
// addresses are not used.
func (o *Options) fill(p preset) {
	if o.Issuer == "" && o.JWKSURL == "" && o.JWKSFile == "" {
		o.JWKSURL = p.jwksURL
		o.CA, o.TokenFile = cmp.Or(o.CA, p.ca), cmp.Or(o.TokenFile, p.token)
	}
	o.Issuer = cmp.Or(o.Issuer, p.issuer)
	o.Principal = cmp.Or(o.Principal, p.principal, "{sub}")
	o.MaxAge = cmp.Or(o.MaxAge, p.maxAge, 24*time.Hour)
	if o.Groups == nil {
		o.Groups = p.groups
	}
	if o.Claims == nil {
		o.Claims = p.claims
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = Algorithms()
	}
}
