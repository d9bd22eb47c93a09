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
		Short: "Look after tokens that stand for a password",
	}
	cmd.AddCommand(newTokenCreate(), newTokenList(), newTokenRevoke())
	return cmd
}

// owning says whose tokens are meant.
type owning struct{ user, robot, source string }

func ownerFlags(cmd *cobra.Command, robots bool) *owning {
	o := new(owning)
	cmd.Flags().StringVar(&o.user, "user", "", "the `name` of the user whose it is")
	if robots {
		cmd.Flags().StringVar(&o.robot, "robot", "", "the `name` of the robot whose it is")
	}
	cmd.Flags().StringVar(&o.source, "source", accounts.Source, "the `source` that knows the user, as in ldap:corp")
	return o
}

// check refuses flags that name nobody, or two.
func (o *owning) check(cmd *cobra.Command) error {
	switch {
	case o.user != "" && o.robot != "":
		return misused(cmd, "--user and --robot exclude each other")
	case cmd.Flags().Changed("source") && o.user == "":
		return misused(cmd, "--source goes with --user")
	}
	return hasKind(cmd, policy.User, o.user)
}

// owner is the zero Owner if nobody is named.
func (o *owning) owner() accounts.Owner {
	switch {
	case o.robot != "":
		return accounts.Owner{Kind: policy.Robot, Source: accounts.Source, Name: strings.TrimPrefix(o.robot, accounts.RobotPrefix)}
	case o.user != "":
		return accounts.Owner{Kind: policy.User, Source: o.source, Name: o.user}
	}
	return accounts.Owner{}
}

// hint names the way to other sources where the accounts don't know a user.
func (o *owning) hint(err error, d desk) error {
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
	return fmt.Errorf("%w; for somebody whom another source knows: %s", err, strings.Join(others, " or "))
}

func newTokenCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --user NAME --name NAME",
		Short: "Make a personal access token, and print it once",
		Long: `Make a personal access token, which a user shows in place of a password, and print it, once: only its hash is
kept. Standard output has the token and nothing else.

It gives the rights that its owner has at the moment of each use, or with --repositories and --actions the part of
them that is named. Patterns are those of rules: * is anything within one part of the path, ** any number of parts.`,
		Example: `  tidewaiter token create --user alice --name laptop --expires 90d
  tidewaiter token create --user alice --name deploy --repositories team/** --actions pull
  tidewaiter token create --user bob --source ldap:corp --name ci --actions pull,push --output json | jq -r .secret`,
	}
	k := keepingFlags(cmd)
	who := ownerFlags(cmd, false)
	name := cmd.Flags().String("name", "", "what the token is called: no two of one owner have the same `name`")
	var life lifetime
	cmd.Flags().Var(&life, "expires", "when the token ends, counted from now: 90d, 12h, never")
	repositories := cmd.Flags().StringSlice("repositories", nil, "`patterns` of the repositories that it is for (default all)")
	actions := cmd.Flags().StringSlice("actions", nil, "what it is for: pull, push, delete (default all)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch err := who.check(cmd); {
		case err != nil:
			return err
		case who.user == "":
			return misused(cmd, "whose is it? --user says it")
		case *name == "":
			return misused(cmd, "what is it called? --name says it")
		}
		limits, err := limits(cmd, *repositories, *actions)
		if err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d desk) error {
			t, secret, err := d.AddToken(ctx, d.by, accounts.NewToken{Owner: who.owner(), Name: *name, Limits: limits, Expires: life.until(clock.Now())})
			if err != nil {
				return who.hint(err, d)
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewToken(&t, secret))
			}
			return showSecret(cmd, secret.Reveal(), "made token %s of %s for %s, until %s; it is shown this once:",
				t.Name, text.Escape(t.Owner.String()), leaves(t.Limits), or(minute(t.Expires), "it is revoked"))
		})
	}
	return cmd
}

// limits are what two flags narrow a token to; none of them: nothing.
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
				return nil, misused(cmd, "--actions: %q is none of pull, push, delete", name)
			}
			limit.Actions |= action
		}
	}
	if err := limit.Check(); err != nil {
		return nil, misused(cmd, "the token would be for nothing: %v", err)
	}
	return []policy.Limit{limit}, nil
}

func newTokenList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens: whose, for what, when last used",
		Long: `List the tokens that were handed out, without their secrets: personal access tokens (access), robots' secrets
(robot), and what docker and others (refresh) and browsers (session) keep in place of a password.`,
		Example: `  tidewaiter token list --user alice
  tidewaiter token list --output json | jq -r '.[] | select(.used == null) | .id'`,
	}
	k := keepingFlags(cmd)
	who := ownerFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := who.check(cmd); err != nil {
			return err
		}
		return k.read(cmd, func(ctx context.Context, d desk) error {
			return who.hint(printList(cmd, *k.output,
				func(p accounts.Page) ([]accounts.Token, string, error) { return d.Tokens(ctx, d.by, who.owner(), p) },
				func(t *accounts.Token) api.Token { return api.NewToken(t, identity.Secret{}) },
				[]string{"ID", "USE", "OWNER", "NAME", "FOR", "EXPIRES", "LAST USED"},
				tokenRow), d)
		})
	}
	return cmd
}

// tokenRow is a token in a table.
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

// leaves says what limits leave.
func leaves(limits []policy.Limit) string {
	if len(limits) == 0 {
		return "all that its owner may"
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
		Short: "Revoke tokens, for ever",
		Long: `Revoke tokens by their ids, or all of an owner, or those of one use: access, robot, refresh or session.
Within two seconds nobody signs in with them any more. It cannot be undone.`,
		Example: `  tidewaiter token revoke 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b
  tidewaiter token revoke --user alice --use refresh`,
		Args: cobra.ArbitraryArgs,
	}
	k := keepingFlags(cmd)
	who := ownerFlags(cmd, true)
	use := newChoice("", []accounts.Use{accounts.Access, accounts.Robot, accounts.Refresh, accounts.Session})
	cmd.Flags().Var(use, "use", "only those of one use (default all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		owner := who.owner()
		switch err := who.check(cmd); {
		case err != nil:
			return err
		case len(args) == 0 && owner == accounts.Owner{}:
			return misused(cmd, "which tokens? Their ids say it, or --user or --robot")
		case len(args) > 0 && owner != accounts.Owner{}, len(args) > 0 && use.value != "":
			return misused(cmd, "ids say all by themselves: --user, --robot and --use do not go with them")
		}
		return k.change(cmd, func(ctx context.Context, d desk) error {
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
