package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func newHashPassword() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hash-password",
		Short: "Hash a password for an htpasswd file or the config",
		Long: `Hash a password for an htpasswd file or the config. The password is prompted for, or read as one line
from standard input; the line end is not part of it. It cannot be an argument, because other users of
the machine can see command lines.

The hash is argon2id. Use --bcrypt for a hash that other programs read too.`,
		Example: `  tidewaiter hash-password --name alice >> users.htpasswd
  printf %s "$PASSWORD" | tidewaiter hash-password --bcrypt`,
	}
	name := cmd.Flags().String("name", "", "write a line of an htpasswd file for this `name`")
	bcrypt := cmd.Flags().Bool("bcrypt", false, "use bcrypt (passwords of at most 72 bytes)")
	cost := cmd.Flags().Int("cost", 10, "the bcrypt cost, 10 to 15: each step doubles the time of a sign-in")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("cost") && !*bcrypt {
			return usageErrorf(cmd, "--cost requires --bcrypt")
		}
		if err := entryName(*name); cmd.Flags().Changed("name") && err != nil {
			return usageErrorf(cmd, "--name: %v", err)
		}
		secret, err := askPassword(cmd)
		if err != nil {
			return err
		}
		if err := usable(secret); err != nil {
			return err
		}
		hashing := password.New(password.Options{Remember: -1})
		hash := ""
		if *bcrypt {
			hash, err = hashing.HashBcrypt(cmd.Context(), secret.Reveal(), *cost)
		} else {
			hash, err = hashing.Hash(cmd.Context(), secret.Reveal())
		}
		if err != nil {
			return err
		}
		if *name != "" {
			hash = *name + ":" + hash
		}
		fmt.Fprintln(cmd.OutOrStdout(), hash)
		return nil
	}
	return cmd
}

// entryName rejects names that an htpasswd file cannot contain.
func entryName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > identity.MaxName:
		return fmt.Errorf("a name has at most %d bytes", identity.MaxName)
	case strings.Contains(name, ":"):
		return errors.New("the name must not contain a colon, which ends the name in an htpasswd file")
	case strings.HasPrefix(name, "#"):
		return errors.New("the name must not begin with #, which begins a comment in an htpasswd file")
	case strings.TrimSpace(name) != name:
		return errors.New("the name must not begin or end with a space")
	case !text.Printable(name):
		return errors.New("the name contains a character that cannot be printed")
	}
	return nil
}

// usable rejects passwords that could not be used to sign in, because they would be taken for
// something else.
func usable(secret identity.Secret) error {
	switch text := secret.Reveal(); {
	case strings.IndexByte(text, 0) >= 0:
		return errors.New("a password must not contain a NUL byte")
	default:
		if what := identity.Misused(text); what != "" {
			return fmt.Errorf("the password looks like %s and would be taken for one at each sign-in", what)
		}
	}
	return nil
}

// askPassword prompts for a password twice if standard input is a terminal. Otherwise it reads one line.
func askPassword(cmd *cobra.Command) (identity.Secret, error) {
	if in, ok := cmd.InOrStdin().(*os.File); ok && isTerminal(in) {
		first, err := prompt(cmd, in, "Password: ")
		if err != nil {
			return identity.Secret{}, err
		}
		again, err := prompt(cmd, in, "Again: ")
		if err != nil {
			return identity.Secret{}, err
		}
		if !bytes.Equal(first, again) {
			return identity.Secret{}, errors.New("the two passwords differ")
		}
		return identity.NewSecret(string(first)), nil
	}
	return readPassword(cmd.InOrStdin())
}

// prompt reads a line without echo. It restores the terminal if a signal ends the program meanwhile.
func prompt(cmd *cobra.Command, in *os.File, text string) ([]byte, error) {
	fd := int(in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	type typed struct {
		line []byte
		err  error
	}
	read := make(chan typed, 1)
	fmt.Fprint(cmd.ErrOrStderr(), text)
	go func() { // after a signal it keeps reading until the program exits
		line, err := term.ReadPassword(fd)
		read <- typed{line, err}
	}()
	select {
	case t := <-read:
		fmt.Fprintln(cmd.ErrOrStderr())
		if t.err != nil {
			return nil, fmt.Errorf("reading the password: %w", t.err)
		}
		return t.line, nil
	case <-ctx.Done():
		fmt.Fprintln(cmd.ErrOrStderr())
		return nil, errors.Join(errors.New("reading the password: interrupted"), term.Restore(fd, state))
	}
}

// readPassword reads one line and removes only the line end. A password may be any bytes.
func readPassword(in io.Reader) (identity.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(in, identity.MaxSecret+3))
	if err != nil {
		return identity.Secret{}, fmt.Errorf("reading the password: %w", err)
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	switch {
	case len(text) == 0:
		return identity.Secret{}, errors.New("the password is empty")
	case bytes.IndexByte(text, '\n') >= 0:
		return identity.Secret{}, errors.New("the password must be a single line")
	case len(text) > identity.MaxSecret:
		return identity.Secret{}, fmt.Errorf("a password has at most %d bytes", identity.MaxSecret)
	}
	return identity.NewSecret(string(text)), nil
}
