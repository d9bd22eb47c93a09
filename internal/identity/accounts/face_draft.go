package accounts

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Accounts is our own users and robots, and the credentials that we handed out. Its methods may be called
// from any goroutine.
type Accounts struct{ o Options }

var errDraft = errors.New("not built yet")

// Open returns Accounts over a database. It starts nothing and reads nothing.
func Open(o Options) (*Accounts, error) { return nil, errDraft }

// Run notices what others changed, and notes when tokens were last used, until ctx ends. It returns nil.
func (a *Accounts) Run(ctx context.Context) error { return errDraft }

// May says whether the actor has a right over Tidewaiter: actions on tidewaiter:name.
func (a *Accounts) May(by Actor, name string, actions scope.Actions) bool { return false }

// AddUser adds a user.
func (a *Accounts) AddUser(ctx context.Context, by Actor, u NewUser) (Account, error) {
	return Account{}, errDraft
}

// AddRobot adds a robot, and returns its first secret.
func (a *Accounts) AddRobot(ctx context.Context, by Actor, r NewRobot) (Account, identity.Secret, error) {
	return Account{}, identity.Secret{}, errDraft
}

// Account returns a user or a robot. Each may see itself.
func (a *Accounts) Account(ctx context.Context, by Actor, login string) (Account, error) {
	return Account{}, errDraft
}

// List returns users or robots in the order of their names, and where the next page begins; "": there is none.
func (a *Accounts) List(ctx context.Context, by Actor, kind policy.Kind, page Page) (list []Account, next string, err error) {
	return nil, "", errDraft
}

// SetPassword sets the password of a user, and voids the user's refresh tokens.
func (a *Accounts) SetPassword(ctx context.Context, by Actor, name string, password identity.Secret, version int64) (Account, error) {
	return Account{}, errDraft
}

// ChangePassword sets the actor's own password, which needs the present one.
func (a *Accounts) ChangePassword(ctx context.Context, by Actor, current, password identity.Secret) (Account, error) {
	return Account{}, errDraft
}

// SetExpiry sets when an account ends; zero: never.
func (a *Accounts) SetExpiry(ctx context.Context, by Actor, login string, at time.Time, version int64) (Account, error) {
	return Account{}, errDraft
}

// Disable keeps an account from signing in, in any way, and voids its refresh tokens. Its access tokens and secrets
// rest until it is enabled.
func (a *Accounts) Disable(ctx context.Context, by Actor, login string, version int64) (Account, error) {
	return Account{}, errDraft
}

// Enable undoes Disable.
func (a *Accounts) Enable(ctx context.Context, by Actor, login string, version int64) (Account, error) {
	return Account{}, errDraft
}

// Delete removes an account, with all that was its own.
func (a *Accounts) Delete(ctx context.Context, by Actor, login string, version int64) error {
	return errDraft
}

// Rotate makes a new secret for a robot. The one before it stays good for as long as overlap says, and those
// before that are void. A robot may do it for itself, unless the secret that it shows is one that is being replaced.
func (a *Accounts) Rotate(ctx context.Context, by Actor, login string, overlap time.Duration) (Account, identity.Secret, error) {
	return Account{}, identity.Secret{}, errDraft
}

// AddGroup adds a group without members.
func (a *Accounts) AddGroup(ctx context.Context, by Actor, name string) (Group, error) {
	return Group{}, errDraft
}

// Group returns a group.
func (a *Accounts) Group(ctx context.Context, by Actor, name string) (Group, error) {
	return Group{}, errDraft
}

// Groups returns groups in the order of their names, and where the next page begins.
func (a *Accounts) Groups(ctx context.Context, by Actor, page Page) (list []Group, next string, err error) {
	return nil, "", errDraft
}

// Members returns the logins of a group's members in their order, and where the next page begins.
func (a *Accounts) Members(ctx context.Context, by Actor, group string, page Page) (logins []string, next string, err error) {
	return nil, "", errDraft
}

// Join makes an account a member of a group. Being one already is success.
func (a *Accounts) Join(ctx context.Context, by Actor, group, login string, version int64) (Group, error) {
	return Group{}, errDraft
}

// Leave ends a membership. Not being a member is success.
func (a *Accounts) Leave(ctx context.Context, by Actor, group, login string, version int64) (Group, error) {
	return Group{}, errDraft
}

// DeleteGroup removes a group. Its members stay what else they are.
func (a *Accounts) DeleteGroup(ctx context.Context, by Actor, name string, version int64) error {
	return errDraft
}

// AddToken makes an access token, and returns its secret.
func (a *Accounts) AddToken(ctx context.Context, by Actor, t NewToken) (Token, identity.Secret, error) {
	return Token{}, identity.Secret{}, errDraft
}

// Token returns a token by its id.
func (a *Accounts) Token(ctx context.Context, by Actor, id string) (Token, error) {
	return Token{}, errDraft
}

// Tokens returns the tokens of an owner, or with the zero Owner of everybody, in the order that they were made, and where the next page begins.
func (a *Accounts) Tokens(ctx context.Context, by Actor, owner Owner, page Page) (list []Token, next string, err error) {
	return nil, "", errDraft
}

// Revoke voids a token, and those that were made with it.
func (a *Accounts) Revoke(ctx context.Context, by Actor, id string) error { return errDraft }

// RevokeAll voids the tokens of an owner: those of a use, or all of them if use is "". It returns how many.
func (a *Accounts) RevokeAll(ctx context.Context, by Actor, owner Owner, use Use) (int, error) {
	return 0, errDraft
}

// IssueRefresh makes a refresh token for who was verified by what was shown. The zero Secret means that there is none for
// such a principal.
func (a *Accounts) IssueRefresh(ctx context.Context, shown identity.Credentials, who identity.Verified) (identity.Secret, error) {
	return identity.Secret{}, errDraft
}

// SetupSecret makes a secret with which SetUp makes the first administrator, once, before it expires. ErrExists: there is one already.
func (a *Accounts) SetupSecret(ctx context.Context) (secret identity.Secret, expires time.Time, err error) {
	return identity.Secret{}, time.Time{}, errDraft
}

// SetUp makes the first administrator. A secret that is wrong, expired or used is ErrForbidden.
func (a *Accounts) SetUp(ctx context.Context, secret identity.Secret, u NewUser, remote netip.Addr) (Account, error) {
	return Account{}, errDraft
}

// Administered says whether there is an administrator that can sign in.
func (a *Accounts) Administered(ctx context.Context) (bool, error) { return false, errDraft }

// Authenticate takes passwords, access tokens, robots' secrets and refresh tokens.
func (a *Accounts) Authenticate(ctx context.Context, c identity.Credentials) (identity.Verified, error) {
	return identity.Verified{}, errDraft
}

// Dummy takes as long as a wrong password.
func (a *Accounts) Dummy(ctx context.Context, c identity.Credentials) error { return errDraft }

// Find returns the principal of a login, or of a name and an id.
func (a *Accounts) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	return nil, errDraft
}

// Kinds are the kinds of credentials that Accounts is to be offered.
func Kinds() []identity.Kind {
	return []identity.Kind{identity.Password, identity.AccessToken, identity.RefreshToken}
}
