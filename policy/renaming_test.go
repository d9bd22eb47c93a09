package policy_test

import (
	"math/rand/v2"
	"strings"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// renaming replaces each letter by another letter, always in the same way. So equal texts stay
// equal, different texts stay different, and the text around a * stays in its place.
type renaming struct{ letters [26]byte }

func drawRenaming(t *rapid.T) *renaming {
	r := new(renaming)
	for i, k := range rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "renaming"), 0)).Perm(26) {
		r.letters[i] = 'a' + byte(k)
	}
	return r
}

func (n *renaming) text(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return rune(n.letters[r-'a'])
		}
		return r
	}, s)
}

// renamePattern renames a pattern. It does not change placeholders.
func (n *renaming) renamePattern(s string) string {
	parts := strings.Split(s, "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, "${") {
			parts[i] = n.text(part)
		}
	}
	return strings.Join(parts, "/")
}

// renameSubject renames a subject. It does not change the word before the colon.
func (n *renaming) renameSubject(s string) string {
	word, name, named := strings.Cut(s, ":")
	if !named {
		return s
	}
	return word + ":" + n.text(name)
}

func (n *renaming) texts(list []string) []string    { return each(list, n.text) }
func (n *renaming) patterns(list []string) []string { return each(list, n.renamePattern) }
func (n *renaming) subjects(list []string) []string { return each(list, n.renameSubject) }

func each(list []string, f func(string) string) []string {
	var out []string
	for _, s := range list {
		out = append(out, f(s))
	}
	return out
}

// renameClaim renames a claim's value. It changes only strings.
func (n *renaming) renameClaim(value any) any {
	switch v := value.(type) {
	case string:
		return n.text(v)
	case []string:
		return n.texts(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = n.renameClaim(v[i])
		}
		return out
	}
	return value
}

func (n *renaming) request(r *policy.Request) *policy.Request {
	other, who := *r, *r.Principal
	who.Name, who.Groups = n.text(who.Name), n.texts(who.Groups)
	who.Claims = map[string]any{}
	for name, value := range r.Principal.Claims {
		who.Claims[name] = n.renameClaim(value)
	}
	who.Limits = nil
	for _, l := range r.Principal.Limits {
		if l.Type != scope.TypeRegistry { // the only name of this type is a word of the protocol
			l.Names = n.patterns(l.Names)
		}
		who.Limits = append(who.Limits, l)
	}
	other.Principal, other.Registry = &who, n.text(r.Registry)
	other.Scopes = nil
	for _, s := range r.Scopes {
		if s.Type != scope.TypeRegistry {
			s.Name = n.text(s.Name)
		}
		other.Scopes = append(other.Scopes, s)
	}
	return &other
}
