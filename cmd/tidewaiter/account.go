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

// The commands in this file exist for users and for robots.

// login returns the login of an account of that kind and name.
func login(kind policy.Kind, name string) string {
	if kind == policy.Robot && !strings.HasPrefix(name, accounts.RobotPrefix) {
		return accounts.RobotPrefix + name
	}
	return name
}

// hasKind rejects the login of a robot where a user's name is required.
func hasKind(cmd *cobra.Command, kind policy.Kind, name string) error {
	if kind == policy.User && strings.HasPrefix(name, accounts.RobotPrefix) {
		return usageErrorf(cmd, "%s is a robot: use tidewaiter robot", text.Escape(name))
	}
	return nil
}

// state returns active, disabled or expired.
func state(a *accounts.Account, now time.Time) string {
	switch {
	case a.Disabled:
		return "disabled"
	case !a.Expires.IsZero() && !a.Expires.After(now):
		return "expired"
	}
	return "active"
}

// done prints what was done to an account, or the account with --output json. already is printed for an
// account that needed no change: "is already disabled".
func (k accountFlags) done(cmd *cobra.Command, verb string, a *accounts.Account, already string) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), api.NewAccount(a, identity.Secret{}))
	}
	if a.Unchanged {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", a.Kind, a.Name, already)
		return err
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
	k := newAccountFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, d accountSession) error {
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
	k := newAccountFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := hasKind(cmd, kind, args[0]); err != nil {
			return err
		}
		return k.read(cmd, func(ctx context.Context, d accountSession) error {
			a, err := d.Account(ctx, d.by, login(kind, args[0]))
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewAccount(&a, identity.Secret{}))
			}
			password := ""
			if a.Kind == policy.User {
				password = or(a.Hash, "none (can use tokens only)")
			}
			delegate := ""
			if a.Lent {
				delegate = "password or secret was set by someone who is not an administrator"
			}
			return fields(cmd.OutOrStdout(),
				"name", a.Name, "signs in as", a.Login(), "state", state(&a, clock.Now()), "password", password, "set by delegate", delegate, "groups", strings.Join(a.Groups, ", "),
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

// newAccountChange returns a command that changes one account.
func newAccountChange(kind policy.Kind, verb, done, long string, flags func(*cobra.Command) accountFlags, do func(accountSession, context.Context, string) (accounts.Account, error)) *cobra.Command {
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
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			a, err := do(d, ctx, login(kind, args[0]))
			if err != nil {
				return err
			}
			return k.done(cmd, done, &a, "is already "+done)
		})
	}
	return cmd
}

func newAccountDisable(kind policy.Kind) *cobra.Command {
	return newAccountChange(kind, "disable", "disabled", `Disable an account: within two seconds it can no longer sign in. Registry tokens that were issued
before stay valid until they expire. Refresh tokens, which docker and others store in place of a
password, are revoked for good. Other tokens work again when the account is enabled.`, newForceFlags,
		func(d accountSession, ctx context.Context, login string) (accounts.Account, error) {
			return d.Disable(ctx, d.by, login, 0)
		})
}

func newAccountEnable(kind policy.Kind) *cobra.Command {
	return newAccountChange(kind, "enable", "enabled", "Enable a disabled account. It signs in with the password and the tokens that it had.", newAccountFlags,
		func(d accountSession, ctx context.Context, login string) (accounts.Account, error) {
			return d.Enable(ctx, d.by, login, 0)
		})
}

func newAccountDelete(kind policy.Kind) *cobra.Command {
	return newAccountChange(kind, "delete", "deleted", `Delete an account with its password, tokens and group memberships. This cannot be undone. An account
that is added later under the same name inherits nothing. To suspend an account, disable it.`, newForceFlags,
		func(d accountSession, ctx context.Context, login string) (accounts.Account, error) {
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
		Short: fmt.Sprintf("Set when a %s expires", kind),
		Long: `Set when an account expires, counted from now: 90d, 12h, or never. An expired account cannot sign in.
It is not deleted: set another duration to let it sign in again.`,
		Example: fmt.Sprintf("  tidewaiter %[1]s expire %[2]s 90d\n  tidewaiter %[1]s expire %[2]s never", kind, sample(kind)),
		Args:    cobra.ExactArgs(2),
	}
	k := newForceFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var life lifetime
		if err := life.Set(args[1]); err != nil {
			return usageErrorf(cmd, "%s: %v", text.Escape(args[1]), err)
		}
		if err := hasKind(cmd, kind, args[0]); err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			end := life.until(clock.Now())
			if whole := end.Truncate(time.Minute); !end.IsZero() && end.After(whole) { // people are shown minutes
				end = whole.Add(time.Minute)
			}
			a, err := d.SetExpiry(ctx, d.by, login(kind, args[0]), end, 0)
			if err != nil {
				return err
			}
			return k.done(cmd, "changed", &a, "already ends then")
		})
	}
	return cmd
}
