package config

import (
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// checkListener and the functions below check the keys of one section together.
func checkListener(d *strictyaml.Decoder, n *yaml.Node, l *Listener) {
	for i, group := range l.Serve {
		if slices.Contains(l.Serve[:i], group) {
			d.Problem(strictyaml.At(n, "serve", i), "%s is listed twice", group)
		}
	}
}

func checkTLS(d *strictyaml.Decoder, n *yaml.Node, t *TLS) {
	checkPair(d, n, t.Certificate, t.Key, "self_signed",
		"self_signed generates a certificate; certificate and key would not be used",
		"certificate and key are required, or self_signed: true")
}

// checkPair checks that a section has either a certificate and its key, or the alternative
// setting. If the section has both, checkPair reports the text ifBoth. If the section has neither
// the pair nor the alternative, checkPair reports the text ifNeither.
func checkPair(d *strictyaml.Decoder, n *yaml.Node, certificate, key, alternative, ifBoth, ifNeither string) {
	switch replaced := strictyaml.Has(n, alternative); {
	case replaced && certificate+key != "":
		d.Problem(strictyaml.At(n, alternative), "%s", ifBoth)
	case replaced:
	case certificate+key == "":
		d.Problem(n, "%s", ifNeither)
	case certificate == "":
		d.Problem(n, "certificate is missing")
	case key == "":
		d.Problem(n, "key is missing")
	}
}

// fixedPaths are always served.
var fixedPaths = []string{"/healthz", "/readyz", "/metrics", "/.well-known/jwks.json", "/openapi.json"}

func isFixed(path string) bool {
	return slices.Contains(fixedPaths, path) || strings.HasPrefix(path+"/", "/api/")
}

func checkPaths(d *strictyaml.Decoder, n *yaml.Node, p *paths) {
	for i, alias := range p.TokenAliases {
		at := strictyaml.At(n, "token_aliases", i)
		switch {
		case isFixed(alias):
			d.Problem(at, "%s is served already", alias)
		case alias == p.Token || alias == p.Notifications || slices.Contains(p.TokenAliases[:i], alias):
			d.Problem(at, "%s is written twice", text.QuoteShort(alias))
		}
	}
	for name, path := range map[string]string{"token": p.Token, "notifications": p.Notifications} {
		if isFixed(path) {
			d.Problem(strictyaml.At(n, name), "%s is served already", path)
		}
	}
	if p.Token == p.Notifications {
		d.Problem(strictyaml.At(n, "notifications"), "both paths are %s", p.Token)
	}
}

// root is the location of the signing root: two files, or a folder with both.
type root struct{ certificate, key, folder string }

func (r root) files() (certificate, key string) {
	if r.folder != "" {
		return filepath.Join(r.folder, "cert.pem"), filepath.Join(r.folder, "privatekey.pem")
	}
	return r.certificate, r.key
}

func checkRoot(d *strictyaml.Decoder, n *yaml.Node, r *root) {
	checkPair(d, n, r.certificate, r.key, "folder",
		"give certificate and key, or a folder, not both", "certificate and key are required, or a folder")
}
