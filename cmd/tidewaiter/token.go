package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func tokenCommand() command {
	return command{
		use:   "token",
		short: "Manage personal access tokens and other credentials",
		sub: []command{{
			use:   "create --user NAME --name NAME",
			short: "Create a personal access token and print it",
			long: `Create a personal access token, which a user presents instead of a password,
and print it. The token is printed only once, because only its hash is stored. Standard output has
only the token.

At each use, the token has the rights that its owner has at that time. Restrict it with
--repositories and --actions. Patterns are written as in rules: * matches within one part of the
path, ** any number of parts.`,
			example: `  tidewaiter token create --user alice --name laptop --expires 90d
  tidewaiter token create --user alice --name deploy --repositories team/** --actions pull
  tidewaiter token create --user bob --source ldap:corp --name ci --actions pull,push --output json | jq -r .secret`,
			opens: changeAccounts,
			flags: tokenCreate,
		}, {
			use:   "list",
			short: "List tokens with their owners and last use",
			long: `List issued tokens, without their secrets: personal access tokens (access),
secrets of robots (robot), refresh tokens that docker and other clients store in place of a password
(refresh), and sessions of browsers (session).`,
			example: `  tidewaiter token list --user alice
  tidewaiter token list --output json | jq -r '.[] | select(.used == null) | .id'`,
			opens: readAccounts,
			flags: func(f *flags) action {
				o := newOwnerFlags(f, true)
				return func(s *session) error {
					return o.addSourceHint(s, printList(s, pagesOf(s.accounts.Credentials.Tokens, o.owner()),
						api.NewToken,
						[]string{"ID", "USE", "OWNER", "NAME", "FOR", "EXPIRES", "LAST USED"}, tokenRow))
				}
			},
		}, {
			use:   "revoke {ID... | --user NAME | --robot NAME}",
			short: "Revoke tokens",
			long: `Revoke tokens by their ids, or all tokens of an owner, or an owner's tokens with
a given use: access, robot, refresh or session. They stop working within two seconds. This cannot
be undone.`,
			example: `  tidewaiter token revoke 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b
  tidewaiter token revoke --user alice --use refresh`,
			opens: changeAccounts,
			flags: tokenRevoke,
		}, tokenIdentify()},
	}
}

func tokenCreate(f *flags) action {
	o := newOwnerFlags(f, false)
	name := f.String("name", "", "the `name` of the token, unique for its owner")
	var life lifetime
	f.Var(&life, "expires", "when the token expires, counted from now: 90d, 12h, never")
	repositories := f.StringSlice("repositories", nil, "restrict the token to repositories that match these `patterns` (default: all)")
	actions := f.StringSlice("actions", nil, "restrict the token to these `actions`: pull, push, delete (default all)")
	var restrictions []policy.Limit
	f.addCheck(func(s *session) (err error) {
		switch {
		case o.user == "":
			return s.usageErrorf("missing --user: name the owner of the token")
		case *name == "":
			return s.usageErrorf("missing --name: name the token")
		case f.Changed("repositories") || f.Changed("actions"):
			restrictions, err = s.restrictions(f, *repositories, *actions)
		}
		return err
	})
	return func(s *session) error {
		t, secret, err := s.accounts.Credentials.AddToken(s.ctx, s.by,
			credentials.NewToken{Owner: o.owner(), Name: *name, Limits: restrictions, Expires: life.endTime(clock.Now())})
		if err != nil {
			return o.addSourceHint(s, err)
		}
		return s.printSecret(api.NewToken(&t).WithSecret(secret), secret, "created token %s of %s for %s, valid until %s; the token is printed only once:",
			t.Name, text.Escape(t.Owner.String()), describePurpose(t.Limits), cmp.Or(formatMinute(t.Expires), "it is revoked"))
	}
}

// restrictions returns the restrictions that --repositories and --actions give a token.
func (s *session) restrictions(f *flags, repositories, actions []string) ([]policy.Limit, error) {
	limit := policy.Limit{Names: []string{"**"}, Actions: scope.Repository}
	if f.Changed("repositories") {
		limit.Names = repositories
	}
	if f.Changed("actions") {
		limit.Actions = 0
		for _, name := range actions {
			action, ok := scope.ParseAction(name)
			if !ok || !scope.Repository.Has(action) {
				return nil, s.usageErrorf("--actions: %q is not one of pull, push, delete", name)
			}
			limit.Actions |= action
		}
	}
	if err := limit.Check(); err != nil {
		return nil, s.usageErrorf("the token would grant nothing: %v", err)
	}
	return []policy.Limit{limit}, nil
}

