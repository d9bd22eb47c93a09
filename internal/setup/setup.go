// Package setup creates a first working configuration.
//
// Write creates a folder with everything that Tidewaiter needs to serve: a config with a policy, a
// signing root, one account with a random password, the secret for the registry's events, and the
// registry's config. Write never overwrites a file. A second call creates only the missing files,
// so an interrupted Write can be repeated.
package setup

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// The files that Write creates, by their path in the folder. The service creates the database.
const (
	Config         = "tidewaiter.yaml"
	Certificate    = "keys/" + certificateName
	Key            = "keys/" + keyName
	RootBundle     = "tidewaiter.pem" // a copy of Certificate that the registry's user may read
	Users          = "users.htpasswd"
	Notifications  = "notifications.secret"
	RegistryConfig = "registry-config.yml"
	RegistryEnv    = "registry.env"
	ZotConfig      = "zot-config.json" // instead of RegistryConfig, RegistryEnv and Notifications
)

// Zot is the preset for the registry zot.
const Zot = "zot"

// Admin is the default name of the administrator.
const Admin = "admin"

// Issuer is the issuer of tokens in the written config and in the registry's config.
const Issuer = "tidewaiter"

// Options describe the set-up. The zero value is a trial on one machine: a registry at
// localhost:5000 and Tidewaiter at localhost:5001.
type Options struct {
	Preset string // the kind of registry: Zot, or "" for distribution's
	// Service is the registry's service name: the host, and the port if it is not 443. The default
	// is localhost:5000.
	Service string
	// PublicURL is the URL at which clients and the registry reach Tidewaiter. The default is
	// http://localhost:5001, or the next port that the registry does not use.
	PublicURL string
	// Listen is the address to listen on. If PublicURL is on this machine, or if there is a TLS
	// certificate, the default is derived from PublicURL. Otherwise it is localhost:5001.
	Listen string

	// RegistryConfig is the config file of an existing registry. Write reads the service and the
	// users from this file. Write does not change this file. It creates a copy in which auth and
	// notifications are set.
	RegistryConfig string
	// RegistryUsers is the registry's password file. The default is the file that auth.htpasswd
	// in RegistryConfig names.
	RegistryUsers string

	Admin string // the administrator; default: "admin"

	Database string // its path is relative to the folder; default: sqlite:data/state.db

	// TLSCertificate and TLSKey are PEM files, relative to the folder. Without them, Tidewaiter
	// serves plain HTTP, for a proxy that terminates TLS, or for localhost.
	TLSCertificate, TLSKey string

	// Private hides a new folder from other users of the machine. If Private is not set, other
	// users can enter the folder, so that the registry's user can read RootBundle. In both cases,
	// only the owner can read secret files.
	Private bool

	Now func() time.Time // nil: time.Now
}

// File is one file of a set-up.
type File struct {
	Path string `json:"path"`    // relative to the folder, with slashes
	What string `json:"what"`    // a short description
	Made bool   `json:"created"` // false: the file existed and was not changed
}

// Result describes the set-up after Write.
type Result struct {
	Dir      string          `json:"dir"`   // absolute
	Files    []File          `json:"files"` // in the order of their creation
	Service  string          `json:"service"`
	Listen   string          `json:"-"`             // the address to listen on
	Realm    string          `json:"realm"`         // the URL of the token endpoint
	Events   string          `json:"notifications"` // where the registry posts its events
	Admin    string          `json:"account"`
	Password identity.Secret `json:"-"`     // password of Admin; empty if Admin existed already
	Login    string          `json:"login"` // the address for docker login
	Notes    []string        `json:"notes"` // notes for the operator, of one or two sentences
}

// ErrTaken means that a file exists, perhaps because another process has just created it.
var ErrTaken = errors.New("it exists already")

// Path returns the absolute path of one of the files.
func (r Result) Path(name string) string { return filepath.Join(r.Dir, filepath.FromSlash(name)) }

// Write creates the missing files in dir, and dir itself. Only their owner can read the files,
// except RootBundle. Each file appears complete or not at all. An error names the file that could
// not be created. Files that were created before the error stay, and the next Write uses them.
func Write(dir string, o Options) (Result, error) {
	p, err := o.plan()
	if err != nil {
		return Result{}, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Result{}, fmt.Errorf("setting up %s: %w", dir, err)
	}
	p.Now = clock.Wall(o.Now)
	w := &writer{plan: p, Result: Result{
		Dir: dir, Service: p.Service, Listen: p.Listen, Realm: p.Realm, Events: p.Events, Admin: p.Admin, Login: p.Login,
	}}
	if err := w.write(); err != nil {
		return Result{}, fmt.Errorf("setting up %s: %w", dir, err)
	}
	return w.Result, nil
}
