// Package config answers: what did the administrator write?
//
// Load reads tidewaiter.yaml and the policy files that it names into typed values. It is strict:
// every mistake is a Problem with file, line and column and, where there is one, a suggestion, and all
// of them are found at once. Every setting has a default that is safe.
package config

import (
	"net/netip"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// Config is one tidewaiter.yaml with its policy files. Paths of files are as they are to be opened:
// a relative one counts from the folder of the file that names it.
type Config struct {
	File           string
	PublicURL      string // https://auth.example.com: what clients are sent to; "" if not said
	Listen         []Listener
	Paths          Paths
	Database       string // sqlite:///var/lib/tidewaiter/state.db
	Audit          Audit
	Signing        Signing
	Token          Token
	Registries     []Registry
	Notifications  Notifications
	Identity       []Source
	Policy         *policy.Policy
	Authorizer     *Hook         // nil: only the policy decides
	Rules          policy.Source // what Policy was compiled from
	Limits         Limits
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; none by default
	Log            Log
	Watch          bool     // whether the files are read again when they change
	Files          []string // all YAML files that were read, the config itself first
	Warnings       Problems // what is allowed, and probably not meant

	ClaimUses []ClaimUse // where rules need claims to be of some type, if Options asked for it

	subjects []Place // of each subject of each of Rules, one after the other
}

// WithoutPolicy returns a copy without the rules, for who keeps a config while it serves: of a large policy they take more
// memory than all else.
func (c *Config) WithoutPolicy() *Config {
	lean := *c
	lean.Rules, lean.Policy, lean.subjects = policy.Source{}, nil, nil
	return &lean
}

// Subjects yields each subject of each rule of the files, with where it is written there.
func (c *Config) Subjects(yield func(r *policy.Rule, subject string, at Place) bool) {
	places := c.subjects
	for i := range c.Rules.Rules {
		r := &c.Rules.Rules[i]
		for _, subject := range r.Subjects {
			at := Place{Line: r.Origin.Line}
			if len(places) > 0 { // else nobody read the rules
				at, places = places[0], places[1:]
			}
			if !yield(r, subject, at) {
				return
			}
		}
	}
}

// Listener is one address that is listened at.
type Listener struct {
	Address string // ":8443", "127.0.0.1:8080"
	TLS     *TLS   // nil: plain HTTP
	Serve   []Face // default: all but metrics
}

// Face is a part of what is served.
type Face string

// The faces.
const (
	FaceToken         Face = "token"
	FaceNotifications Face = "notifications"
	FaceKeys          Face = "keys"
	FaceHealth        Face = "health"
	FaceMetrics       Face = "metrics"
	FaceAPI           Face = "api"
)

// TLS is where a listener's certificate is from.
type TLS struct {
	Certificate, Key string // PEM files, read again when they change
	SelfSigned       bool   // made anew at each start: for testing
}

// Paths are the addresses that can be changed.
type Paths struct {
	Token         string   // default /token
	TokenAliases  []string // further ones
	Notifications string   // default /notifications
}

// Audit says what happens to a token request whose decision cannot be kept.
type Audit string

// The kinds of audit.
const (
	BestEffort Audit = "best-effort" // it is answered, and the loss is counted and logged
	Strict     Audit = "strict"      // it is answered only when its decision is on disk
)

// Signing is what signs.
type Signing struct {
	Certificate, Key string          // PEM files of the root; `folder:` means its cert.pem and privatekey.pem
	Algorithm        token.Algorithm // default ES256 for leaves
	LeafLifetime     time.Duration   // default 24h
	Direct           bool            // sign with the root itself, even where it could have leaves
	SharedRoot       bool            // it is meant that the root has other children
}

// Token is what tokens are like.
type Token struct {
	Issuer   string        // default "tidewaiter"
	Lifetime time.Duration // default 5m; 1m to 24h
	Reuse    bool          // default true: identical fresh answers share a signature

	PushLifetime time.Duration // default 15m, or Lifetime if that is longer
	MaxLifetime  MaxLifetimes

	Anonymous      bool     // default true: the policy judges who shows no name; false: they are asked to sign in
	Refusals       Refusals // default explain
	ShowRules      bool     // whether a refusal names the rule
	Hint           string   // how a refusal ends
	AllowedOrigins []string // whose pages may ask for tokens by JavaScript
}

// MaxLifetimes limit the lifetime of tokens, whatever else is configured. 0 means no limit.
type MaxLifetimes struct {
	Anonymous, User, Robot, Workload time.Duration // by who has them
	Delete                           time.Duration // those that can delete
}

// Refusals says what a client gets that is granted less than it needs.
type Refusals string

// The kinds of refusals.
const (
	Explain       Refusals = "explain"       // a 403 with the reason, if the client is known to show it
	Specification Refusals = "specification" // the token, always
)

// Registry is a registry that trusts us.
type Registry struct {
	Service       string
	URL           string
	KeyID         token.KeyID     // default x5c
	Algorithm     token.Algorithm // default Signing.Algorithm
	Lifetime      time.Duration   // default Token.Lifetime
	PushLifetime  time.Duration   // default Token.PushLifetime, or Lifetime if that is longer
	Refusals      Refusals        // default Token.Refusals
	Preset        Preset          // what the registry is, where it is not distribution's
	IssuedAt      bool            // answers say when the token was issued
	Notifications Secret          // nil: only loopback may post its events
}

// Preset is a kind of registry that needs other settings than distribution's.
type Preset string

// Zot is the registry zot.
const Zot Preset = "zot"

// Notifications is about the receiver of events.
type Notifications struct {
	Open bool // anybody may post: for demonstrations
}

// Source is one entry of identity. One field is set.
type Source struct {
	Accounts *Accounts
	Anyone   *Anyone
	HTPasswd *HTPasswd
	LDAP     *LDAP
	OIDC     *OIDC
	Webhook  *Hook
	Exec     *Hook
	Line     int // where it is written
}

// Anyone lets in any name with any password.
type Anyone struct{}

// HTPasswd is names and hashed passwords, in a file, or inline, or both.
type HTPasswd struct {
	Name    string // default "htpasswd"
	File    string
	Entries []string                       // "name:hash"
	Groups  map[string][]string            // group -> names
	Claims  map[string]map[string][]string // name -> claim -> values

	node *yaml.Node
}

// Log is how the log is written.
type Log struct {
	Level  string // debug, info (default), warn, error
	Format string // text (default), json
}
