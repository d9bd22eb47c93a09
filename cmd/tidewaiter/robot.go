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
		Short: "Look after robots: accounts for programs",
	}
	cmd.AddCommand(newRobotAdd(), newAccountList(policy.Robot), newAccountShow(policy.Robot), newRobotRotate(),
		newAccountDisable(policy.Robot), newAccountEnable(policy.Robot), newAccountExpire(policy.Robot), newAccountDelete(policy.Robot))
	return cmd
}

func newRobotAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a robot, and print its secret once",
		Long: `Add a robot, and print its secret, once: only its hash is kept. A robot called ci signs in as robot+ci, and rules
call it robot:ci. Standard output has the secret and nothing else.`,
		Example: `  tidewaiter robot add ci --expires 90d
  tidewaiter robot add deploy --group deployers --output json | jq -r .secret`,
		Args: cobra.ExactArgs(1),
	}
	k := keepingFlags(cmd)
	var life lifetime
	cmd.Flags().Var(&life, "expires", "when the robot ends, counted from now: 90d, 12h, never")
	groups := cmd.Flags().StringArray("group", nil, "a `group` that the robot is in (may be repeated)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, d desk) error {
			a, secret, err := d.AddRobot(ctx, d.by, accounts.NewRobot{Name: args[0], Expires: life.until(clock.Now()), Groups: *groups})
			if err != nil {
				return err
			}
			return k.robotSecret(cmd, &a, secret, "added", d.longest())
		})
	}
	return cmd
}

// longest says when a secret that is made now ends at the latest.
func (d desk) longest() string {
	most := d.MaxLifetime()
	if most == 0 {
		return ""
	}
	return ", until " + minute(clock.Now().Add(most)) + " (max_credential_lifetime)"
}

// robotSecret shows the secret of a robot.
func (k keeping) robotSecret(cmd *cobra.Command, a *accounts.Account, secret identity.Secret, verb, more string) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), api.NewAccount(a, secret))
	}
	return showSecret(cmd, secret.Reveal(), "%s robot %s, which signs in as %s%s; the secret is shown this once:", verb, a.Name, a.Login(), more)
}

func newRobotRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Make a new secret for a robot, and print it once",
		Long: `Make a new secret for a robot, and print it, once. The one before it stays good for a day, so that there is time
to bring the new one to where it is used, or for as long as --overlap says; those before that are void. If a
secret has leaked, say --overlap 0.`,
		Example: `  tidewaiter robot rotate ci
  tidewaiter robot rotate ci --overlap 0`,
		Args: cobra.ExactArgs(1),
	}
	k := keepingFlags(cmd)
	overlap := span(day)
	cmd.Flags().Var(&overlap, "overlap", "how long the secret before stays good: 7d, 12h, 0")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, d desk) error {
			a, secret, err := d.Rotate(ctx, d.by, login(policy.Robot, args[0]), time.Duration(overlap))
			if err != nil {
				return err
			}
			before := "; the one before is void"
			if overlap > 0 {
				before = "; the one before is good until " + minute(clock.Now().Add(time.Duration(overlap)))
			}
			return k.robotSecret(cmd, &a, secret, "made a secret for", d.longest()+before)
		})
	}
	return cmd
}
