package credentials

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// AddRobotSecret adds a secret of a robot and returns its id. Like the other functions for robot
// secrets, it is part of the transaction in which package accounts changes the robot.
func (c *Credentials) AddRobotSecret(ctx context.Context, tx *sql.Tx, robot Owner, d secret.Digest) (id string, err error) {
	t := Token{ID: c.writer.NewID(), Purpose: Robot, Owner: robot, Created: c.writer.Time()}
	return t.ID, insertToken(ctx, tx, &t, d)
}

// ReissueRobotSecret replaces the first secret of a robot when the creation of the robot is
// repeated (see reissue).
func (c *Credentials) ReissueRobotSecret(ctx context.Context, tx *sql.Tx, revokes bool, robot Owner, d secret.Digest) (*journal.Change, error) {
	secrets, err := c.robotSecrets(ctx, tx, robot)
	if err != nil {
		return nil, err
	}
	if len(secrets) != 1 {
		return nil, errUsed // used or rotated
	}
	return c.reissue(ctx, tx, revokes, &secrets[0], d)
}

// RotateRobotSecret adds a secret of a robot. The previous secret stays valid for the given
// duration. All older secrets are revoked. If the duration is 0, the previous secret is revoked
// too.
func (c *Credentials) RotateRobotSecret(ctx context.Context, tx *sql.Tx, robot Owner, overlap time.Duration, d secret.Digest) (*journal.Change, error) {
	now := c.writer.Time()
	secrets, err := c.robotSecrets(ctx, tx, robot)
	if err != nil {
		return nil, err
	}
	from, to := map[string]any{}, map[string]any{}
	for i, t := range secrets {
		if i == 0 && overlap > 0 && !admin.Expired(t.Expires, now) {
			if err := endToken(ctx, tx, t.ID, now.Add(overlap)); err != nil {
				return nil, err
			}
			from["secret"], to["until"] = t.ID, admin.ExpiryText(now.Add(overlap))
			continue
		}
		if _, err := deleteToken(ctx, tx, t.ID); err != nil {
			return nil, err
		}
		to["revoked"] = i + 1 - len(from)
	}
	to["secret"], err = c.AddRobotSecret(ctx, tx, robot, d)
	return &journal.Change{Action: "rotate", From: from, To: to}, err
}

// PresentsCurrentSecret reports whether the actor presented the current secret of a robot. It
// returns false for the previous secret during an overlap.
func (c *Credentials) PresentsCurrentSecret(ctx context.Context, tx *sql.Tx, by admin.Actor) bool {
	id, ok := strings.CutPrefix(by.Credential, kinds[Robot].prefix)
	if !ok {
		return false
	}
	t, err := c.findToken(ctx, tx, id)
	return err == nil && t.Owner.Is(by) && t.stored.IsZero()
}

// robotSecrets returns the secrets of a robot, the current one first.
func (c *Credentials) robotSecrets(ctx context.Context, tx *sql.Tx, robot Owner) ([]Token, error) {
	return store.Collect(ctx, tx, c.scanToken, "SELECT "+tokenColumns+` FROM account_tokens t
		WHERE t.owner_source = $1 AND t.owner_id = $2 AND t.purpose = $3 ORDER BY t.created DESC, t.id DESC`, robot.Source, robot.ID, string(Robot))
}
