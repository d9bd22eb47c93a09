package oidc

import "time"

// Preset is what an issuer is known to be like.
type Preset string

// The presets.
const (
	GitHubActions Preset = "github-actions"
	GitLabCI      Preset = "gitlab-ci"
	Kubernetes    Preset = "kubernetes"
	Buildkite     Preset = "buildkite"
	SPIFFE        Preset = "spiffe"
)

// preset fills in what Options leave empty.
type preset struct {
	issuer    string
	jwksURL   string // where the issuer is the preset's
	ca, token string // as is this
	principal string
	groups    []string
	claims    []string // texts, but for those in numbers
	texts     []string // others that the issuer is documented to write as texts, what numbers they may look like
	numbers   []string // claims that it writes as numbers
	maxAge    time.Duration
	number    string // claim with the issuer's own number of what has the name

	// shared is an issuer that makes tokens for everybody in the world, with whatever audience
	// they like; "*": any issuer. One of own must be required then.
	shared string
	own    []ownClaim
}

// Where a pod finds what it needs to ask the API server.
const (
	podCA    = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
	podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// presetOf returns a preset; false if there is none of that name. The zero preset is that of "".
//
// Names begin with the service, so that acme/app of one service is not acme/app of another.
func presetOf(name Preset) (preset, bool) {
	switch name {
	case "":
		return preset{}, true
	case GitHubActions:
		const issuer = "https://token.actions.githubusercontent.com"
		return preset{
			issuer: issuer, shared: issuer,
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
				{"sub", []string{"repo:?/…", "repo:?@?/…"}}, // with ids for repositories since 2026
			},
		}, true
	case GitLabCI:
		const issuer = "https://gitlab.com"
		return preset{
			issuer: issuer, shared: issuer,
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
			issuer: issuer, shared: issuer,
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
			// The discovery document of an API server often names an address that its certificate
			// is not for.
			jwksURL: "https://kubernetes.default.svc/openid/v1/jwks", ca: podCA, token: podToken,
			principal: "{sub}", // system:serviceaccount:NAMESPACE:NAME
			groups:    []string{"system:serviceaccounts:{/kubernetes.io/namespace}"},
			claims: []string{
				"namespace=/kubernetes.io/namespace",
				"service_account=/kubernetes.io/serviceaccount/name",
				"pod=/kubernetes.io/pod/name",
			},
			// A kubelet gives a pod a new token when the old one is a day old, a little late.
			maxAge: 25 * time.Hour,
			number: "/kubernetes.io/serviceaccount/uid",
		}, true
	case SPIFFE:
		return preset{
			principal: "{sub}", // spiffe://TRUST-DOMAIN/PATH
			shared:    "*",
			own:       []ownClaim{{"sub", []string{"spiffe://?/…"}}},
		}, true
	}
	return preset{}, false
}

// fill sets what o leaves empty. An issuer of one's own is asked at its own address.
func (o *Options) fill(p preset) {
	or := func(into *string, standard string) {
		if *into == "" {
			*into = standard
		}
	}
	if o.Issuer == "" && o.JWKSURL == "" && o.JWKSFile == "" {
		o.JWKSURL = p.jwksURL
		or(&o.CA, p.ca)
		or(&o.TokenFile, p.token)
	}
	or(&o.Issuer, p.issuer)
	or(&o.Principal, p.principal)
	or(&o.Principal, "{sub}")
	if o.Groups == nil {
		o.Groups = p.groups
	}
	if o.Claims == nil {
		o.Claims = p.claims
	}
	if o.MaxAge == 0 {
		o.MaxAge = p.maxAge
	}
	if o.MaxAge == 0 {
		o.MaxAge = 24 * time.Hour
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = Algorithms()
	}
}
