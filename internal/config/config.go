// Package config reads the config of Tidewaiter: tidewaiter.yaml and the policy files that it
// names.
//
// [Load] returns typed values, or all errors at once with their positions. Every setting has a
// safe default. Tables in keys.go, and in the files of the identity sources, define the keys. The
// reference is generated from these tables.
package config

import (
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/token"
)

// Config is a tidewaiter.yaml with its policy files. Relative paths have been joined with the
// folder of the file that contains them.
type Config struct {
	File           string
	PublicURL      string // https://auth.example.com; "" if unknown
	Listen         []Listener
	Paths          paths
	Database       string // sqlite:///var/lib/tidewaiter/state.db
	Audit          string // BestEffort or Strict
	Journal        Journal
	Signing        Signing
	Token          Token
	Registries     []Registry
	Notifications  notifications
	Identity       []Source
	Authorizer     *Hook // nil: only the policy decides
	Webhooks       []webhook
	Limits         Limits
	TrustedProxies []netip.Prefix // proxies whose X-Forwarded-For is trusted
	Log            logging
	Watch          bool // read the files again when they change
	Warnings       strictyaml.Problems

	policyfile.Compiled // the policy of all files
}

// Values of settings that accept only certain words.
const (
	// Values of Config.Audit: how a token request is answered if its decision cannot be stored.
	BestEffort = "best-effort" // answer the request; count and log the loss
	Strict     = "strict"      // refuse it

	// Values of Listener.Serve.
	ServeToken         = "token"
	ServeNotifications = "notifications"
	ServeKeys          = "keys"
	ServeHealth        = "health"
	ServeMetrics       = "metrics"
	ServeAPI           = "api"

	// Values of Refusals: the answer to a client that is granted less than it needs.
	Explain       = "explain"       // a 403 with the reason, if the client prints reasons
	Specification = "specification" // always a token, even if it grants too little

	// Zot is a Registry.Preset.
	Zot = "zot"

	// RefusePlaces is a value of Limits.UnknownPlaces: after too many failures of a name, every
	// attempt from an unknown place is refused.
	RefusePlaces = "refuse"
)

// WithoutPolicy returns a copy without the rules. A service holds only this copy in memory,
// because the rules of a large policy need more memory than everything else.
func (c *Config) WithoutPolicy() *Config {
	lean := *c
	lean.Compiled = policyfile.Compiled{Files: c.Files}
	return &lean
}

// Listener is an address to listen on.
type Listener struct {
	Address string   // ":8443", "127.0.0.1:8080"
	TLS     *TLS     // nil: plain HTTP
	Serve   []string // default: all but metrics
}

// TLS is the certificate of a listener.
type TLS struct {
	Certificate, Key string // PEM files, read again when they change
	SelfSigned       bool   // generated at each start, for testing
}

// Types of sections whose names no other package needs.
type (
	paths = struct {
		Token, Notifications string
		TokenAliases         []string
	}
	notifications = struct{ Open bool } // anyone may post events, for demonstrations
	logging       = struct{ Level, Format string }
)

// Signing is the root that registries trust, and the keys below it.
type Signing struct {
	Certificate, Key string          // PEM files of the root
	Algorithm        token.Algorithm // default ES256
	LeafLifetime     time.Duration   // default 24h
	Direct           bool            // sign with the root itself
	SharedRoot       bool            // accept a root that has issued other certificates
	JournalKey       string          // file of the checkpoint key; default: in the folder of Key
}

// Token has the properties of tokens.
type Token struct {
	Issuer   string        // default "tidewaiter"
	Lifetime time.Duration // default 5m
	Reuse    bool          // default true: identical requests get the same token for a short time

	PushLifetime time.Duration // default 15m, or Lifetime if that is longer
	MaxLifetime  MaxLifetimes

	Anonymous      bool     // default true: the policy decides about clients without credentials
	Refusals       string   // Explain (default) or Specification
	ShowRules      bool     // name the rule in a refusal
	Hint           string   // text at the end of each refusal
	AllowedOrigins []string // origins of web pages that may request tokens
}

// MaxLifetimes are upper limits for the lifetime of tokens; 0 means no limit.
type MaxLifetimes struct {
	Anonymous, User, Robot, Workload time.Duration // for tokens of these principals
	Delete                           time.Duration // for tokens that can delete
}

// Registry is a registry that trusts Tidewaiter's tokens.
type Registry struct {
	Service       string
	URL           string
	CA            string          // a PEM file; "": the system's
	Plain         bool            // commands may call http:// on other machines
	KeyID         token.KeyID     // default x5c
	Algorithm     token.Algorithm // default Signing.Algorithm
	Lifetime      time.Duration   // default Token.Lifetime
	PushLifetime  time.Duration   // default Token.PushLifetime, or Lifetime if that is longer
	Refusals      string          // default Token.Refusals
	Preset        string          // Zot, or "" for distribution's registry
	IssuedAt      bool            // answers have issued_at
	Notifications identity.Secret // empty: accept events from this machine only
}

// DefaultLifetime returns the lifetime of tokens if the config does not set a lifetime. Tokens
// that can push are valid longer than others.
func (r *Registry) DefaultLifetime(push bool) time.Duration {
	switch {
	case !push:
		return defaultLifetime
	case r.Preset == Zot:
		return defaultZotPush
	}
	return defaultPush
}

// Limits limit failed sign-ins and connections.
type Limits struct {
	Throttle             bool          // default true
	MaxFailuresPerPair   int           // failures without a delay, per name and source; default 10
	MaxFailuresPerSource int           // failures without a delay, per source; default 100
	MaxDelay             time.Duration // default 5m
	UnknownPlaces        string        // slow (default) or RefusePlaces
	Connections          int           // maximum for each listener; default 4000
}
