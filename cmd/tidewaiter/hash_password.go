package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func hashPasswordCommand() command {
	return command{
		use:   "hash-password",
		short: "Hash a password for an htpasswd file or the config",
		long: `Hash a password for an htpasswd file or the config. At a terminal, the command
prompts for the password. Otherwise it reads one line from standard input; the line end is not
part of the password. The password cannot be an argument, because other users of the machine can
see command lines.

The hash is argon2id. Use --bcrypt for a hash that other programs can read, too.`,
		example: `  tidewaiter hash-password --name alice >> users.htpasswd
  printf %s "$PASSWORD" | tidewaiter hash-password --bcrypt`,
		flags: func(f *flags) action {
			name := f.String("name", "", "write a line of an htpasswd file for this `name`")
			bcrypt := f.Bool("bcrypt", false, "use bcrypt (passwords of at most 72 bytes)")
			cost := f.Int("cost", 10, "the bcrypt cost, 10 to 15: each step doubles the time of a sign-in")
			f.addCheck(func(s *session) error {
				if f.Changed("cost") && !*bcrypt {
					return s.usageErrorf("--cost requires --bcrypt")
				}
				if err := checkEntryName(*name); f.Changed("name") && err != nil {
					return s.usageErrorf("--name: %v", err)
				}
				return nil
			})
			return func(s *session) error {
				secret, err := s.askPassword()
				if err == nil {
					err = checkPassword(secret)
				}
				if err != nil {
					return err
				}
				hashing := password.New(password.Options{Remember: -1})
				hash := ""
				if *bcrypt {
					hash, err = hashing.HashBcrypt(s.ctx, secret.Reveal(), *cost)
				} else {
					hash, err = hashing.Hash(s.ctx, secret.Reveal())
				}
				if err != nil {
					return err
				}
				if *name != "" {
					hash = *name + ":" + hash
				}
				return s.print(nil, "%s", hash)
			}
		},
	}
}

// checkEntryName rejects names that an htpasswd file cannot contain.
func checkEntryName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > username.MaxLength:
		return fmt.Errorf("a name has at most %d bytes", username.MaxLength)
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

// checkPassword rejects a password that Tidewaiter would treat as another kind of credential.
// Nobody could sign in with such a password.
func checkPassword(password identity.Secret) error {
	if strings.IndexByte(password.Reveal(), 0) >= 0 {
		return errors.New("a password must not contain a NUL byte")
	}
	if kind := secret.Misused(password.Reveal()); kind != "" {
		return fmt.Errorf("the password looks like %s, so signing in with it would fail: choose another password", kind)
	}
	return nil
}

// askPassword prompts for a password twice if standard input is a terminal. Otherwise it reads one
// line.
func (s *session) askPassword() (identity.Secret, error) {
	in, ok := s.in.(*os.File)
	if !ok || !isTerminal(in) {
		return readPassword(s.in)
	}
	var typed [2][]byte
	for i, text := range []string{"Password: ", "Again: "} {
		line, err := s.prompt(in, text)
		if err != nil {
			return identity.Secret{}, err
		}
		typed[i] = line
	}
	if !bytes.Equal(typed[0], typed[1]) {
		return identity.Secret{}, errors.New("the two passwords differ")
	}
	return identity.NewSecret(string(typed[0])), nil
}

// prompt reads a line without echo. If a signal ends the program, prompt first restores the
// terminal.
func (s *session) prompt(in *os.File, text string) (line []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading the password: %w", err)
		}
	}()
	fd := int(in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	s.untilStopped()
	read := make(chan error, 1)
	var typed []byte
	fmt.Fprint(s.errs, text)
	defer fmt.Fprintln(s.errs)
	go func() { // after a signal, this goroutine continues to read until the program exits
		var err error
		typed, err = term.ReadPassword(fd)
		read <- err
	}()
	select {
	case err := <-read:
		return typed, err
	case <-s.ctx.Done():
		return nil, errors.Join(errors.New("interrupted"), term.Restore(fd, state))
	}
}

// readPassword reads one line and removes only the line end. A password may contain any other
// byte.
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
