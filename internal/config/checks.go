package config

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// The checks of single sections: what their keys may say together.

func checkListener(d *decoder, n *yaml.Node, l *Listener) {
	for i, face := range l.Serve {
		if slices.Contains(l.Serve[:i], face) {
			d.problem(item(value(n, "serve"), i), "%s is listed twice", face)
		}
	}
}

func checkTLS(d *decoder, n *yaml.Node, t *TLS) {
	files := t.Certificate != "" || t.Key != ""
	switch {
	case files && t.SelfSigned:
		d.problem(value(n, "self_signed"), "self_signed generates a certificate; certificate and key would not be used")
	case files && t.Certificate == "":
		d.problem(n, "certificate is missing")
	case files && t.Key == "":
		d.problem(n, "key is missing")
	case !files && !t.SelfSigned:
		d.problem(n, "certificate and key are required, or self_signed: true")
	}
}

// fixedPaths are served whatever paths says.
var fixedPaths = []string{"/healthz", "/readyz", "/metrics", "/.well-known/jwks.json", "/openapi.json"}

func checkPaths(d *decoder, n *yaml.Node, p *Paths) {
	for i, alias := range p.TokenAliases {
		at := item(value(n, "token_aliases"), i)
		switch {
		case slices.Contains(fixedPaths, alias) || strings.HasPrefix(alias+"/", "/api/"):
			d.problem(at, "%s is served already", alias)
		case alias == p.Token || alias == p.Notifications || slices.Contains(p.TokenAliases[:i], alias):
			d.problem(at, "%s is written twice", text.QuoteShort(alias))
		}
	}
	for _, path := range []struct{ name, is string }{{"token", p.Token}, {"notifications", p.Notifications}} {
		if slices.Contains(fixedPaths, path.is) || strings.HasPrefix(path.is+"/", "/api/") {
			d.problem(value(n, path.name), "%s is served already", path.is)
		}
	}
	if p.Token == p.Notifications {
		d.problem(value(n, "notifications"), "both paths are %s", p.Token)
	}
}

// root is where the signing root is from: two files, or a folder that has them.
type root struct{ certificate, key, folder string }

func (r root) files() (certificate, key string) {
	if r.folder != "" {
		return filepath.Join(r.folder, "cert.pem"), filepath.Join(r.folder, "privatekey.pem")
	}
	return r.certificate, r.key
}

func checkRoot(d *decoder, n *yaml.Node, r *root) {
	files := r.certificate != "" || r.key != ""
	switch {
	case files && r.folder != "":
		d.problem(value(n, "folder"), "give certificate and key, or a folder, not both")
	case files && r.certificate == "":
		d.problem(n, "certificate is missing")
	case files && r.key == "":
		d.problem(n, "key is missing")
	case !files && r.folder == "":
		d.problem(n, "certificate and key are required, or a folder")
	}
}

func checkSource(d *decoder, n *yaml.Node, s *Source) {
	s.Line = n.Line
	if len(n.Content) != 2 {
		d.problem(n, "each entry must have one kind of source")
	}
}

// sourceName is the name of a source. A colon would make it look like the kind of another.
func sourceName() valueType[string] {
	return scalar("name", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		if !sourcePattern.MatchString(s) {
			d.problem(n, "%s is not a valid source name: use up to 63 letters, digits, - and _", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

var sourcePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// passwordEntry is "name:hash". No problem repeats it: it may be a password in plain text.
func passwordEntry() valueType[string] {
	return scalar("name:hash", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		name, hash, found := strings.Cut(s, ":")
		switch {
		case !found:
			d.problem(n, "an entry must be a name, a colon and a hash")
		case name == "" || strings.TrimSpace(name) != name || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			d.problem(n, "the entry has no name, or white space around the name")
		case !slices.ContainsFunc([]string{"$2a$", "$2b$", "$2y$", "$argon2id$"}, func(kind string) bool { return strings.HasPrefix(hash, kind) }):
			d.problem(n, "the entry of %s has no bcrypt or argon2id hash; create one with `tidewaiter hash-password` or `htpasswd -B`", text.QuoteShort(name))
		default:
			return s, true
		}
		return "", false
	})
}

func checkHTPasswd(d *decoder, n *yaml.Node, h *HTPasswd) {
	h.node = n
	if h.File == "" && len(h.Entries) == 0 {
		d.problem(n, "file or entries is required")
		return
	}
	names := make(map[string]bool, len(h.Entries))
	for i, entry := range h.Entries {
		name, _, _ := strings.Cut(entry, ":")
		if names[name] {
			d.problem(item(value(n, "entries"), i), "there is another entry for %s", text.QuoteShort(name))
		}
		names[name] = true
	}
	if h.File != "" {
		return // it may know more names, now or later
	}
	known := slices.Sorted(maps.Keys(names))
	groups := value(n, "groups")
	for i := 0; groups != n && i+1 < len(groups.Content); i += 2 {
		for _, member := range groups.Content[i+1].Content {
			if !names[member.Value] {
				d.suggest(member, d.nearest(member.Value, known), "there is no entry for %s", text.QuoteShort(member.Value))
			}
		}
	}
	claims := value(n, "claims")
	for i := 0; claims != n && i+1 < len(claims.Content); i += 2 {
		if who := claims.Content[i]; !names[who.Value] {
			d.suggest(who, d.nearest(who.Value, known), "there is no entry for %s", text.QuoteShort(who.Value))
		}
	}
}
