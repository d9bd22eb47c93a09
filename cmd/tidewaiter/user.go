package main

import (
	"crypto/rand"
	"net/netip"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

func userCommand() command {
	return command{
		use:   "user",
		short: "Manage local users",
		sub: slices.Insert(accountCommands(policy.User, "alice"), 0, command{
			use:   "add NAME",
			short: "Add a user",
			long: `Add a user. The command prompts for the password. With --password-stdin it
reads one line from standard input; the line end is not part of the password. The password cannot
be an argument, because other users of the machine can see command lines. --generate generates a
password and prints it once.

A name that another configured source has is refused, because rules would apply to both users. To
move the users of an htpasswd file with their passwords and groups, use "tidewaiter import
htpasswd".

With --admin, the user may change everything in Tidewaiter. This works before the first start of
the service too.`,
			example: `  tidewaiter user add alice --group developers
  tidewaiter user add --admin root
  printf %s "$PASSWORD" | tidewaiter user add bob --password-stdin`,
			opens:  changeAccounts,
			before: userOnly,
			flags: func(f *flags) action {
				f.oneOf("password-stdin", "generate", "no-password", "hash-stdin")
				password := passwordFlags(f)
				none := f.Bool("no-password", false, "add a user who signs in with tokens only")
				hash := f.Bool("hash-stdin", false, "read a bcrypt or argon2id password hash from standard input")
				administrator := f.Bool("admin", false, "make the user an administrator of Tidewaiter")
				auditor := f.Bool("auditor", false, "make the user an auditor, who can read everything in Tidewaiter")
				groups := f.list("group", "a `group` of the user")
				var u accounts.NewUser
				f.addCheck(func(s *session) (err error) {
					switch {
					case *none:
					case *hash:
						u.Hash, err = readPassword(s.in)
					default:
						u.Password, err = password.ask(s)
					}
					return err
				})
				return func(s *session) error {
					u.Name, u.Groups = s.args[0], *groups
					if *administrator {
						u.Groups = append(u.Groups, admin.Administrators)
					}
					if *auditor {
						u.Groups = append(u.Groups, admin.Auditors)
					}
					a, err := s.accounts.AddUser(s.ctx, s.by, u)
					s.warnUnchecked(&a)
					return s.printUser(&a, err, "added", password)
				}
			},
		}, command{
			use:   "password NAME",
			short: "Set a user's password",
			long: `Set a user's password. The command prompts for the password. With
--password-stdin it reads one line from standard input; the line end is not part of the password.
--generate generates a password and prints it once. Refresh tokens, which docker and others store
in place of a password, are revoked.`,
			example: `  tidewaiter user password alice
  tidewaiter user password alice --generate`,
			opens:  changeAccounts,
			before: userOnly,
			flags: func(f *flags) action {
				f.oneOf("password-stdin", "generate")
				password := passwordFlags(f)
				var secret identity.Secret
				f.addCheck(func(s *session) (err error) {
					secret, err = password.ask(s)
					return err
				})
				return func(s *session) error {
					a, err := s.accounts.SetPassword(s.ctx, s.by, s.args[0], secret, 0)
					return s.printUser(&a, err, "changed", password)
				}
			},
		}, command{
			use:   "allow NAME --from PREFIX",
			short: "Allow a user to sign in from a new place during an attack",
			long: `Add a known place for a user. After too many wrong passwords for a name,
sign-ins are rate limited at places where the user has never signed in. Known places have no such
limit. A place is an IPv4 /24 or an IPv6 /48. The service applies the change within a minute. This command
needs no sign-in, so an administrator cannot be locked out.`,
			example: "  tidewaiter user allow alice --from 203.0.113.0/24",
			opens:   changeAccounts,
			before:  userOnly,
			flags: func(f *flags) action {
				from := f.String("from", "", "the `prefix` or address to sign in from")
				var place netip.Prefix
				f.addCheck(func(s *session) (err error) {
					if place, err = ratelimit.ParsePlace(*from); err != nil {
						err = s.usageErrorf("--from: %s: %v", text.Escape(*from), err)
					}
					return err
				})
				return func(s *session) error {
					a, err := s.accounts.AllowPlace(s.ctx, s.by, s.args[0], place)
					return s.printAccount(&a, err, "allowed", "is already allowed there")
				}
			},
		}),
	}
}

// passwordSource has the flags that select the source of a password.
type passwordSource struct {
	stdin, generate bool
	generated       identity.Secret // printed once
}

func passwordFlags(f *flags) *passwordSource {
	p := new(passwordSource)
	f.BoolVar(&p.stdin, "password-stdin", false, "read the password from standard input")
	f.BoolVar(&p.generate, "generate", false, "generate a password and print it once")
	return p
}

// ask returns the password from the source that the flags select.
func (p *passwordSource) ask(s *session) (identity.Secret, error) {
	switch {
	case p.generate:
		p.generated = identity.NewSecret(rand.Text()) // 128 bits
		return p.generated, nil
	case !p.stdin && !isTerminal(s.in):
		return identity.Secret{}, s.usageErrorf("stdin is not a terminal: use --password-stdin to read the password from it, or --generate")
	}
	return s.askPassword() // prompt without echo, even with --password-stdin
}

// printUser prints the result of a change of a user. If the command has generated a password,
// printUser also prints the password.
func (s *session) printUser(a *accounts.Account, err error, result string, p *passwordSource) error {
	if err != nil || !p.generate {
		return s.printAccount(a, err, result, "")
	}
	return s.printSecret(api.NewAccount(a).WithSecret(p.generated), p.generated, "%s %s %s; the password is printed only once:", result, a.Kind, a.Name)
}
