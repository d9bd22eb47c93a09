package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Manage personal access tokens and other credentials",
	}
	cmd.AddCommand(newTokenCreate(), newTokenList(), newTokenRevoke())
	return cmd
}

// ownerSelection has the flags that name the owner of tokens.
type ownerSelection struct{ user, robot, source string }

func ownerFlags(cmd *cobra.Command, robots bool) *ownerSelection {
	o := new(ownerSelection)
	cmd.Flags().StringVar(&o.user, "user", "", "the `name` of the user who owns it")
	if robots {
		cmd.Flags().StringVar(&o.robot, "robot", "", "the `name` of the robot that owns it")
	}
	cmd.Flags().StringVar(&o.source, "source", accounts.Source, "the identity `source` of the user, such as ldap:corp")
	return o
}

// check rejects combinations of flags that name no single owner.
func (o *ownerSelection) check(cmd *cobra.Command) error {
	switch {
	case o.user != "" && o.robot != "":
		return usageErrorf(cmd, "--user and --robot cannot be combined")
	case cmd.Flags().Changed("source") && o.user == "":
		return usageErrorf(cmd, "--source requires --user")
	}
	return hasKind(cmd, policy.User, o.user)
}

// owner returns the owner, or the zero Owner if none is named.
func (o *ownerSelection) owner() accounts.Owner {
	switch {
	case o.robot != "":
		return accounts.Owner{Kind: policy.Robot, Source: accounts.Source, Name: strings.TrimPrefix(o.robot, accounts.RobotPrefix)}
	case o.user != "":
		return accounts.Owner{Kind: policy.User, Source: o.source, Name: o.user}
	}
	return accounts.Owner{}
}

// hint adds the flags for other sources to an error about an unknown user.
func (o *ownerSelection) hint(err error, d accountSession) error {
	if !errors.Is(err, accounts.ErrNotFound) || o.user == "" {
		return err
	}
	if o.source != accounts.Source {
		if !slices.ContainsFunc(d.cfg.Identity, func(s config.Source) bool { return s.Name() == o.source }) {
			return fmt.Errorf("%w; the config has no source %q", err, o.source)
		}
		return err
	}
	var others []string
	for _, s := range d.cfg.Identity {
		if name := s.Name(); name != accounts.Source {
			others = append(others, "--source "+name)
		}
	}
	if len(others) == 0 {
		return err
	}
	return fmt.Errorf("%w; for a user of another source, use %s", err, strings.Join(others, " or "))
}

func newTokenCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --user NAME --name NAME",
		Short: "Create a personal access token and print it",
		Long: `Create a personal access token, which a user presents instead of a password, and print it. It is printed
only once, because only its hash is stored. Standard output has only the token.

The token has the rights that its owner has at the time of each use. Restrict it with --repositories
and --actions. Patterns are those of rules: * matches within one part of the path, ** any number of
parts.`,
		Example: `  tidewaiter token create --user alice --name laptop --expires 90d
  tidewaiter token create --user alice --name deploy --repositories team/** --actions pull
  tidewaiter token create --user bob --source ldap:corp --name ci --actions pull,push --output json | jq -r .secret`,
	}
	k := newAccountFlags(cmd)
	who := ownerFlags(cmd, false)
	name := cmd.Flags().String("name", "", "the `name` of the token, unique for its owner")
	var life lifetime
	cmd.Flags().Var(&life, "expires", "when the token expires, counted from now: 90d, 12h, never")
	repositories := cmd.Flags().StringSlice("repositories", nil, "restrict the token to repositories that match these `patterns` (default all)")
	actions := cmd.Flags().StringSlice("actions", nil, "restrict the token to these `actions`: pull, push, delete (default all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch err := who.check(cmd); {
		case err != nil:
			return err
		case who.user == "":
			return usageErrorf(cmd, "missing --user: name the owner of the token")
		case *name == "":
			return usageErrorf(cmd, "missing --name: name the token")
		}
		limits, err := limits(cmd, *repositories, *actions)
		if err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			t, secret, err := d.AddToken(ctx, d.by, accounts.NewToken{Owner: who.owner(), Name: *name, Limits: limits, Expires: life.until(clock.Now())})
			if err != nil {
				return who.hint(err, d)
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewToken(&t, secret))
			}
			return showSecret(cmd, secret.Reveal(), "created token %s of %s for %s, valid until %s; it is printed only once:",
				t.Name, text.Escape(t.Owner.String()), leaves(t.Limits), or(minute(t.Expires), "it is revoked"))
		})
	}
	return cmd
}

