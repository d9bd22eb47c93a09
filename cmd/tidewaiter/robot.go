package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

func robotCommand() command {
	return command{
		use:   "robot",
		short: "Manage robots: accounts for programs",
		sub: slices.Insert(accountCommands(policy.Robot, "ci"), 0, command{
			use:   "add NAME",
			short: "Add a robot and print its secret",
			long: `Add a robot and print its secret. The secret is printed only once, because only
its hash is stored. A robot called ci signs in as robot+ci, and rules refer to it as robot:ci.
Standard output has only the secret.`,
			example: `  tidewaiter robot add ci --expires 90d
  tidewaiter robot add deploy --group deployers --output json | jq -r .secret`,
			opens: changeAccounts,
			flags: func(f *flags) action {
				var life lifetime
				f.Var(&life, "expires", "when the robot expires, counted from now: 90d, 12h, never")
				groups := f.list("group", "a `group` of the robot")
				return func(s *session) error {
					a, secret, err := s.accounts.AddRobot(s.ctx, s.by,
						accounts.NewRobot{Name: s.args[0], Expires: life.endTime(clock.Now()), Groups: *groups})
					if errors.Is(err, admin.ErrExists) {
						return fmt.Errorf("%w; tidewaiter robot rotate %s prints a new secret", err, text.Shell(s.args[0]))
					}
					if err != nil {
						return err
					}
					s.warnUnchecked(&a)
					return s.printRobot(&a, secret, "added", "")
				}
			},
		}, command{
			use:   "rotate NAME",
			short: "Rotate the secret of a robot and print the new secret",
			long: `Rotate the secret of a robot and print the new secret. It is printed only once.
The previous secret stays valid for a day, or for --overlap, so that you have time to deploy the
new secret. Older secrets are revoked. If a secret has leaked, use --overlap 0.`,
			example: `  tidewaiter robot rotate ci
  tidewaiter robot rotate ci --overlap 0`,
			opens: changeAccounts,
			flags: func(f *flags) action {
				overlap := span(day)
				f.Var(&overlap, "overlap", "how long the previous secret stays valid: 7d, 12h, 0")
				return func(s *session) error {
					a, secret, err := s.accounts.Rotate(s.ctx, s.by, s.login(policy.Robot), time.Duration(overlap))
					if err != nil {
						return err
					}
					previous := "; the previous secret is revoked"
					if overlap > 0 {
						previous = "; the previous secret is valid until " + formatMinute(clock.Now().Add(time.Duration(overlap)))
					}
					return s.printRobot(&a, secret, "rotated the secret of", previous)
				}
			},
		}),
	}
}

// printRobot prints the secret of a robot.
func (s *session) printRobot(a *accounts.Account, secret identity.Secret, verb, previous string) error {
	until := ""
	if most := s.accounts.Credentials.MaxLifetime(); most > 0 {
		until = ", until " + formatMinute(clock.Now().Add(most)) + " (max_credential_lifetime)"
	}
	return s.printSecret(api.NewAccount(a).WithSecret(secret), secret, "%s robot %s, which signs in as %s%s%s; the secret is printed only once:",
		verb, a.Name, a.Login(), until, previous)
}
