package oidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
)

// ownClaim is a claim that identifies a customer of a shared issuer.
type ownClaim struct {
	claim string
	// forms describe the values. A ? in a form means a name or an id of one customer. Such a name
	// or id has letters, digits, "-", "." and "_". A … at the end means any text.
	forms []string
}

// otherName represents the name of another customer. No pattern contains this character, so only *
// matches it.
const otherName = "\ufffc"

// excludesOthers reports whether the requirements exclude other customers of the issuer. If the
// requirements do not exclude them, excludesOthers also returns the requirements that anyone can
// meet.
func (p preset) excludesOthers(o *Options) (ok bool, wide []string) {
	for _, own := range p.own {
		patterns := o.Require[own.claim]
		if len(patterns) == 0 {
			continue
		}
		i := slices.IndexFunc(patterns, own.matchesOthers)
		if i < 0 {
			return true, nil
		}
		wide = append(wide, fmt.Sprintf("%s: %q", own.claim, patterns[i]))
	}
	return false, wide
}

// matchesOthers reports whether the pattern matches values of another customer, for any name of
// that customer.
func (c ownClaim) matchesOthers(pattern string) bool { return c.matches(pattern, otherName) }

// matches reports whether the pattern matches a value that has one of the forms. In such a value,
// the given name replaces the first ? of the form, and otherName replaces each further ?.
func (c ownClaim) matches(pattern, name string) bool {
	return slices.ContainsFunc(c.forms, func(form string) bool {
		before, behind, _ := strings.Cut(form, "?")
		value := before + name + strings.ReplaceAll(behind, "?", otherName)
		if begin, ok := strings.CutSuffix(value, "…"); ok {
			return matchesPrefix(pattern, begin)
		}
		return glob(pattern).MatchString(value)
	})
}

// wildcardName returns the part of a pattern that matches a name and contains a *, or "". In
// "acme*/app", this part is "acme*". Anyone could register acme-2.
func (c ownClaim) wildcardName(pattern string) string {
	for _, form := range c.forms {
		before, _, _ := strings.Cut(form, "?")
		name, ok := strings.CutPrefix(pattern, before)
		if !ok {
			continue
		}
		if i := strings.IndexAny(name, "/@:"); i >= 0 {
			name = name[:i]
		}
		if strings.Contains(name, "*") && c.matches(pattern, strings.ReplaceAll(name, "*", otherName)) {
			return name
		}
	}
	return ""
}

// matchesPrefix reports whether the pattern matches at least one text with the given
// prefix.
func matchesPrefix(pattern, prefix string) bool {
	switch {
	case prefix == "":
		return true
	case pattern == "":
		return false
	case strings.HasPrefix(pattern, "**"):
		return matchesPrefix(pattern[2:], prefix) || matchesPrefix(pattern, prefix[1:])
	case pattern[0] == '*':
		return matchesPrefix(pattern[1:], prefix) || prefix[0] != '/' && matchesPrefix(pattern, prefix[1:])
	}
	return pattern[0] == prefix[0] && matchesPrefix(pattern[1:], prefix[1:])
}

// checkRestricted adds a problem if every customer of a shared issuer meets the requirements. If
// a new customer could choose a name that meets the requirements, checkRestricted adds a warning.
func (s *settings) checkRestricted() {
	name, known := sharedPreset(&s.o)
	if known.sharedIssuer == "" {
		return // no other customers
	}
	ok, wide := known.excludesOthers(&s.o)
	if !ok {
		text := unrestrictedText(name, known)
		if len(wide) > 0 {
			text = fmt.Sprintf("%s matches everyone; %s", strings.Join(wide, " and "), text)
		}
		s.problem("require", -1, "%s", text)
		return
	}
	for _, own := range known.own {
		for _, pattern := range s.o.Require[own.claim] {
			if name := own.wildcardName(pattern); name != "" && !own.matchesOthers(pattern) {
				s.warn("require", -1, "%s: %q: others may have a name like %q: write the name in full, or require an id", own.claim, pattern, name)
			}
		}
	}
}

// sharedPreset returns a preset with a shared issuer, and its name, if the options use such a
// preset. Options use a preset if they have the issuer of the preset, even if they do not name
// the preset. But if the issuer of a preset can be any URL (SPIFFE), the options must name the
// preset. If the options use no preset with a shared issuer, the name is "".
func sharedPreset(o *Options) (Preset, preset) {
	for _, name := range []Preset{GitHubActions, GitLabCI, Buildkite, SPIFFE} {
		known, _ := presetOf(name)
		if known.sharedIssuer == o.Issuer && o.Issuer != "" || known.sharedIssuer == "*" && o.Preset == name {
			return name, known
		}
	}
	return "", preset{}
}

func unrestrictedText(name Preset, p preset) string {
	if name == SPIFFE {
		return `require sub, as in sub: "spiffe://example.org/**": keys are valid for one trust domain`
	}
	claims := make([]string, len(p.own))
	for i, own := range p.own {
		claims[i] = own.claim
	}
	return fmt.Sprintf("%s issues tokens to anyone, with any audience: require one of %s", p.issuer, strings.Join(claims, ", "))
}

// warnReserved warns about a template that lets a claim choose a group with rights over
// Tidewaiter.
func (s *settings) warnReserved(item int, text string, t template) {
	for _, group := range s.o.Reserved {
		if t.couldProduce(group) {
			s.warn("groups", item, "%q can yield the group %q, which has rights over Tidewaiter: add a prefix, as in %q, so that the issuer cannot choose administrators",
				text, group, strings.TrimRight(s.o.Name, ":")+":"+text)
			return
		}
	}
}

// Warnings returns settings that are allowed but probably not intended, and the keys of
// jwks_file that are not used.
func (p *Provider) Warnings() setting.Problems {
	warnings := slices.Clone(p.warnings)
	for _, d := range p.dropped {
		if !d.meant {
			warnings.Add("jwks_file", -1, "not used: %s", d)
		}
	}
	return warnings
}