// limits returns the restrictions that the flags --repositories and --actions describe; nil without them.
func limits(cmd *cobra.Command, repositories, actions []string) ([]policy.Limit, error) {
	if !cmd.Flags().Changed("repositories") && !cmd.Flags().Changed("actions") {
		return nil, nil
	}
	limit := policy.Limit{Names: []string{"**"}, Actions: scope.Repository}
	if cmd.Flags().Changed("repositories") {
		limit.Names = repositories
	}
	if cmd.Flags().Changed("actions") {
		limit.Actions = 0
		for _, name := range actions {
			action, ok := scope.ParseAction(name)
			if !ok || !scope.Repository.Has(action) {
				return nil, usageErrorf(cmd, "--actions: %q is not one of pull, push, delete", name)
			}
			limit.Actions |= action
		}
	}
	if err := limit.Check(); err != nil {
		return nil, usageErrorf(cmd, "the token would grant nothing: %v", err)
	}
	return []policy.Limit{limit}, nil
}

func newTokenList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens with their owners and last use",
		Long: `List issued tokens, without their secrets: personal access tokens (access), secrets of robots (robot),
and what docker and others (refresh) and browsers (session) store in place of a password.`,
		Example: `  tidewaiter token list --user alice
  tidewaiter token list --output json | jq -r '.[] | select(.used == null) | .id'`,
	}
	k := newAccountFlags(cmd)
	who := ownerFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := who.check(cmd); err != nil {
			return err
		}
		return k.read(cmd, func(ctx context.Context, d accountSession) error {
			return who.hint(printList(cmd, *k.output,
				func(p accounts.Page) ([]accounts.Token, string, error) { return d.Tokens(ctx, d.by, who.owner(), p) },
				func(t *accounts.Token) api.Token { return api.NewToken(t, identity.Secret{}) },
				[]string{"ID", "USE", "OWNER", "NAME", "FOR", "EXPIRES", "LAST USED"},
				tokenRow), d)
		})
	}
	return cmd
}

// tokenRow returns a token as a row of a table.
func tokenRow(t *accounts.Token) []string {
	used := or(minute(t.Used), "never")
	if t.From.IsValid() {
		used += " from " + t.From.String()
	}
	what := leaves(t.Limits)
	if t.Registry != "" {
		what += " at " + text.Escape(t.Registry)
	}
	return []string{t.ID, string(t.Use), text.Escape(t.Owner.String()), text.Escape(or(t.Name, or(t.Client, "-"))), what, or(minute(t.Expires), "never"), used}
}

// leaves describes what a token with restrictions is for.
func leaves(limits []policy.Limit) string {
	if len(limits) == 0 {
		return "all that its owner may do"
	}
	parts := make([]string, len(limits))
	for i, l := range limits {
		parts[i] = text.Escape(l.String())
	}
	return strings.Join(parts, "; ")
}

func newTokenRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke {ID... | --user NAME | --robot NAME}",
		Short: "Revoke tokens",
		Long: `Revoke tokens by their ids, or all tokens of an owner, or only those of one use: access, robot, refresh or
session. They stop working within two seconds. This cannot be undone.`,
		Example: `  tidewaiter token revoke 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b
  tidewaiter token revoke --user alice --use refresh`,
		Args: cobra.ArbitraryArgs,
	}
	k := newAccountFlags(cmd)
	who := ownerFlags(cmd, true)
	use := newChoice("", []accounts.Use{accounts.Access, accounts.Robot, accounts.Refresh, accounts.Session})
	cmd.Flags().Var(use, "use", "only tokens of this use (default all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		owner := who.owner()
		switch err := who.check(cmd); {
		case err != nil:
			return err
		case len(args) == 0 && owner == accounts.Owner{}:
			return usageErrorf(cmd, "name the tokens: give their ids, or --user or --robot")
		case len(args) > 0 && owner != accounts.Owner{}, len(args) > 0 && use.value != "":
			return usageErrorf(cmd, "ids cannot be combined with --user, --robot or --use")
		}
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			revoked := 0
			for _, id := range args {
				if err := d.Revoke(ctx, d.by, id); err != nil {
					return fmt.Errorf("%s: %w", text.Escape(id), err)
				}
				revoked++
			}
			if len(args) == 0 {
				var err error
				if revoked, err = d.RevokeAll(ctx, d.by, owner, use.value); err != nil {
					return who.hint(err, d)
				}
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), struct {
					Revoked int `json:"revoked"`
				}{revoked})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "revoked %s\n", count(revoked, "token", "tokens"))
			return err
		})
	}
	return cmd
}
