package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/leak"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of the input of token identify.
const (
	maxLeaked      = 64 << 10
	maxCertificate = 64 << 10
)

func tokenIdentify() command {
	return command{
		use:   "identify VALUE",
		short: "Find out which credential a leaked text is",
		long: `Find out which credential a leaked text is, who owns it, whether it is still valid, and for
which requests it was used. With -, the command reads the text from standard input. At a terminal, it
prompts for the text without echo. The text can contain other text, such as quotes, a header, or the
config.json of docker. The first credential in the text counts. The command recognizes all credentials
that Tidewaiter issues, and ID tokens of the issuers in the config. It does not recognize passwords.

A secret cannot be an argument, because other users of the machine can see arguments, and shells
store them. VALUE can be the SHA-256 of a secret, the id of a token, or the id of a registry's token
(jti).

The text is not printed and not stored, and the command does not count as a use. To verify an ID
token, the command fetches the keys of the issuer. The uses of a credential are its decisions in the
journal, and the decisions of credentials that it created. The time of the last use includes uses of
the API.

Exits 0 if the credential is known here, and 1 otherwise.`,
		example: `  tidewaiter token identify - < leaked.txt
  tidewaiter token identify 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b
  tidewaiter token identify - --root former-root.pem --output json < leaked.txt`,
		config: true,
		output: true,
		flags: func(f *flags) action {
			roots := f.list("root", "the certificate `file` of a former root, to recognize tokens that it signed")
			f.completeFiles("root", "pem", "crt")
			f.addCheck(func(s *session) error {
				if v := s.args[0]; v != "-" && !tokenID.MatchString(v) && !digest.MatchString(v) {
					return s.usageErrorf("the value is neither an id nor a SHA-256. A secret cannot be an argument, because other users of the machine can see it: give - and write the secret to standard input")
				}
				return nil
			})
			return func(s *session) error {
				c, err := s.identify(*roots)
				if err != nil {
					return err
				}
				if s.printsJSON() {
					err = s.writeJSON(c)
				} else {
					err = s.printLeaked(&c)
				}
				if err == nil && !c.Known {
					err = errReported
				}
				return err
			}
		},
	}
}

var (
	tokenID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	digest  = regexp.MustCompile(`^(sha256:)?[0-9a-fA-F]{64}$`)
)

func (s *session) identify(roots []string) (c leak.Credential, err error) {
	if err := readAccounts(s); err != nil {
		return c, err
	}
	if err := readJournal(s); err != nil {
		return c, err
	}
	f := leak.Finder{
		Credentials: s.accounts.Credentials, Setup: s.accounts.SetupExpires, Administered: s.accounts.Administered, Journal: s.journal,
		HasSource: func(name string) bool {
			return slices.ContainsFunc(s.cfg.Identity, func(i config.Source) bool { return i.Name() == name })
		},
		HasRegistry: func(service string) bool {
			return slices.ContainsFunc(s.cfg.Registries, func(r config.Registry) bool { return r.Service == service })
		},
		Issuer: s.cfg.Token.Issuer, IDToken: offline.Sources(s.cfg, nil).VerifyIDToken, Now: clock.Now(), Enough: func(int) bool { return false },
	}
	for i, file := range append([]string{s.cfg.Signing.Certificate}, roots...) {
		certificate, err := endpoint.ReadFile(file, maxCertificate)
		if err != nil {
			return c, fmt.Errorf("reading the certificate of a root: %w", err)
		}
		name := "the current root"
		if i > 0 {
			name = "the root in " + file
		}
		f.Roots = append(f.Roots, leak.Root{Name: name, Certificate: certificate})
	}
	switch value := s.args[0]; {
	case tokenID.MatchString(value):
		return f.ByID(s.ctx, s.by, value)
	case value != "-":
		return f.ByDigest(s.ctx, s.by, strings.TrimPrefix(value, "sha256:"))
	}
	leaked, err := s.readLeaked()
	if err != nil {
		return c, err
	}
	return f.Identify(s.ctx, s.by, leaked)
}

