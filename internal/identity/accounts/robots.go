package accounts

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// maxOverlap is how long a robot can have two valid secrets.
const maxOverlap = 30 * 24 * time.Hour

// Credential names in the journal. All but credentialPassword are followed by a name or an id.
const (
	credentialPassword = "password"
	credentialAccess   = "token:"
	credentialRobot    = "secret:"
	credentialRefresh  = "refresh:"
	credentialSession  = "session:"
)

// AddRobot adds a robot and returns its first secret.
func (a *Accounts) AddRobot(ctx context.Context, by admin.Actor, n NewRobot) (_ Account, _ identity.Secret, err error) {
	defer admin.Wrap(&err, "adding robot %.80q", n.Name)
	n.Name = strings.TrimPrefix(n.Name, RobotPrefix)
	if err := a.mayKeepSome(by, RobotPrefix+n.Name); err != nil {
		return Account{}, identity.Secret{}, err
	}
	if err := checkName(n.Name); err != nil {
		return Account{}, identity.Secret{}, err
	}
	end, err := a.future(n.Expires)
	if err != nil {
		return Account{}, identity.Secret{}, err
	}
	r := record{Account: Account{Kind: policy.Robot, Name: n.Name, Expires: end, Groups: distinct(n.Groups), Lent: a.lends(by)}}
	unchecked, taken := a.free(ctx, r.Login())
	r.Unchecked = unchecked
	secret, d := newSecret(letterRobot)
	err = a.handOut(ctx, by, func(tx *sql.Tx, kind string) (*journal.Change, error) {
		return a.writer.WithIdempotency(ctx, tx, by, "robot.add", n.Name, func() (string, *journal.Change, error) {
			if err := a.settle(ctx, tx, by, &r); err != nil {
				return "", nil, err
			}
			if taken != nil {
				return "", nil, taken
			}
			note, err := a.create(ctx, tx, &r)
			if err != nil {
				return "", nil, err
			}
			t := a.robotSecret(&r)
			note.To["secret"] = t.ID
			return r.ID, note, insertToken(ctx, tx, &t, d)
		}, func(id string) (_ *journal.Change, err error) {
			if r, err = a.createdBefore(ctx, tx, by, id); err != nil {
				return nil, err
			}
			secrets, err := a.robotSecrets(ctx, tx, id)
			if err != nil {
				return nil, err
			}
			if len(secrets) != 1 {
				return nil, errUsed // or rotated
			}
			return a.again(ctx, tx, kind, &secrets[0], d)
		})
	})
	return r.Account, secret, err
}

func (a *Accounts) robotSecret(r *record) Token {
	return Token{ID: a.writer.NewID(), Use: Robot, Owner: r.owner(), Created: a.writer.Time()}
}

// Rotate creates a new secret for a robot. The previous one stays valid for the time overlap; all
// older ones are revoked. Without overlap, all others are revoked. A robot may rotate its own
// secret, but only with its current one: a leaked old secret must not be extended.
func (a *Accounts) Rotate(ctx context.Context, by admin.Actor, login string, overlap time.Duration) (_ Account, _ identity.Secret, err error) {
	defer admin.Wrap(&err, "replacing the secret of %.80q", login)
	if overlap < 0 || overlap > maxOverlap {
		return Account{}, identity.Secret{}, admin.Invalid("overlap", "it must be between 0 and %s", maxOverlap)
	}
	if p := by.Principal; p == nil || p.Kind != policy.Robot || login != RobotPrefix+p.Name {
		if err := a.mayKeepSome(by, login); err != nil {
			return Account{}, identity.Secret{}, err
		}
	}
	secret, d := newSecret(letterRobot)
	account, err := a.alter(ctx, by, login, 0, func(tx *sql.Tx, r *record) (*journal.Change, error) {
		if err := a.mayRotate(ctx, tx, by, r); err != nil {
			return nil, err
		}
		if r.Kind != policy.Robot {
			return nil, admin.Invalid("login", "only a robot has a secret to rotate; a user has a password")
		}
		note, err := a.rotate(ctx, tx, r, overlap, d)
		// During an overlap the old secret of a Lent robot is still valid, so the robot stays
		// Lent.
		if err == nil && !r.owner().is(by) && (overlap == 0 || !r.Lent) {
			err = a.settled(ctx, tx, by, r, note)
		}
		return note, err
	})
	return account, secret, err
}

func (a *Accounts) rotate(ctx context.Context, tx *sql.Tx, r *record, overlap time.Duration, d digest) (*journal.Change, error) {
	now := a.writer.Time()
	secrets, err := a.robotSecrets(ctx, tx, r.ID)
	if err != nil {
		return nil, err
	}
	from, to := map[string]any{}, map[string]any{}
	for i, t := range secrets {
		if i == 0 && overlap > 0 && !past(t.Expires, now) {
			if err := endToken(ctx, tx, t.ID, now.Add(overlap)); err != nil {
				return nil, err
			}
			from["secret"], to["until"] = t.ID, when(now.Add(overlap))
			continue
		}
		if _, err := deleteToken(ctx, tx, t.ID); err != nil {
			return nil, err
		}
		to["revoked"] = i + 1 - len(from)
	}
	t := a.robotSecret(r)
	to["secret"] = t.ID
	return &journal.Change{Action: "rotate", From: from, To: to}, insertToken(ctx, tx, &t, d)
}

// robotSecrets returns the secrets of a robot, the current one first.
func (a *Accounts) robotSecrets(ctx context.Context, tx *sql.Tx, id string) ([]Token, error) {
	return store.Collect(ctx, tx, a.scanToken, "SELECT "+tokenColumns+` FROM account_tokens t
		WHERE t.owner_source = $1 AND t.owner_id = $2 AND t.purpose = $3 ORDER BY t.created DESC, t.id DESC`, Source, id, string(Robot))
}

// mayRotate allows anyone who may change the robot, and the robot itself with its current secret.
func (a *Accounts) mayRotate(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record) error {
	if !r.owner().is(by) {
		return a.mayKeep(ctx, tx, by, r)
	}
	id, ok := strings.CutPrefix(by.Credential, credentialRobot)
	if !ok || by.Restricted() || !r.live(a.o.Now()) {
		return fmt.Errorf("%w: a robot replaces its own secret by presenting it", admin.ErrForbidden)
	}
	shown, err := a.findToken(ctx, tx, id)
	if err != nil || !shown.Owner.is(by) || !shown.stored.IsZero() {
		return fmt.Errorf("%w: this secret is not the current one", admin.ErrForbidden)
	}
	return nil
}
