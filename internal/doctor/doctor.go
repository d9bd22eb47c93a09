// Package doctor checks a whole installation: whether a service with this config would start, and
// whether it would work as the config describes.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/token"
)

// Options selects the checks.
type Options struct {
	FilesOnly bool // open no database and connect to nothing
	Database  bool // also read the rules in the database
	Now       time.Time
}

// Report is the result of the checks.
type Report struct {
	// Errors are the reasons why a service would not start, or why registries would reject its
	// tokens.
	Errors   strictyaml.Problems `json:"problems"`
	Warnings strictyaml.Problems `json:"warnings"` // allowed, but probably not intended
}

// Check checks a config, the files that it names, and the certificates, keys, identity sources,
// directories and database that it describes. Check does not listen, and changes nothing. If one
// of the checks could not be made, Check returns an error.
func Check(ctx context.Context, cfg *config.Config, o Options) (Report, error) {
	c := &checker{cfg: cfg, now: o.Now, Report: Report{Warnings: slices.Clone(cfg.Warnings)}}
	c.certificates()
	c.checkRoot()
	c.journalKey()
	set := c.buildSources()
	c.checkSubjects(set)
	c.checkShadow()
	c.checkClaims(set)
	if o.FilesOnly {
		return c.Report, nil
	}
	c.checkAccounts(ctx, set)
	c.checkDirectories(ctx, set)
	c.checkDatabase(ctx)
	if o.Database {
		if err := c.checkRules(ctx); err != nil {
			return Report{}, err
		}
	}
	return c.Report, nil
}

// LeftOut lists the checks that Check does not make if Options.FilesOnly is set.
func LeftOut() []string {
	return []string{
		"whether the database exists and is undamaged",
		"rules, roles and namespaces in the database, and conflicts with files",
		"accounts, robots and tokens: names that another source has too, and lifetimes that max_credential_lifetime shortens",
		"directories: whether ldap.attempts is below their lock threshold",
	}
}

// checker collects the results of one Check.
type checker struct {
	cfg *config.Config
	now time.Time
	Report
}

func (c *checker) problem(format string, args ...any) {
	c.Errors = append(c.Errors, strictyaml.Problem{File: c.cfg.File, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, strictyaml.Problem{File: c.cfg.File, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) certificates() {
	for _, l := range c.cfg.Listen {
		if l.TLS == nil || l.TLS.Certificate == "" {
			continue
		}
		pair, err := tls.LoadX509KeyPair(l.TLS.Certificate, l.TLS.Key)
		switch {
		case err != nil:
			c.problem("listening at %s: reading %s and %s: %v", l.Address, l.TLS.Certificate, l.TLS.Key, err)
		case c.now.After(pair.Leaf.NotAfter):
			c.problem("listening at %s: the certificate %s expired on %s", l.Address, l.TLS.Certificate, pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
		case c.now.Before(pair.Leaf.NotBefore):
			c.problem("listening at %s: the certificate %s is not valid before %s", l.Address, l.TLS.Certificate, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
		}
	}
}

// allRegistries is the number of versions of the registry that token.Problem distinguishes.
const allRegistries = 3

// checkRoot checks the root as registries would. A root that has other certificates under it is an
// error, because anyone with such a certificate can sign tokens. signing.shared_root allows such
// a root.
func (c *checker) checkRoot() {
	root, err := keyring.ReadRoot(c.cfg.Signing.Certificate, c.cfg.Signing.Key)
	if err != nil {
		c.problem("%v", err)
		return
	}
	forms := make(map[token.KeyID][]string)
	for _, r := range c.cfg.Registries {
		forms[r.KeyID] = append(forms[r.KeyID], r.Service)
	}
	reported := make(map[string]bool)
	for _, form := range token.KeyIDs() {
		if len(forms[form]) == 0 {
			continue
		}
		for _, p := range root.Problems(form, c.now) {
			shared := keyring.Shared(p)
			// The user has chosen a form of key ids that only some versions of the registry
			// accept.
			known := p.Kind == "key-id" && len(p.Refuse) < allRegistries
			if reported[p.Text] || known || shared && c.cfg.Signing.SharedRoot {
				continue
			}
			reported[p.Text] = true
			text := fmt.Sprintf("signing for %s with %s: %s: %s", strings.Join(forms[form], ", "), c.cfg.Signing.Certificate, p.Text, p.Hint)
			switch {
			case shared:
				c.problem("%s; to use it anyway, set signing.shared_root: true", text)
			case len(p.Refuse) == allRegistries:
				c.problem("%s", text)
			default:
				c.warn("%s", text)
			}
		}
	}
}

// journalKey checks the key that signs the journal's checkpoints. The first start creates this
// key.
func (c *checker) journalKey() {
	path := c.cfg.Signing.JournalKey
	_, err := notekey.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.problem("signing.journal_key: %v; until this is corrected, the journal's checkpoints are not signed", err)
	}
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		c.warn("signing.journal_key: all users of this machine can read %s or write to it: chmod o= %[1]s", path)
	}
}

// buildSources builds the identity sources and the authorizer as a service would.
func (c *checker) buildSources() *sources.Set {
	_, err := sources.Authorizer(c.cfg, sources.Options{})
	c.report(err)
	set, err := sources.Build(c.cfg, sources.Options{})
	c.report(err)
	for _, s := range set.Sources {
		c.Warnings = append(c.Warnings, s.Warnings...)
	}
	return set
}

func (c *checker) report(err error) {
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
		c.Errors = append(c.Errors, problems...)
	} else if err != nil {
		c.problem("%v", err)
	}
}
