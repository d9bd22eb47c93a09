package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
)

func newRobot() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "robot",
		Short: "Manage robots: accounts for programs",
	}
	cmd.AddCommand(newRobotAdd(), newAccountList(policy.Robot), newAccountShow(policy.Robot), newRobotRotate(),
		newAccountDisable(policy.Robot), newAccountEnable(policy.Robot), newAccountExpire(policy.Robot), newAccountDelete(policy.Robot))
	return cmd
}

func newRobotAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a robot and print its secret",
		Long: `Add a robot and print its secret. It is printed only once, because only its hash is stored. A robot called
ci signs in as robot+ci, and rules refer to it as robot:ci. Standard output has only the secret.`,
		Example: `  tidewaiter robot add ci --expires 90d
  tidewaiter robot add deploy --group deployers --output json | jq -r .secret`,
		Args: cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	var life lifetime
	cmd.Flags().Var(&life, "expires", "when the robot expires, counted from now: 90d, 12h, never")
	groups := cmd.Flags().StringArray("group", nil, "a `group` of the robot (may be repeated)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			a, secret, err := d.AddRobot(ctx, d.by, accounts.NewRobot{Name: args[0], Expires: life.until(clock.Now()), Groups: *groups})
			if err != nil {
				return err
			}
			warnUnchecked(cmd, &a)
			return k.robotSecret(cmd, &a, secret, "added", d.longest())
		})
	}
	return cmd
}

// longest returns when a secret that is created now expires at the latest, as the end of a sentence.
func (d accountSession) longest() string {
	most := d.MaxLifetime()
	if most == 0 {
		return ""
	}
	return ", until " + minute(clock.Now().Add(most)) + " (max_credential_lifetime)"
}

// robotSecret prints the secret of a robot.
func (k accountFlags) robotSecret(cmd *cobra.Command, a *accounts.Account, secret identity.Secret, verb, more string) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), api.NewAccount(a, secret))
	}
	return showSecret(cmd, secret.Reveal(), "%s robot %s, which signs in as %s%s; the secret is printed only once:", verb, a.Name, a.Login(), more)
}

func newRobotRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Rotate the secret of a robot and print the new one",
		Long: `Rotate the secret of a robot and print the new one. It is printed only once. The previous secret stays
valid for a day, or for --overlap, so that you have time to deploy the new one. Older secrets are
revoked. If a secret has leaked, use --overlap 0.`,
		Example: `  tidewaiter robot rotate ci
  tidewaiter robot rotate ci --overlap 0`,
		Args: cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	overlap := span(day)
	cmd.Flags().Var(&overlap, "overlap", "how long the previous secret stays valid: 7d, 12h, 0")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			a, secret, err := d.Rotate(ctx, d.by, login(policy.Robot, args[0]), time.Duration(overlap))
			if err != nil {
				return err
			}
			before := "; the previous one is revoked"
			if overlap > 0 {
				before = "; the previous one is valid until " + minute(clock.Now().Add(time.Duration(overlap)))
			}
			return k.robotSecret(cmd, &a, secret, "rotated the secret of", d.longest()+before)
		})
	}
	return cmd
}
