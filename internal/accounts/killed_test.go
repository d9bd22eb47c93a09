package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
)

// kinds are all kinds of writes of accounts, by their names in the journal.
var kinds = []string{
	"group.add", "group.join", "group.leave", "group.delete",
	"user.add", "user.rehash", "user.password", "user.expiry", "user.disable", "user.enable", "user.delete",
	"robot.add", "robot.rotate", "robot.expiry", "robot.disable", "robot.delete",
	"token.add", "refresh.add", "session.add", "access.revoke", "robot.revoke", "refresh.revoke", "session.revoke", "token.revoke-all",
	"setup.offer",
}

// isKilledProcess reports whether this process is one of those that the test kills. If so, several
// workers make all kinds of writes until the process is killed. The workers print each write
// before it starts and after it is done.
func isKilledProcess() bool {
	return storetest.Killed(3, func(ctx context.Context, db *store.DB) (func(storetest.Worker) error, error) {
		a, _, err := accountstest.Open(db)
		if err != nil {
			return nil, err
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(phrase), bcrypt.MinCost)
		if err != nil {
			return nil, err
		}
		return func(nth storetest.Worker) error {
			w := &worker{
				Worker: nth, Accounts: a, Credentials: a.Credentials, by: admin.Operator(nth.Name), hash: identity.NewSecret(string(hash)),
				chain: chain.New(chain.Options{Sources: []identity.Source{{Name: accounts.Source, Authenticator: a, Kinds: accounts.Kinds()}}}),
			}
			err := w.begin(ctx)
			for i := 0; err == nil; i++ {
				err = w.cycle(ctx, fmt.Sprintf("%s-%d", w.Name, i))
				if err == nil && w.N == 0 {
					err = w.setUp(ctx, fmt.Sprintf("%s-%d-root", w.Name, i))
				}
			}
			return err
		}, nil
	})
}

const phrase = "correct horse battery"

// worker makes writes one after the other.
type worker struct {
	storetest.Worker
	*accounts.Accounts
	*credentials.Credentials
	chain *chain.Chain
	by    admin.Actor
	hash  identity.Secret
}

// begin deletes administrators that an earlier run left behind, so that setup works again.
func (w *worker) begin(ctx context.Context) error {
	w.Write("group.add", func() error { _, err := w.AddGroup(ctx, w.by, w.Name+"-team"); return err })
	if w.N != 0 {
		return w.Err
	}
	left, _, err := w.Members(ctx, w.by, admin.Administrators, admin.Page{})
	if err != nil && !errors.Is(err, admin.ErrNotFound) {
		return err
	}
	for _, login := range left {
		w.Write("user.delete", func() error { return w.Delete(ctx, w.by.WithForce(), login, 0) })
	}
	return w.Err
}

