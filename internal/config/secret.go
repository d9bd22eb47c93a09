package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Secret hands out a secret text when it is called. It holds a function, which prints as nothing that
// could be read; what asks it to print itself gets "[secret]".
type Secret func() string

// String returns "[secret]", or "" where there is none.
func (s Secret) String() string {
	if s == nil {
		return ""
	}
	return "[secret]"
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns what String does, for JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bounds of a secret. It is guessed at over the network, as fast as we answer: 16 random characters
// are 96 bits in base64 and 64 in hex.
const (
	minSecret = 16
	maxSecret = 1024
)

// writtenSecret is where a secret comes from, one of three.
type writtenSecret struct {
	file, env, inline string
	secret            Secret
}

// secretText is a secret in the config itself. No problem repeats it.
func secretText() valueType[string] {
	return scalar("secret", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		if wrong := wrongSecret(s); wrong != "" {
			d.problem(n, "%s", wrong)
			return "", false
		}
		if d.open&anyRead != 0 {
			d.warn(n, "the secret is in a file that everybody on this machine can read")
		}
		return s, true
	})
}

// wrongSecret says what is wrong with a secret; "" if nothing is.
func wrongSecret(s string) string {
	switch {
	case s == "":
		return "the secret is empty"
	case len(s) < minSecret:
		return fmt.Sprintf("the secret has fewer than %d characters", minSecret)
	case len(s) > maxSecret:
		return fmt.Sprintf("the secret has more than %d characters", maxSecret)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "the secret has a space, a line end or a character beyond ASCII in it, which an HTTP header cannot contain"
	}
	return ""
}

// checkSecret fetches the secret from the one place that is named.
func checkSecret(d *decoder, n *yaml.Node, s *writtenSecret) {
	places := 0
	for _, place := range []string{s.file, s.env, s.inline} {
		if place != "" {
			places++
		}
	}
	if places != 1 {
		d.problem(n, "one of secret_file, secret_env and secret is required")
		return
	}
	secret := s.inline
	switch {
	case s.file != "":
		at := value(n, "secret_file")
		src, open, err := d.disk.read(s.file, maxSecret+2)
		if err != nil {
			d.problem(at, "%v", err)
			return
		}
		for _, warning := range open.warnings(s.file, true) {
			d.warn(at, "%s", warning)
		}
		secret = strings.TrimSuffix(strings.TrimSuffix(string(src), "\n"), "\r")
		if wrong := wrongSecret(secret); wrong != "" {
			d.problem(at, "%s: %s", s.file, wrong)
			return
		}
	case s.env != "":
		at := value(n, "secret_env")
		v, ok := d.env(s.env)
		if !ok {
			d.problem(at, "there is no such environment variable") // its name may be the secret, by mistake
			return
		}
		if wrong := wrongSecret(v); wrong != "" {
			d.problem(at, "in this environment variable: %s", wrong)
			return
		}
		secret = v
	}
	s.secret = func() string { return secret }
}
