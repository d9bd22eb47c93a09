package ldap

import (
	"errors"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Placeholders in filters.
var (
	namePlaceholder   = regexp.MustCompile(`\{name\}`)
	memberPlaceholder = regexp.MustCompile(`\{(?:dn|name|attribute:([^{}]*))\}`)
)

// checkFilter checks a filter that must contain at least one placeholder. The error contains
// the names of the placeholders.
func (s *settings) checkFilter(field, text, placeholderNames string, placeholder *regexp.Regexp) {
	plain := placeholder.ReplaceAllLiteralString(text, "x")
	switch _, err := ldap.CompileFilter(plain); {
	case err != nil:
		s.problem(field, "not a filter: %s", reason(err))
	case strings.ContainsAny(plain, "{}"):
		s.problem(field, "braces may only be part of %s", placeholderNames)
	case plain == text:
		s.problem(field, "%s is missing: the result would be the same for all users", placeholderNames)
	}
}

// checkTemplate checks a DN template. {name} must be a whole attribute value, so that escaping
// the name is enough.
func (s *settings) checkTemplate(field, text string) {
	const probe = "tidewaiter-probe"
	parsed, err := ldap.ParseDN(strings.ReplaceAll(text, "{name}", probe))
	switch {
	case err != nil:
		s.problem(field, "not a DN: %s", reason(err))
		return
	case strings.Count(text, "{name}") != 1:
		s.problem(field, "must contain {name} exactly once")
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

func (s *settings) attribute(field, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		s.problem(field, "%q is not an attribute name", name)
	}
}

// reason returns the library's error without its prefix and number.
func reason(err error) string {
	if e, ok := errors.AsType[*ldap.Error](err); ok && e.Err != nil {
		err = e.Err
	}
	return strings.TrimPrefix(err.Error(), "ldap: ")
}
