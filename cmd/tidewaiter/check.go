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
		short: "Check a config, its policy and the files that the config names",
		long: `Check a config, its policy, and the certificates and password files that the config
names. Prints each error with its place, and exits 1 if there is an error. No port is opened and
no database is changed. While the config and its policy have errors, only these errors are
printed, because the other checks need a valid config.

For a SQLite database, checks that the file still exists and is not damaged. Each LDAP directory
is asked how many wrong passwords lock an account, and a warning is printed if ldap.attempts
is not below that number. --database also checks the rules in the database and reports where files
contradict them.

--files-only opens no database, asks no directory, and lists the checks that it leaves out. Keys,
secrets and password files that the config names are read.`,
		example: `  tidewaiter check --config tidewaiter.yaml && kill -HUP "$(pidof tidewaiter)"
  tidewaiter check --files-only`,
		config: true,
		output: true,
		flags: func(f *flags) action {
			f.oneOf("database", "files-only")
			database := f.Bool("database", false, "also read the rules in the database and report where files contradict them")
			filesOnly := f.Bool("files-only", false, "open no database, ask no directory, and list the checks that are left out")
			return func(s *session) error {
				return s.check(*database, *filesOnly)
			}
		},
	}
}

func (s *session) check(database, filesOnly bool) (err error) {
	var r doctor.Report
	s.cfg, err = config.Load(s.file, config.Options{Keys: s.keys, ClaimUses: true})
	if err == nil {
		r, err = doctor.Check(s.ctx, s.cfg, doctor.Options{FilesOnly: filesOnly, Database: database, Now: clock.Now()})
	} else if errors.As(err, &r.Errors) {
		err = nil
	}
	if err != nil {
		return err
	}
	var leftOut []string
	if filesOnly {
		leftOut = doctor.LeftOut()
	}
	good := len(r.Errors) == 0
	if s.printsJSON() {
		// An empty list must be [] in JSON, not null.
		r.Errors, r.Warnings = append(strictyaml.Problems{}, r.Errors...), append(strictyaml.Problems{}, r.Warnings...)
		err = s.writeJSON(struct {
			Good bool `json:"valid"`
			doctor.Report
			LeftOut []string `json:"left_out,omitempty"` // with --files-only
		}{good, r, leftOut})
	} else {
		printProblems(s.errs, r.Errors)
		for i := range r.Warnings {
			r.Warnings[i].Text = "warning: " + r.Warnings[i].Text
		}
		printProblems(s.errs, r.Warnings)
		for _, check := range leftOut {
			s.printNote("left out: %s", check)
		}
	}
	switch {
	case err == nil && !good:
		return errReported
	case err != nil || s.printsJSON():
		return err
	}
	return s.print(nil, "%s %s: %s, %s, %s", s.file, paintFor(s.out).green("is valid"),
		count(len(s.cfg.Registries), "registry", "registries"), count(len(s.cfg.Identity), "source", "sources"),
		count(s.cfg.Policy.Len(), "rule", "rules"))
}
