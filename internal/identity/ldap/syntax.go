package ldap

import (
	"errors"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/dn"
)

// filter checks a filter with placeholders, of which one at least must be there.
func (s *settings) filter(field, text string, placeholders ...string) {
	plain, found := text, false
	for _, p := range placeholders {
		found = found || strings.Contains(text, p)
		plain = strings.ReplaceAll(plain, p, "x")
	}
	switch _, err := ldap.CompileFilter(plain); {
	case err != nil:
		s.problem(field, "this is no filter: %s", reason(err))
	case strings.ContainsAny(plain, "{}"):
		s.problem(field, "it has braces in it that are not %s", strings.Join(placeholders, " or "))
	case !found:
		s.problem(field, "%s is missing: it would find the same whoever asks", strings.Join(placeholders, " or "))
	}
}

// template checks the template of a DN: {name} must be a whole value, so that escaping it is enough.
func (s *settings) template(field, text string) {
	const probe = "tidewaiter-probe"
	parsed, err := ldap.ParseDN(strings.ReplaceAll(text, "{name}", probe))
	switch {
	case err != nil:
		s.problem(field, "this is no DN: %s", reason(err))
		return
	case strings.Count(text, "{name}") != 1:
		s.problem(field, "{name} is wanted in it, once")
		return
	}
	for _, rdn := range parsed.RDNs {
		for _, a := range rdn.Attributes {
			if a.Value == probe {
				return
			}
		}
	}
	s.problem(field, "{name} must be the whole value of an attribute, as in uid={name},ou=people")
}

func (s *settings) dn(field, text string) {
	if _, err := dn.Parse(text); err != nil {
		s.problem(field, "this is no DN: %s", err)
	}
}

func (s *settings) attribute(field, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		s.problem(field, "%q is no name of an attribute", name)
	}
}

// reason is what the library says is wrong, without its name and numbers.
func reason(err error) string {
	if e, ok := errors.AsType[*ldap.Error](err); ok && e.Err != nil {
		err = e.Err
	}
	return strings.TrimPrefix(err.Error(), "ldap: ")
}
