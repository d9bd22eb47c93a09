package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a config, its policy and the files that they name",
		Long: `Check a config, its policy, and the certificates and password files that they name. Prints each error
with its place and exits 1 if there is one. No port is opened and no database is changed.

A SQLite database is checked for damage, and whether it has disappeared. Directories
are asked after how many wrong passwords they lock an account; check warns if ldap.attempts is not
below that. --database also checks the rules in the database and reports where files contradict
them.

--files-only opens no database, asks no directory, and lists the checks that it leaves out. Keys,
secrets and password files that the config names are read.`,
		Example: `  tidewaiter check --config tidewaiter.yaml && kill -HUP "$(pidof tidewaiter)"
  tidewaiter check --files-only`,
	}
	source := configFlags(cmd)
	output := outputFlag(cmd)
	database := cmd.Flags().Bool("database", false, "also read the rules in the database and report where files contradict them")
	filesOnly := cmd.Flags().Bool("files-only", false, "open no database, ask no directory, and list what is left out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *filesOnly && *database {
			return usageErrorf(cmd, "--database and --files-only cannot be combined")
		}
		cfg, err := config.Load(source.file, config.Options{Keys: source.keys, ClaimUses: true})
		var wrong, warnings config.Problems
		var leftOut []string
		if *filesOnly {
			leftOut = app.LeftOut()
		}
		switch {
		case err == nil:
			wrong, warnings = app.Check(cfg, clock.Now())
			warnings = slices.Concat(cfg.Warnings, warnings)
			if *filesOnly {
				break
			}
			warnings = slices.Concat(warnings, app.CheckDuplicateNames(cmd.Context(), cfg), app.CheckDirectories(cmd.Context(), cfg), app.CheckCredentials(cmd.Context(), cfg))
			wrong = append(wrong, app.CheckDatabase(cmd.Context(), cfg)...)
			if *database {
				contradictions, err := app.CheckState(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				wrong = append(wrong, contradictions...)
			}
		case !errors.As(err, &wrong):
			return err
		}
		if *output == asJSON {
			if err := writeJSON(cmd.OutOrStdout(), checked(wrong, warnings, leftOut)); err != nil {
				return err
			}
		} else {
			tell(cmd.ErrOrStderr(), wrong)
			for i := range warnings {
				warnings[i].Text = "warning: " + warnings[i].Text
			}
			tell(cmd.ErrOrStderr(), warnings)
			for _, what := range leftOut {
				fmt.Fprintf(cmd.ErrOrStderr(), "left out: %s\n", what)
			}
		}
		if len(wrong) > 0 {
			return errReported
		}
		if *output == asText {
			p := painted(cmd.OutOrStdout())
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s, %s, %s\n", source.file, p.green("is valid"),
				count(len(cfg.Registries), "registry", "registries"), count(len(cfg.Identity), "source", "sources"),
				count(cfg.Policy.Len(), "rule", "rules"))
		}
		return nil
	}
	return cmd
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// found is the JSON form of a problem.
type found struct {
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Text       string `json:"text"`
	Suggestion string `json:"suggestion,omitempty"`
}

func checked(wrong, warnings config.Problems, leftOut []string) any {
	list := func(problems config.Problems) []found {
		l := make([]found, len(problems))
		for i, p := range problems {
			l[i] = found(p)
		}
		return l
	}
	return struct {
		Good     bool     `json:"good"`
		Problems []found  `json:"problems"`
		Warnings []found  `json:"warnings"`
		LeftOut  []string `json:"left_out,omitempty"` // with --files-only
	}{len(wrong) == 0, list(wrong), list(warnings), leftOut}
}

// highlight colours a problem and its line: the place bold, the caret red.
func highlight(text string, p paint) string {
	lines := strings.Split(text, "\n")
	if place, rest, ok := strings.Cut(lines[0], ": "); ok {
		lines[0] = p.bold(place+":") + " " + rest
	}
	if last := len(lines) - 1; last >= 2 {
		lines[last] = p.red(lines[last])
	}
	return strings.Join(lines, "\n")
}