// cycle makes every kind of write at least once, except setup.
func (w *worker) cycle(ctx context.Context, name string) error {
	team, robot := name+"-team", name+"-bot"
	login := accounts.RobotPrefix + robot
	one := func(_ accounts.Account, err error) error { return err }
	group := func(_ accounts.Group, err error) error { return err }
	w.Write("group.add", func() error { return group(w.AddGroup(ctx, w.by, team)) })
	w.Write("user.add", func() error {
		return one(w.AddUser(ctx, w.by, accounts.NewUser{Name: name, Hash: w.hash, Groups: []string{team}}))
	})
	var self identity.Verified
	w.Write("user.rehash", func() (err error) {
		self, err = w.chain.Authenticate(ctx, presented(name, phrase))
		return err
	})
	w.Write("group.join", func() error { return group(w.Join(ctx, w.by, admin.Auditors, name, 0)) })
	w.Write("group.leave", func() error { return group(w.Leave(ctx, w.by, team, name, 0)) })
	w.Write("user.password", func() error { return one(w.SetPassword(ctx, w.by, name, identity.NewSecret(phrase), 0)) })
	var secret identity.Secret
	w.Write("robot.add", func() (err error) {
		_, secret, err = w.AddRobot(ctx, w.by, accounts.NewRobot{Name: robot, Groups: []string{team}})
		return err
	})
	w.refresh(ctx, presented(login, secretText(&secret)))
	w.Write("robot.rotate", func() (err error) {
		_, secret, err = w.Rotate(ctx, w.by, login, time.Hour)
		return err
	})
	w.refresh(ctx, presented(login, secretText(&secret)))
	w.Write("robot.rotate", func() (err error) { _, _, err = w.Rotate(ctx, w.by, login, 0); return err })
	w.Write("robot.expiry", func() error { return one(w.SetExpiry(ctx, w.by, login, inAnHour(), 0)) })
	w.Write("robot.disable", func() error { return one(w.Disable(ctx, w.by, login, 0)) })
	w.revokeOne(ctx, credentials.Owner{Kind: policy.Robot, Name: robot}, credentials.Robot)

	// Deleting a token also deletes the tokens that were created with it.
	made := func(by admin.Actor, owner credentials.Owner, token string) (secret identity.Secret) {
		w.Write("token.add", func() (err error) {
			_, secret, err = w.AddToken(ctx, by, credentials.NewToken{Owner: owner, Name: token, Expires: inAnHour()})
			return err
		})
		return secret
	}
	laptop := made(w.by, credentials.Owner{Name: name}, "laptop")
	w.refresh(ctx, presented(name, secretText(&laptop)))
	if self.Principal != nil {
		made(admin.Actor{Principal: self.Principal, Credential: "token:laptop"}, credentials.Owner{}, "made")
	}
	w.startSession(ctx, presented(name, secretText(&laptop)))
	w.revokeOne(ctx, credentials.Owner{Name: name}, credentials.Refresh)
	w.startSession(ctx, presented(name, phrase))
	w.revokeOne(ctx, credentials.Owner{Name: name}, credentials.Session)
	w.refresh(ctx, presented(name, phrase))
	w.revokeOne(ctx, credentials.Owner{Name: name}, credentials.Access)
	made(w.by, credentials.Owner{Name: name}, "again")
	w.refresh(ctx, presented(name, phrase))
	w.Write("token.revoke-all", func() error { _, err := w.RevokeAll(ctx, w.by, credentials.Owner{Name: name}, ""); return err })

	made(w.by, credentials.Owner{Name: name}, "resting")
	w.startSession(ctx, presented(name, phrase))
	w.refresh(ctx, presented(name, phrase))
	w.Write("user.password", func() error {
		by := admin.Actor{Principal: self.Principal}
		return one(w.ChangePassword(ctx, by, identity.NewSecret(phrase), identity.NewSecret(phrase+" staple")))
	})
	w.refresh(ctx, presented(name, phrase+" staple"))
	w.Write("user.expiry", func() error { return one(w.SetExpiry(ctx, w.by, name, inAnHour(), 0)) })
	w.Write("user.disable", func() error { return one(w.Disable(ctx, w.by, name, 0)) })
	w.Write("user.enable", func() error { return one(w.Enable(ctx, w.by, name, 0)) })
	if name[len(name)-1]%2 == 0 { // the other accounts stay for later cycles
		w.Write("user.delete", func() error { return w.Delete(ctx, w.by, name, 0) })
	} else {
		w.Write("robot.delete", func() error { return w.Delete(ctx, w.by, login, 0) })
	}
	w.Write("group.delete", func() error { return w.DeleteGroup(ctx, w.by, team, 0) })
	return w.Err
}

// setUp creates the first administrator, and deletes it so that the next call can create it
// again.
func (w *worker) setUp(ctx context.Context, name string) error {
	var offer identity.Secret
	for range 2 { // both secrets are deleted together
		w.Write("setup.offer", func() (err error) { offer, _, err = w.SetupSecret(ctx); return err })
	}
	w.Write("user.add", func() error {
		_, err := w.SetUp(ctx, offer, accounts.NewUser{Name: name, Password: identity.NewSecret(phrase)}, presented("", ""))
		return err
	})
	w.Write("user.delete", func() error { return w.Delete(ctx, w.by.WithForce(), name, 0) })
	return w.Err
}

// refresh exchanges a credential for a refresh token.
func (w *worker) refresh(ctx context.Context, c identity.Presented) {
	w.Write("refresh.add", func() error {
		v, err := w.chain.Authenticate(ctx, c)
		if err != nil {
			return err
		}
		secret, err := w.IssueRefresh(ctx, c, v)
		if err == nil && secret.Reveal() == "" {
			err = errors.New("no token is issued for this credential")
		}
		return err
	})
}

// startSession starts a session with a credential.
func (w *worker) startSession(ctx context.Context, c identity.Presented) {
	w.Write("session.add", func() error {
		v, err := w.chain.Authenticate(ctx, c)
		if err != nil {
			return err
		}
		_, _, err = w.StartSession(ctx, c, v)
		return err
	})
}

// revokeOne revokes the owner's first token that has the given purpose.
func (w *worker) revokeOne(ctx context.Context, owner credentials.Owner, use credentials.Purpose) {
	w.Write(string(use)+".revoke", func() error {
		list, _, err := w.Tokens(ctx, w.by, owner, admin.Page{})
		if err != nil {
			return err
		}
		for _, t := range list {
			if t.Purpose == use {
				return w.Revoke(ctx, w.by, t.ID)
			}
		}
		return errors.New("there is no token to revoke")
	})
}

func secretText(s *identity.Secret) string { return s.Reveal() }

// inAnHour returns the time one hour from now in whole seconds, the precision of times in the
// journal.
func inAnHour() time.Time { return time.Now().Truncate(time.Second).Add(time.Hour) }