func tokenRevoke(f *flags) action {
	o := newOwnerFlags(f, true)
	use := choose(f, "use", "", "", "only tokens of this use (default all)", credentials.Access, credentials.Robot, credentials.Refresh, credentials.Session)
	f.addCheck(func(s *session) error {
		named := o.owner() != credentials.Owner{}
		switch {
		case len(s.args) == 0 && !named:
			return s.usageErrorf("name the tokens: give their ids, or --user or --robot")
		case len(s.args) > 0 && (named || *use != ""):
			return s.usageErrorf("ids cannot be combined with --user, --robot or --use")
		}
		return nil
	})
	return func(s *session) (err error) {
		for _, id := range s.args {
			if err := s.accounts.Credentials.Revoke(s.ctx, s.by, id); err != nil {
				return err
			}
		}
		revoked := len(s.args)
		if revoked == 0 {
			if revoked, err = s.accounts.Credentials.RevokeAll(s.ctx, s.by, o.owner(), *use); err != nil {
				return o.addSourceHint(s, err)
			}
		}
		return s.print(map[string]int{"revoked": revoked}, "revoked %s", count(revoked, "token", "tokens"))
	}
}

// tokenRow returns a token as a row of a table.
func tokenRow(t *credentials.Token) []string {
	used := cmp.Or(formatMinute(t.Used), "never")
	if t.From.IsValid() {
		used += " from " + t.From.String()
	}
	what := describePurpose(t.Limits)
	if t.Registry != "" {
		what += " at " + text.Escape(t.Registry)
	}
	return []string{t.ID, string(t.Purpose), text.Escape(t.Owner.String()), text.Escape(cmp.Or(t.Name, t.Client, "-")), what, formatExpiry(t.Expires), used}
}

// describePurpose describes the actions that a token with these restrictions allows.
func describePurpose(restrictions []policy.Limit) string {
	if len(restrictions) == 0 {
		return "everything that its owner may do"
	}
	parts := make([]string, len(restrictions))
	for i, l := range restrictions {
		parts[i] = text.Escape(l.String())
	}
	return strings.Join(parts, "; ")
}

// ownerFlags has the flags that name the owner of tokens.
type ownerFlags struct{ user, robot, source string }

func newOwnerFlags(f *flags, robots bool) *ownerFlags {
	o := new(ownerFlags)
	f.StringVar(&o.user, "user", "", "the `name` of the user who owns the tokens")
	if robots {
		f.StringVar(&o.robot, "robot", "", "the `name` of the robot that owns the tokens")
	}
	f.StringVar(&o.source, "source", accounts.Source, "the identity `source` of the user, such as ldap:corp")
	f.addCheck(func(s *session) error {
		switch {
		case o.user != "" && o.robot != "":
			return s.usageErrorf("--user and --robot cannot be combined")
		case f.Changed("source") && o.user == "":
			return s.usageErrorf("--source requires --user")
		}
		return s.rejectRobot(o.user)
	})
	return o
}

// owner returns the owner that the flags name. If the flags name no owner, it returns the zero
// Owner.
func (o *ownerFlags) owner() credentials.Owner {
	switch {
	case o.robot != "":
		return credentials.Owner{Kind: policy.Robot, Source: accounts.Source, Name: strings.TrimPrefix(o.robot, accounts.RobotPrefix)}
	case o.user != "":
		return credentials.Owner{Kind: policy.User, Source: o.source, Name: o.user}
	}
	return credentials.Owner{}
}

// addSourceHint adds the flags for other sources to an error about an unknown user.
func (o *ownerFlags) addSourceHint(s *session, err error) error {
	if !errors.Is(err, admin.ErrNotFound) || o.user == "" {
		return err
	}
	known := o.source == accounts.Source
	var others []string
	for _, s := range s.cfg.Identity {
		if name := s.Name(); name == o.source {
			known = true
		} else {
			others = append(others, "--source "+name)
		}
	}
	switch {
	case !known:
		return fmt.Errorf("%w; the config has no source %q", err, o.source)
	case o.source == accounts.Source && len(others) > 0:
		return fmt.Errorf("%w; for a user of another source, use %s", err, strings.Join(others, " or "))
	}
	return err
}
