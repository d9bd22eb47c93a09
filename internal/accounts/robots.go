package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxOverlap is the maximum time during which a robot can have two valid secrets.
const maxOverlap = 30 * 24 * time.Hour

// AddRobot adds a robot and returns its first secret.
func (a *Accounts) AddRobot(ctx context.Context, by admin.Actor, n NewRobot) (_ Account, _ identity.Secret, err error) {
	defer admin.Wrap(&err, "adding robot %.80q", n.Name)
	n.Name = strings.TrimPrefix(n.Name, RobotPrefix)
	if err := cmp.Or(a.mayManageLogin(by, RobotPrefix+n.Name), admin.CheckName(n.Name), a.writer.CheckExpiry(n.Expires)); err != nil {
		return Account{}, identity.Secret{}, err
	}
	r := record{Account: Account{Kind: policy.Robot, Name: n.Name, Expires: store.Rounded(n.Expires), Groups: distinct(n.Groups), SetByDelegate: a.isDelegated(by)}}
	unchecked, taken := a.checkOtherSources(ctx, r.Login())
	r.Unchecked = unchecked
	text, d := secret.New(secret.Robot)
	err = a.Credentials.Issue(ctx, by, func(tx *sql.Tx, revokes bool) (*journal.Change, error) {
		return a.writer.WithIdempotency(ctx, tx, by, "robot.add", n.Name, func() (string, *journal.Change, error) {
			if err := a.findNamespace(ctx, tx, by, &r); err != nil {
				return "", nil, err
			}
			if taken != nil {
				return "", nil, taken
			}
			change, err := a.create(ctx, tx, &r)
			if err != nil {
				return "", nil, err
			}
			change.To["secret"], err = a.Credentials.AddRobotSecret(ctx, tx, r.owner(), d)
			return r.ID, change, err
		}, func(id string) (_ *journal.Change, err error) {
			if r, err = a.findCreated(ctx, tx, by, id); err != nil {
				return nil, err
			}
			return a.Credentials.ReissueRobotSecret(ctx, tx, revokes, r.owner(), d)
		})
	})
	return r.Account, identity.NewSecret(text), err
}

// Rotate creates a new secret for a robot. The previous secret stays valid for the given overlap;
// all older secrets are revoked. If overlap is 0, the previous secret is revoked too. A robot may
// rotate its own secret only by presenting its current secret. Otherwise somebody with a leaked
// old secret could rotate the secret and keep access.
func (a *Accounts) Rotate(ctx context.Context, by admin.Actor, login string, overlap time.Duration) (_ Account, _ identity.Secret, err error) {
	defer admin.Wrap(&err, "replacing the secret of %.80q", login)
	if overlap < 0 || overlap > maxOverlap {
		return Account{}, identity.Secret{}, admin.Invalid("overlap", "it must be between 0 and %s", maxOverlap)
	}
	if p := by.Principal; p == nil || p.Kind != policy.Robot || login != RobotPrefix+p.Name {
		if err := a.mayManageLogin(by, login); err != nil {
			return Account{}, identity.Secret{}, err
		}
	}
	text, d := secret.New(secret.Robot)
	account, err := a.alter(ctx, by, login, 0, func(tx *sql.Tx, r *record) (*journal.Change, error) {
		if err := a.mayRotate(ctx, tx, by, r); err != nil {
			return nil, err
		}
		if r.Kind != policy.Robot {
			return nil, admin.Invalid("login", "only a robot has a secret to rotate; a user has a password")
		}
		change, err := a.Credentials.RotateRobotSecret(ctx, tx, r.owner(), overlap, d)
		// During an overlap, the old secret stays valid. If a delegate knows the old secret, the
		// delegate still knows a valid secret.
		if err == nil && !r.owner().Is(by) && (overlap == 0 || !r.SetByDelegate) {
			err = a.recordOwner(ctx, tx, by, r, change)
		}
		return change, err
	})
	return account, identity.NewSecret(text), err
}

// mayRotate checks that the actor may rotate the robot's secret. Actors who may change the robot
// may rotate its secret. The robot itself may also rotate its secret, if it presents its current
// secret.
func (a *Accounts) mayRotate(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record) error {
	switch {
	case !r.owner().Is(by):
		return a.mayManage(ctx, tx, by, r)
	case by.Restricted() || r.endedReason(a.writer.Now()) != "":
		return fmt.Errorf("%w: a robot replaces its own secret by presenting it", admin.ErrForbidden)
	case !a.Credentials.PresentsCurrentSecret(ctx, tx, by):
		return fmt.Errorf("%w: this is not the robot's current secret", admin.ErrForbidden)
	}
	return nil
}
