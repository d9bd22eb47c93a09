// Package setup answers: what does a newcomer need to begin?
//
// Write makes a folder from which Tidewaiter can serve at once: a config with a policy in it, a root
// that signs, one account with a password of its own, the secret with which the registry reports, and
// what has to be told to the registry. Nothing is ever overwritten: a second Write keeps what is there and
// completes what is missing, so that one that was interrupted can be repeated.
package setup

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// The files that Write makes, by their path in its folder. State is made by the service itself.
const (
	Config         = "tidewaiter.yaml"
	Certificate    = "keys/" + certificateName
	Key            = "keys/" + keyName
	RootBundle     = "tidewaiter.pem" // a copy of Certificate that the registry's user may read
	Users          = "users.htpasswd"
	Notifications  = "notifications.secret"
	RegistryConfig = "registry-config.yml"
	RegistryEnv    = "registry.env"
	ZotConfig      = "zot-config.json" // in place of the two before, and of Notifications
)

// Zot is the preset for the registry zot.
const Zot = "zot"

// Admin is the default name of the administrator.
const Admin = "admin"

// Issuer is the name in tokens that the written config and the registry's agree on.
const Issuer = "tidewaiter"

// Options say what is set up. The zero value is a trial on one machine: a registry at localhost:5000,
// and Tidewaiter beside it at localhost:5001.
type Options struct {
	Preset    string // what the registry is: Zot, or "" for distribution's
	Service   string // the registry's service name: its host, and its port if that is not 443; default localhost:5000
	PublicURL string // where clients and the registry reach Tidewaiter; default http://localhost:5001, or the next port that the registry does not listen at
	Listen    string // the address that is listened at; default: PublicURL's if it is on this machine or has a TLS certificate, else localhost:5001

	// RegistryConfig is the config file of a registry that exists. Service and the users come from it where
	// it has them, and RegistryConfig in the folder is that file, with auth and notifications set.
	RegistryConfig string
	// RegistryUsers is its password file; default: the one that RegistryConfig names in auth.htpasswd.
	RegistryUsers string

	Admin string // who may do everything; default "admin"

	Database string // where the state is kept, relative to the folder; default sqlite:data/state.db

	// TLSCertificate and TLSKey are PEM files, relative to the folder. Without them Listen is plain HTTP, for
	// a proxy that ends TLS, or for localhost.
	TLSCertificate, TLSKey string

	// Private closes a new folder to other users of the machine. Otherwise they may enter it, so that the
	// registry's user can read RootBundle; what is secret is closed to them either way.
	Private bool

	Now func() time.Time // nil: time.Now
}

// File is one file of a set-up.
type File struct {
	Path string // in the folder, with slashes
	What string // in a few words
	Made bool   // false: it was there and is as it was
}

// Result is what there is after Write.
type Result struct {
	Dir      string // absolute
	Files    []File // in the order in which they were made
	Service  string
	Listen   string // the address that is listened at
	Realm    string // the token endpoint, as clients know it
	Events   string // where the registry posts its events
	Admin    string
	Password Secret   // of Admin; nil if Admin was there already: it is known once
	Login    string   // the address for docker login
	Notes    []string // what the operator should know, each a sentence or two
}

// Secret hands out a secret text when it is called. A function prints as nothing, whoever prints it.
type Secret func() string

// Reveal returns the secret; "" if there is none.
func (s Secret) Reveal() string {
	if s == nil {
		return ""
	}
	return s()
}

// ErrTaken means that somebody else made one of the files at the same moment.
var ErrTaken = errors.New("somebody else has just made it")

// Path returns the absolute path of one of the files.
func (r Result) Path(name string) string { return filepath.Join(r.Dir, filepath.FromSlash(name)) }

// Write makes what is missing in dir, and dir itself. All files are for their owner alone, and each
// appears whole or not at all. The error names the file; what was made before it stays, and serves the next try.
func Write(dir string, o Options) (Result, error) {
	p, err := o.plan()
	if err != nil {
		return Result{}, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Result{}, fmt.Errorf("setting up %s: %w", dir, err)
	}
	w := &writer{dir: dir, plan: p, now: clock.Wall(o.Now), registry: p.registry, private: o.Private}
	if err := w.write(); err != nil {
		return Result{}, fmt.Errorf("setting up %s: %w", dir, err)
	}
	return Result{
		Dir: dir, Files: w.files,
		Service: p.Service, Listen: p.Listen, Realm: p.Realm, Events: p.Events,
		Admin: p.Admin, Password: w.password, Login: p.Login, Notes: w.notes,
	}, nil
}
