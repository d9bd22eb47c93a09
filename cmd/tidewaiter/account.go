package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// accountCommands returns the commands that users and robots have in common. The examples in their
// help use the account name in sample.
func accountCommands(kind policy.Kind, sample string) []command {
	before := userOnly
	if kind == policy.Robot {
		before = nil
	}
	// changeCommand returns a command that changes one account. The command's argument is the
	// account's name.
	changeCommand := func(verb, result, long string, do func(*session) (accounts.Account, error)) command {
		return command{
			use:     verb + " NAME",
			short:   fmt.Sprintf("%s%s a %s", strings.ToUpper(verb[:1]), verb[1:], kind),
			long:    long,
			example: fmt.Sprintf("  tidewaiter %s %s %s", kind, verb, sample),
			opens:   changeAccounts,
			before:  before,
			force:   verb != "enable",
			run: func(s *session) error {
				a, err := do(s)
				return s.printAccount(&a, err, result, "is already "+result)
			},
		}
	}
	return []command{{
		use:     "list",
		short:   fmt.Sprintf("List the %ss", kind),
		example: fmt.Sprintf("  tidewaiter %[1]s list\n  tidewaiter %[1]s list --output json | jq -r '.[] | select(.disabled) | .name'", kind),
		opens:   readAccounts,
		run: func(s *session) error {
			return printList(s, pagesOf(s.accounts.List, kind), api.NewAccount,
				[]string{"NAME", "STATE", "EXPIRES", "CREATED", "GROUPS"},
				func(a *accounts.Account) []string {
					return []string{a.Name, state(a), formatExpiry(a.Expires), formatMinute(a.Created), strings.Join(a.Groups, ", ")}
				})
		},
	}, {
		use:     "show NAME",
		short:   fmt.Sprintf("Show a %s", kind),
		example: fmt.Sprintf("  tidewaiter %s show %s", kind, sample),
		opens:   readAccounts,
		before:  before,
		run: func(s *session) error {
			a, err := s.accounts.Account(s.ctx, s.by, s.login(kind))
			if err != nil {
				return err
			}
			password, delegate := "", ""
			if a.Kind == policy.User {
				password = cmp.Or(a.Hash, "none (can use tokens only)")
			}
			if a.SetByDelegate {
				delegate = "password or secret was set by someone who is not an administrator"
			}
			return s.printFields(api.NewAccount(&a), "name", a.Name, "signs in as", a.Login(), "state", state(&a),
				"password", password, "set by delegate", delegate, "groups", strings.Join(a.Groups, ", "),
				"created", formatMinute(a.Created), "changed", formatMinute(a.Changed), "expires", formatExpiry(a.Expires), "id", a.ID)
		},
	}, changeCommand("disable", "disabled", `Disable an account: within two seconds it can no longer sign in. Registry tokens that were issued
before stay valid until they expire. Refresh tokens, which docker and others store in place of a
password, are revoked for good. Other tokens work again when the account is enabled.`,
		func(s *session) (accounts.Account, error) { return s.accounts.Disable(s.ctx, s.by, s.login(kind), 0) },
	), changeCommand("enable", "enabled", "Enable a disabled account. The account can sign in with the same password and tokens as before.",
		func(s *session) (accounts.Account, error) { return s.accounts.Enable(s.ctx, s.by, s.login(kind), 0) },
	), {
		use:   "expire NAME DURATION",
		short: fmt.Sprintf("Set when a %s expires", kind),
		long: `Set when an account expires, counted from now: 90d, 12h, or never. An expired
account cannot sign in, but is not deleted: set another duration to let it sign in again.`,
		example: fmt.Sprintf("  tidewaiter %[1]s expire %[2]s 90d\n  tidewaiter %[1]s expire %[2]s never", kind, sample),
		opens:   changeAccounts,
		force:   true,
		before: func(s *session) error {
			if err := new(lifetime).Set(s.args[1]); err != nil {
				return s.usageErrorf("%s: %v", text.Escape(s.args[1]), err)
			}
			if before != nil {
				return before(s)
			}
			return nil
		},
		run: func(s *session) error {
			var life lifetime
			if err := life.Set(s.args[1]); err != nil {
				return err
			}
			end := life.endTime(clock.Now())
			// Output has no seconds: round up, so that the account is valid until the printed
			// minute.
			if whole := end.Truncate(time.Minute); !end.IsZero() && end.After(whole) {
				end = whole.Add(time.Minute)
			}
			a, err := s.accounts.SetExpiry(s.ctx, s.by, s.login(kind), end, 0)
			return s.printAccount(&a, err, "changed", "already expires at this time")
		},
	}, changeCommand("delete", "deleted", `Delete an account with its password, tokens and group memberships. This cannot be undone. An account
that is added later under the same name inherits nothing. To suspend an account, disable it.`,
		func(s *session) (accounts.Account, error) {
			a, err := s.accounts.Account(s.ctx, s.by, s.login(kind))
			if err != nil {
				return a, err
			}
			return a, s.accounts.Delete(s.ctx, s.by, a.Login(), a.Version)
		},
	)}
}

// login returns the login of the account that the first argument names. The login of a robot has
// the prefix robot+.
func (s *session) login(kind policy.Kind) string {
	if kind == policy.Robot && !strings.HasPrefix(s.args[0], accounts.RobotPrefix) {
		return accounts.RobotPrefix + s.args[0]
	}
	return s.args[0]
}

// userOnly rejects the login of a robot as first argument.
func userOnly(s *session) error { return s.rejectRobot(s.args[0]) }

func (s *session) rejectRobot(user string) error {
	if strings.HasPrefix(user, accounts.RobotPrefix) {
		return s.usageErrorf("%s is a robot: use tidewaiter robot", text.Escape(user))
	}
	return nil
}

// state returns the state of an account: active, disabled or expired.
func state(a *accounts.Account) string {
	switch {
	case a.Disabled:
		return "disabled"
	case !a.Expires.IsZero() && !a.Expires.After(clock.Now()):
		return "expired"
	}
	return "active"
}

// formatExpiry formats the time at which an account or a token expires.
func formatExpiry(t time.Time) string { return cmp.Or(formatMinute(t), "never") }

// printAccount prints the result of a change to an account: the verb and the account, as in
// "disabled user ann". If the call changed nothing, printAccount prints the account and its state
// instead, as in "user ann is already disabled". If err is not nil, it prints nothing and returns
// err.
func (s *session) printAccount(a *accounts.Account, err error, verb, state string) error {
	if err != nil {
		return err
	}
	if a.Unchanged {
		return s.print(api.NewAccount(a), "%s %s %s", a.Kind, a.Name, state)
	}
	return s.print(api.NewAccount(a), "%s %s %s", verb, a.Kind, a.Name)
}

// warnUnchecked prints a warning for each unavailable identity source. Such a source could also
// have a user with the name of the new account.
func (s *session) warnUnchecked(a *accounts.Account) {
	for _, source := range a.Unchecked {
		s.warn("could not check whether another source has the name %s: %s", a.Login(), text.Escape(source))
	}
}
