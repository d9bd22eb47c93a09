package config

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// HTPasswd has names and hashed passwords, in a file, inline, or both.
type HTPasswd struct {
	Name    string // default "htpasswd"
	File    string
	Entries []string                       // "name:hash"
	Groups  map[string][]string            // group -> names
	Claims  map[string]map[string][]string // name -> claim -> values

	locatedSection
}

func htpasswdKeys() []*strictyaml.Key[HTPasswd] {
	return []*strictyaml.Key[HTPasswd]{
		strictyaml.On("name", sourceName(), func(h *HTPasswd, v string) { h.Name = v }).Or("htpasswd").
			Says("The name of this source in the log. A second htpasswd source needs another name."),
		strictyaml.On("file", strictyaml.FilePath("file"), func(h *HTPasswd, v string) { h.File = v }).
			Says("A file in the format of `htpasswd -B`. The file is read again when it changes. If a file with users becomes empty, the empty file is rejected and the users stay. To remove all users, write a line with `#`."),
		strictyaml.On("entries", strictyaml.List(passwordEntry()), func(h *HTPasswd, v []string) { h.Entries = v }).
			Says("Entries `name:hash`, like the lines of an htpasswd file. Use `entries` instead of `file` or in addition to it. Create the hash with `tidewaiter hash-password`."),
		strictyaml.On("groups", strictyaml.Map(strictyaml.List(strictyaml.Line)), func(h *HTPasswd, v map[string][]string) { h.Groups = v }).
			Says("Groups, each with its members. In rules, a group is `group:NAME`."),
		strictyaml.On("claims", strictyaml.Map(strictyaml.Map(strictyaml.List(strictyaml.Line))), func(h *HTPasswd, v map[string]map[string][]string) { h.Claims = v }).
			Says("Additional claims of a user. In rules, a claim is `${claims.NAME}`. In conditions, it is `claims.NAME`."),
	}
}

// passwordEntry is "name:hash". Problems do not repeat the entry, because it can contain a
// password in plain text.
func passwordEntry() strictyaml.Type[string] {
	return strictyaml.Scalar("entry", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		name, hash, found := strings.Cut(s, ":")
		switch {
		case !found:
			d.Problem(n, "an entry must be a name, a colon and a hash")
		case name == "" || strings.TrimSpace(name) != name || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			d.Problem(n, "the entry has no name, or white space around the name")
		case !slices.ContainsFunc([]string{"$2a$", "$2b$", "$2y$", "$argon2id$"}, func(kind string) bool { return strings.HasPrefix(hash, kind) }):
			d.Problem(n, "the entry of %s has no bcrypt or argon2id hash; create one with `tidewaiter hash-password` or `htpasswd -B`", text.QuoteShort(name))
		default:
			return s, true
		}
		return "", false
	})
}

func checkHTPasswd(d *strictyaml.Decoder, n *yaml.Node, h *HTPasswd) {
	h.node = n
	if h.File == "" && len(h.Entries) == 0 {
		d.Problem(n, "file or entries is required")
		return
	}
	names := make(map[string]bool, len(h.Entries))
	for i, entry := range h.Entries {
		name, _, _ := strings.Cut(entry, ":")
		if names[name] {
			d.Problem(strictyaml.At(n, "entries", i), "there is another entry for %s", text.QuoteShort(name))
		}
		names[name] = true
	}
	if h.File != "" {
		return // other names can be in the file, now or later
	}
	known := slices.Sorted(maps.Keys(names))
	check := func(name *yaml.Node) {
		if !names[name.Value] {
			d.Suggest(name, d.Nearest(name.Value, known), "there is no entry for %s", text.QuoteShort(name.Value))
		}
	}
	if groups := strictyaml.At(n, "groups"); groups != n {
		for i := 1; i < len(groups.Content); i += 2 {
			for _, member := range groups.Content[i].Content {
				check(member)
			}
		}
	}
	if claims := strictyaml.At(n, "claims"); claims != n {
		for i := 0; i < len(claims.Content); i += 2 {
			check(claims.Content[i])
		}
	}
}
