package main

import (
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/doctor"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

func checkCommand() command {
	return command{
		use:   "check",
		short: "Check a config, its policy and the files that they name",
		long: `Check a config, its policy, and the certificates and password files that they
name. Prints each error with its place and exits 1 if there is one. No port is opened and no
database is changed.

A SQLite database is checked for damage, and for having disappeared. Each directory is asked how
many wrong passwords lock an account, and a warning is printed unless ldap.attempts is below that
number. --database also checks the rules in the database and reports where files contradict them.

--files-only opens no database, asks no directory, and lists the checks that it leaves out. Keys,
secrets and password files that the config names are read.`,
		example: `  tidewaiter check --config tidewaiter.yaml && kill -HUP "$(pidof tidewaiter)"
  tidewaiter check --files-only`,
		config: true,
		output: true,
		flags: func(f *flags) action {
			f.oneOf("database", "files-only")
			database := f.Bool("database", false, "also read the rules in the database and report where files contradict them")
			filesOnly := f.Bool("files-only", false, "open no database, ask no directory, and list what is left out")
			return func(s *session) error {
				result, err := s.check(*database, *filesOnly)
				if err != nil {
					return err
				}
				return s.printChecked(result)
			}
		},
	}
}

// checked is the result of check.
type checked struct {
	Good     bool                `json:"good"`
	Problems strictyaml.Problems `json:"problems"`
	Warnings strictyaml.Problems `json:"warnings"`
	LeftOut  []string            `json:"left_out,omitempty"` // with --files-only
}

func (s *session) check(database, filesOnly bool) (_ *checked, err error) {
	// Empty lists, because null in JSON would be harder to read for programs.
	result := &checked{Problems: strictyaml.Problems{}, Warnings: strictyaml.Problems{}}
	var r doctor.Report
	s.cfg, err = config.Load(s.file, config.Options{Keys: s.keys, ClaimUses: true})
	if err == nil {
		r, err = doctor.Check(s.ctx, s.cfg, doctor.Options{FilesOnly: filesOnly, Database: database, Now: clock.Now()})
	} else if errors.As(err, &r.Errors) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if filesOnly {
		result.LeftOut = doctor.LeftOut()
	}
	result.Good = len(r.Errors) == 0
	result.Problems, result.Warnings = append(result.Problems, r.Errors...), append(result.Warnings, r.Warnings...)
	return result, nil
}

func (s *session) printChecked(c *checked) error {
	if s.json() {
		if err := s.writeJSON(c); err != nil {
			return err
		}
	} else {
		printProblems(s.errs, c.Problems)
		for i := range c.Warnings {
			c.Warnings[i].Text = "warning: " + c.Warnings[i].Text
		}
		printProblems(s.errs, c.Warnings)
		for _, check := range c.LeftOut {
			s.note("left out: %s", check)
		}
	}
	switch {
	case !c.Good:
		return errReported
	case s.json():
		return nil
	}
	return s.print(nil, "%s %s: %s, %s, %s", s.file, painted(s.out).green("is valid"),
		count(len(s.cfg.Registries), "registry", "registries"), count(len(s.cfg.Identity), "source", "sources"),
		count(s.cfg.Policy.Len(), "rule", "rules"))
}
