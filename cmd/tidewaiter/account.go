package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// What users and robots have in common: each command of this file is made for both.

// login is what a kind of account called name signs in as.
func login(kind policy.Kind, name string) string {
	if kind == policy.Robot && !strings.HasPrefix(name, accounts.RobotPrefix) {
		return accounts.RobotPrefix + name
	}
	return name
}

// hasKind refuses the login of a robot where a user's name is wanted.
func hasKind(cmd *cobra.Command, kind policy.Kind, name string) error {
	if kind == policy.User && strings.HasPrefix(name, accounts.RobotPrefix) {
		return misused(cmd, "%s is a robot: use tidewaiter robot", text.Escape(name))
	}
	return nil
}

// state says in a word whether an account can sign in.
func state(a *accounts.Account, now time.Time) string {
	switch {
	case a.Disabled:
		return "disabled"
	case !a.Expires.IsZero() && !a.Expires.After(now):
		return "expired"
	}
	return "active"
}

// done says what was done to an account: a line for people, or the account for programs.
func (k keeping) done(cmd *cobra.Command, verb string, a *accounts.Account) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), api.NewAccount(a, identity.Secret{}))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", verb, a.Kind, a.Name)
	return err
}

func newAccountList(kind policy.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   fmt.Sprintf("List the %ss", kind),
		Example: fmt.Sprintf("  tidewaiter %[1]s list\n  tidewaiter %[1]s list --output json | jq -r '.[] | select(.disabled) | .name'", kind),
	}
	k := keepingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, d desk) error {
			return printList(cmd, *k.output,
				func(p accounts.Page) ([]accounts.Account, string, error) { return d.List(ctx, d.by, kind, p) },
				func(a *accounts.Account) api.Account { return api.NewAccount(a, identity.Secret{}) },
				[]string{"NAME", "STATE", "EXPIRES", "CREATED", "GROUPS"},
				func(a *accounts.Account) []string {
					return []string{a.Name, state(a, clock.Now()), or(minute(a.Expires), "never"), minute(a.Created), strings.Join(a.Groups, ", ")}
				})
		})
	}
	return cmd
}

func newAccountShow(kind policy.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   fmt.Sprintf("Show a %s", kind),
		Example: fmt.Sprintf("  tidewaiter %s show %s", kind, sample(kind)),
		Args:    cobra.ExactArgs(1),
	}
	k := keepingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := hasKind(cmd, kind, args[0]); err != nil {
			return err
		}
		return k.read(cmd, func(ctx context.Context, d desk) error {
			a, err := d.Account(ctx, d.by, login(kind, args[0]))
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewAccount(&a, identity.Secret{}))
			}
			password := ""
			if a.Kind == policy.User {
				password = or(a.Hash, "none: signs in with tokens only")
			}
			lent := ""
			if a.Lent {
				lent = "its password or secret was set by who is no administrator"
			}
			return fields(cmd.OutOrStdout(),
				"name", a.Name, "signs in as", a.Login(), "state", state(&a, clock.Now()), "password", password, "lent", lent, "groups", strings.Join(a.Groups, ", "),
				"created", minute(a.Created), "changed", minute(a.Changed), "expires", or(minute(a.Expires), "never"), "id", a.ID)
		})
	}
	return cmd
}

// sample is a name for examples.
func sample(kind policy.Kind) string {
	if kind == policy.Robot {
		return "ci"
	}
	return "alice"
}

// newAccountChange makes a command that does one thing to one account.
func newAccountChange(kind policy.Kind, verb, done, long string, flags func(*cobra.Command) keeping, do func(desk, context.Context, string) (accounts.Account, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:     verb + " NAME",
		Short:   fmt.Sprintf("%s a %s", strings.ToUpper(verb[:1])+verb[1:], kind),
		Long:    long,
		Example: fmt.Sprintf("  tidewaiter %s %s %s", kind, verb, sample(kind)),
		Args:    cobra.ExactArgs(1),
	}
	k := flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := hasKind(cmd, kind, args[0]); err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d desk) error {
			a, err := do(d, ctx, login(kind, args[0]))
			if err != nil {
				return err
			}
			return k.done(cmd, done, &a)
		})
	}
	return cmd
}

func newAccountDisable(kind policy.Kind) *cobra.Command {
	return newAccountChange(kind, "disable", "disabled", `Keep somebody from signing in, in any way, beginning within two seconds. Registry tokens that were handed
out before are good for the rest of their short life. Refresh tokens, which docker and others keep in place of
a password, are void for ever; other tokens rest until the account is enabled.`, takingFlags,
		func(d desk, ctx context.Context, login string) (accounts.Account, error) {
			return d.Disable(ctx, d.by, login, 0)
		})
}

func newAccountEnable(kind policy.Kind) *cobra.Command {
	return newAccountChange(kind, "enable", "enabled", "Undo disable: the account signs in again with the password or the tokens that it had.", keepingFlags,
		func(d desk, ctx context.Context, login string) (accounts.Account, error) {
			return d.Enable(ctx, d.by, login, 0)
		})
}

func newAccountDelete(kind policy.Kind) *cobra.Command {
	return newAccountChange(kind, "delete", "deleted", `Delete an account with all that is its own: password, tokens, memberships. It cannot be undone, and somebody
who is added later under the name has nothing of it. To take rights away for a while, disable it.`, takingFlags,
		func(d desk, ctx context.Context, login string) (accounts.Account, error) {
			a, err := d.Account(ctx, d.by, login)
			if err != nil {
				return accounts.Account{}, err
			}
			return a, d.Delete(ctx, d.by, login, a.Version)
		})
}

func newAccountExpire(kind policy.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "expire NAME DURATION",
		Short: fmt.Sprintf("Set when a %s ends", kind),
		Long: `Set when an account ends, counted from now: 90d, 12h, or never. From then on it cannot sign in; it is kept,
and another duration lets it in again.`,
		Example: fmt.Sprintf("  tidewaiter %[1]s expire %[2]s 90d\n  tidewaiter %[1]s expire %[2]s never", kind, sample(kind)),
		Args:    cobra.ExactArgs(2),
	}
	k := takingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var life lifetime
		if err := life.Set(args[1]); err != nil {
			return misused(cmd, "%s: %v", text.Escape(args[1]), err)
		}
		if err := hasKind(cmd, kind, args[0]); err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d desk) error {
			a, err := d.SetExpiry(ctx, d.by, login(kind, args[0]), life.until(clock.Now()), 0)
			if err != nil {
				return err
			}
			return k.done(cmd, "changed", &a)
		})
	}
	return cmd
}
