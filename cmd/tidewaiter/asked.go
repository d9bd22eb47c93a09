package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// readAsked reads what is asked for: actions and names, as in push prod/app, or scopes as registries have them.
// A name of another type than a repository bears it: registry:catalog, tidewaiter:accounts.
func readAsked(cmd *cobra.Command, args []string) ([]scope.Scope, []scope.Ignored, error) {
	texts := args
	if !strings.Contains(args[0], ":") {
		if err := areActions(cmd, args[0]); err != nil {
			return nil, nil, err
		}
		if len(args) < 2 {
			return nil, nil, misused(cmd, "%s what? A repository is wanted, as in %s team/app", args[0], args[0])
		}
		texts = nil
		for _, name := range args[1:] {
			if !typed(name) {
				name = scope.TypeRepository + ":" + name
			}
			texts = append(texts, name+":"+args[0])
		}
	}
	asked, ignored, err := scope.Parse(texts)
	if err != nil {
		return nil, nil, misused(cmd, "%v", err)
	}
	if len(asked) == 0 {
		return nil, nil, misused(cmd, "%s is no scope: %s", ignored[0].Text, ignored[0].Reason)
	}
	return asked, ignored, nil
}

// typed reports whether the name bears its type. A repository's name has a colon only in a host before it.
func typed(name string) bool {
	kind, rest, ok := strings.Cut(name, ":")
	return ok && (!strings.Contains(rest, "/") || slices.Contains([]string{scope.TypeRepository, scope.TypeRegistry, scope.TypeTidewaiter}, kind))
}

// areActions says whether a word is actions.
func areActions(cmd *cobra.Command, word string) error {
	for name := range strings.SplitSeq(word, ",") {
		if _, known := scope.ParseAction(name); known {
			continue
		}
		suggestion := ""
		if near := text.Nearest(name, []string{"pull", "push", "delete", "read", "write"}); near != "" {
			suggestion = fmt.Sprintf(" (did you mean %q?)", near)
		}
		return misused(cmd, "%q is no action%s: there are pull, push, delete, and * for all; or a scope is wanted, as in repository:team/app:pull", name, suggestion)
	}
	return nil
}

func chooseRegistry(cmd *cobra.Command, cfg *config.Config, named string) (string, error) {
	names := services(cfg)
	switch {
	case named == "" && len(names) == 1:
		return names[0], nil
	case named == "":
		return "", misused(cmd, "which registry? --registry says it: %s", strings.Join(names, ", "))
	case !slices.Contains(names, named):
		return "", fmt.Errorf("no registry in %s has the service %q; there is %s", cfg.File, named, strings.Join(names, ", "))
	}
	return named, nil
}

func registryFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("registry", "", "the registry's service `name` (default: the only one there is)")
}

func filesOnlyFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("files-only", false, "leave out the rules of the database, and of namespaces")
}

// inForce returns the policy that a service with this config decides by: of files, database and namespaces; or of files alone.
func inForce(ctx context.Context, cfg *config.Config, filesOnly bool) (*policy.Policy, error) {
	if filesOnly {
		return app.PolicyOfFiles(ctx, cfg)
	}
	p, err := app.Policy(ctx, cfg)
	return p, canBeLeftOut(err)
}

// canBeLeftOut tells how to do without a database that cannot be read, or that contradicts the files.
func canBeLeftOut(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (--files-only leaves the rules of the database out)", err)
}
