package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// Limits of the length of a secret. An attacker can guess a secret over the network as fast as
// Tidewaiter answers, so a secret must be long. minSecret random characters have 96 bits in
// base64, and 64 bits in hex.
const (
	minSecret = 16
	maxSecret = 1024
)

// writtenSecret has the three places where a secret can be. Exactly one of them must be set.
type writtenSecret struct {
	file, env, inline string
	secret            identity.Secret
}

// secretText is a secret in the config itself. Problems do not repeat the secret.
func secretText() strictyaml.Type[string] {
	return strictyaml.Scalar("secret", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		if wrong := wrongSecret(s); wrong != "" {
			d.Problem(n, "%s", wrong)
			return "", false
		}
		if d.Access&strictyaml.AnyRead != 0 {
			d.Warn(n, "the secret is in a file that all users of this machine can read")
		}
		return s, true
	})
}

// wrongSecret returns the error in a secret, or "" if the secret is valid.
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

// checkSecret reads the secret from the place that the section names, and checks its length and
// characters.
func checkSecret(d *strictyaml.Decoder, n *yaml.Node, s *writtenSecret) {
	if len(n.Content) != 2 {
		d.Problem(n, "one of secret_file, secret_env and secret is required")
		return
	}
	at, secret, prefix := n.Content[1], s.inline, ""
	switch {
	case s.file != "":
		src, access, err := d.Read(s.file, maxSecret+2)
		if err != nil {
			d.Problem(at, "%v", err)
			return
		}
		for _, warning := range access.Warnings(s.file, true) {
			d.Warn(at, "%s", warning)
		}
		secret, prefix = strings.TrimSuffix(strings.TrimSuffix(string(src), "\n"), "\r"), s.file+": "
	case s.env != "":
		v, ok := d.Env(s.env)
		if !ok {
			// The problem does not repeat the name, because somebody could have written the secret
			// in this place.
			d.Problem(at, "there is no such environment variable")
			return
		}
		secret, prefix = v, "in this environment variable: "
	}
	if wrong := wrongSecret(secret); wrong != "" {
		d.Problem(at, "%s%s", prefix, wrong)
		return
	}
	s.secret = identity.NewSecret(secret)
}
