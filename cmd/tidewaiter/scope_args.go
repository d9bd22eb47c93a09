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

// parseScopeArgs parses arguments that are actions and names (push prod/app) or scopes as registries write
// them. A name that is not a repository's has its type before it: registry:catalog, tidewaiter:accounts.
func parseScopeArgs(cmd *cobra.Command, args []string) ([]scope.Scope, []scope.Ignored, error) {
	texts := args
	if !strings.Contains(args[0], ":") {
		if err := checkActions(cmd, args[0]); err != nil {
			return nil, nil, err
		}
		if len(args) < 2 {
			return nil, nil, usageErrorf(cmd, "missing repository, as in %s team/app", args[0])
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
		return nil, nil, usageErrorf(cmd, "%v", err)
	}
	if len(asked) == 0 {
		return nil, nil, usageErrorf(cmd, "%s is not a scope: %s", ignored[0].Text, ignored[0].Reason)
	}
	return asked, ignored, nil
}

// typed reports whether the name begins with a type. A repository's name has a colon only in its host.
func typed(name string) bool {
	kind, rest, ok := strings.Cut(name, ":")
	return ok && (!strings.Contains(rest, "/") || slices.Contains([]string{scope.TypeRepository, scope.TypeRegistry, scope.TypeTidewaiter}, kind))
}

// checkActions returns a usage error if the word is not a list of actions.
func checkActions(cmd *cobra.Command, word string) error {
	for name := range strings.SplitSeq(word, ",") {
		if _, known := scope.ParseAction(name); known {
			continue
		}
		suggestion := ""
		if near := text.Nearest(name, []string{"pull", "push", "delete", "read", "write"}); near != "" {
			suggestion = fmt.Sprintf(" (did you mean %q?)", near)
		}
		return usageErrorf(cmd, "%q is not an action%s: use pull, push, delete or * for all, or a scope such as repository:team/app:pull", name, suggestion)
	}
	return nil
}

func chooseRegistry(cmd *cobra.Command, cfg *config.Config, named string) (string, error) {
	names := services(cfg)
	switch {
	case named == "" && len(names) == 1:
		return names[0], nil
	case named == "":
		return "", usageErrorf(cmd, "there are several registries: choose one with --registry: %s", strings.Join(names, ", "))
	case !slices.Contains(names, named):
		return "", fmt.Errorf("no registry in %s has the service %q; the config has %s", cfg.File, named, strings.Join(names, ", "))
	}
	return named, nil
}

func registryFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("registry", "", "the registry's service `name` (default: the only one)")
}

func filesOnlyFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("files-only", false, "ignore the rules in the database and of namespaces")
}

// activePolicy returns the policy that a service with this config uses: the rules of files, database and
// namespaces, or of files alone.
func activePolicy(ctx context.Context, cfg *config.Config, filesOnly bool) (*policy.Policy, error) {
	if filesOnly {
		return app.PolicyOfFiles(ctx, cfg)
	}
	p, err := app.Policy(ctx, cfg)
	return p, hintFilesOnly(err)
}

// hintFilesOnly adds to an error of the database that --files-only works without it.
func hintFilesOnly(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (use --files-only to ignore the rules in the database)", err)
}