// readLeaked reads the leaked text from standard input.
func (s *session) readLeaked() (identity.Secret, error) {
	if in, ok := s.in.(*os.File); ok && isTerminal(in) {
		line, err := s.prompt(in, "Leaked text: ")
		return identity.NewSecret(string(line)), err
	}
	leaked, err := io.ReadAll(io.LimitReader(s.in, maxLeaked+1))
	switch {
	case err != nil:
		return identity.Secret{}, fmt.Errorf("reading the leaked text: %w", err)
	case len(leaked) > maxLeaked:
		return identity.Secret{}, fmt.Errorf("the text has more than %d kB: give the part with the credential", maxLeaked>>10)
	case len(leaked) == 0:
		return identity.Secret{}, errors.New("standard input is empty")
	}
	return identity.NewSecret(string(leaked)), nil
}

func (s *session) printLeaked(c *leak.Credential) error {
	p := paintFor(s.out)
	fmt.Fprintln(s.out, p.bold(c.What))
	valid := ""
	switch {
	case c.Valid:
		valid = p.red("yes")
	case c.Reason != "":
		valid = "no: " + text.Escape(c.Reason)
	}
	owner := text.Escape(c.Owner)
	if c.Source != "" {
		owner = strings.TrimSpace(owner + " (from " + text.Escape(c.Source) + ")")
	}
	var restrictions []string
	for _, r := range c.Restrictions {
		restrictions = append(restrictions, strings.Join(r.Actions, ",")+" on "+strings.Join(r.Names, ", "))
	}
	used := formatSecond(c.Used)
	if c.UsedFrom != "" {
		used += " from " + c.UsedFrom
	}
	err := s.printFields(nil, "valid", valid, "owner", owner, "name", text.Escape(c.Name), "id", c.ID, "issuer", text.Escape(c.Issuer),
		"signed by", text.Escape(c.Signer), "registry", text.Escape(c.Registry), "restricted to", text.Escape(strings.Join(restrictions, "; ")),
		"allows", text.Escape(strings.Join(c.Access, " ")), "created", formatSecond(c.Created), "expires", formatSecond(c.Expires), "last used", used)
	if u := c.Uses; err == nil && u != nil {
		s.printUses(u)
	}
	switch {
	case err != nil || !c.Known:
	case c.Kind == leak.RegistryToken && c.Valid:
		fmt.Fprintln(s.out, "\nA registry's token cannot be revoked: it expires by itself.")
	case c.ID != "" && c.Kind != leak.RegistryToken:
		fmt.Fprintf(s.out, "\nTo revoke it: tidewaiter token revoke %s\n", c.ID)
	}
	return err
}

func (s *session) printUses(u *leak.Uses) {
	if u.Count == 0 {
		fmt.Fprint(s.out, "\nThe journal has no uses of it")
	} else {
		fmt.Fprintf(s.out, "\nThe journal has %s of it, from %s to %s", count(u.Count, "use", "uses"), formatSecond(u.First), formatSecond(u.Last))
	}
	if u.Derived > 0 {
		fmt.Fprintf(s.out, ", with those of %s that %s created with it", count(u.Derived, "credential", "credentials"), cmp.Or(map[int]string{1: "was"}[u.Derived], "were"))
	}
	if !u.Searched.IsZero() {
		fmt.Fprintf(s.out, "; entries before %s were not searched", formatSecond(u.Searched))
	}
	fmt.Fprintln(s.out, ".")
	for _, e := range u.Entries {
		fmt.Fprintf(s.out, "%s %s %s\n", paintFor(s.out).faint(formatSecond(e.Time)), e.Summary, paintFor(s.out).faint("id="+e.ID))
	}
	if more := u.Count - len(u.Entries); more > 0 {
		fmt.Fprintf(s.out, "and %d more\n", more)
	}
}
