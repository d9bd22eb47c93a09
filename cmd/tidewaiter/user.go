package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

func newUser() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Manage local users",
	}
	cmd.AddCommand(newUserAdd(), newAccountList(policy.User), newAccountShow(policy.User), newUserPassword(),
		newAccountDisable(policy.User), newAccountEnable(policy.User), newAccountExpire(policy.User), newUserAllow(), newAccountDelete(policy.User))
	return cmd
}

func newUserAllow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "allow NAME --from PREFIX",
		Short: "Allow a user to sign in from a new place during an attack",
		Long: `Add a known place for a user. After too many wrong passwords for a name, sign-ins are rate limited at
places where the user never signed in, but not at known places. A place is an IPv4 /24 or an IPv6 /48.
The service applies the change within a minute. This command needs no sign-in, so an administrator
cannot be locked out.`,
		Example: "  tidewaiter user allow alice --from 203.0.113.0/24",
		Args:    cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	from := cmd.Flags().String("from", "", "the `prefix` or address to sign in from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		prefix, err := ratelimit.ParsePlace(*from)
		if err != nil {
			return usageErrorf(cmd, "--from: %s: %v", text.Escape(*from), err)
		}
		if err := hasKind(cmd, policy.User, args[0]); err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			a, err := d.AllowPlace(ctx, d.by, args[0], prefix)
			if err != nil {
				return err
			}
			return k.done(cmd, "allowed", &a, "is already allowed there")
		})
	}
	return cmd
}

func newUserAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long: `Add a user. The password is prompted for, or read as one line from standard input with --password-stdin; the
line end is not part of it. It cannot be an argument, because other users of the machine can see
command lines. --generate generates a password and prints it once.

A name that another configured source has is refused, because rules would apply to both. To move the
users of an htpasswd file with their passwords and groups, use "tidewaiter import htpasswd".

With --admin the user may change everything in Tidewaiter. This works before the first start of the
service too.`,
		Example: `  tidewaiter user add alice --group developers
  tidewaiter user add --admin root
  printf %s "$PASSWORD" | tidewaiter user add bob --password-stdin`,
		Args: cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	password := passwordFlags(cmd)
	none := cmd.Flags().Bool("no-password", false, "add a user who signs in with tokens only")
	hash := cmd.Flags().Bool("hash-stdin", false, "read a bcrypt or argon2id password hash from standard input")
	admin := cmd.Flags().Bool("admin", false, "make the user an administrator of Tidewaiter")
	auditor := cmd.Flags().Bool("auditor", false, "make the user an auditor, who can read everything in Tidewaiter")
	groups := cmd.Flags().StringArray("group", nil, "a `group` of the user (may be repeated)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := oneOf(cmd, "password-stdin", "generate", "no-password", "hash-stdin"); err != nil {
			return err
		}
		if err := hasKind(cmd, policy.User, args[0]); err != nil {
			return err
		}
		u := accounts.NewUser{Name: args[0], Groups: *groups}
		if *admin {
			u.Groups = append(u.Groups, accounts.Administrators)
		}
		if *auditor {
			u.Groups = append(u.Groups, accounts.Auditors)
		}
		var made identity.Secret
		var err error
		switch {
		case *none:
		case *hash:
			u.Hash, err = readPassword(cmd.InOrStdin())
		default:
			u.Password, made, err = password.ask(cmd)
		}
		if err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			a, err := d.AddUser(ctx, d.by, u)
			if err != nil {
				return err
			}
			warnUnchecked(cmd, &a)
			return k.doneWith(cmd, "added", &a, made)
		})
	}
	return cmd
}

// warnUnchecked names the sources that could not be asked whether they have the name of a new account.
func warnUnchecked(cmd *cobra.Command, a *accounts.Account) {
	for _, source := range a.Unchecked {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: whether another source has the name %s, too, could not be checked: %s\n", a.Login(), text.Escape(source))
	}
}

// oneOf returns a usage error if more than one of the flags is given.
func oneOf(cmd *cobra.Command, names ...string) error {
	first := ""
	for _, name := range names {
		switch {
		case !cmd.Flags().Changed(name):
		case first == "":
			first = name
		default:
			return usageErrorf(cmd, "--%s and --%s cannot be combined", first, name)
		}
	}
	return nil
}

// doneWith is done for an account whose password may have been generated.
func (k accountFlags) doneWith(cmd *cobra.Command, verb string, a *accounts.Account, made identity.Secret) error {
	switch {
	case made.Reveal() == "":
		return k.done(cmd, verb, a, "")
	case *k.output == asJSON:
		return writeJSON(cmd.OutOrStdout(), api.NewAccount(a, made))
	}
	return showSecret(cmd, made.Reveal(), "%s %s %s; the password is printed only once:", verb, a.Kind, a.Name)
}

func newUserPassword() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "password NAME",
		Short: "Set a user's password",
		Long: `Set a user's password. It is prompted for, or read as one line from standard input with --password-stdin; the
line end is not part of it. --generate generates a password and prints it once. Refresh tokens, which
docker and others store in place of a password, are revoked.`,
		Example: `  tidewaiter user password alice
  tidewaiter user password alice --generate`,
		Args: cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	password := passwordFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := oneOf(cmd, "password-stdin", "generate"); err != nil {
			return err
		}
		if err := hasKind(cmd, policy.User, args[0]); err != nil {
			return err
		}
		secret, made, err := password.ask(cmd)
		if err != nil {
			return err
		}
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			a, err := d.SetPassword(ctx, d.by, args[0], secret, 0)
			if err != nil {
				return err
			}
			return k.doneWith(cmd, "changed", &a, made)
		})
	}
	return cmd
}

// asking has the flags for where a password comes from.
type asking struct{ stdin, generate bool }

func passwordFlags(cmd *cobra.Command) *asking {
	a := new(asking)
	cmd.Flags().BoolVar(&a.stdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&a.generate, "generate", false, "generate a password and print it once")
	return a
}

// ask returns the password. If it was generated, ask returns it as made too.
func (a *asking) ask(cmd *cobra.Command) (secret, made identity.Secret, err error) {
	switch {
	case a.generate:
		made = identity.NewSecret(rand.Text()) // 128 bits
		return made, made, nil
	case !a.stdin && !isTerminal(cmd.InOrStdin()):
		return secret, made, usageErrorf(cmd, "stdin is not a terminal: use --password-stdin to read the password from it, or --generate")
	}
	secret, err = askPassword(cmd) // a terminal does not echo it, even with --password-stdin
	if err != nil {
		return identity.Secret{}, identity.Secret{}, err
	}
	return secret, identity.Secret{}, nil
}
