package oidc

import (
	"fmt"
	"slices"
	"strings"
)

// ownClaim is a claim that tells who somebody is at a shared issuer.
type ownClaim struct {
	claim string
	// forms are what its values look like. ? is a name or an id that nobody else has, in letters,
	// digits, "-", "." and "_"; … at the end is anything.
	forms []string
}

// otherName stands for the name of somebody else. No pattern has it, so that only a * can match it.
const otherName = "\ufffc"

// restricted says whether the claims that are required tell ours from everybody else's. If not, wide
// has the requirements that anybody could meet.
func (p preset) restricted(o *Options) (ok bool, wide []string) {
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

// matchesOthers says whether the pattern matches a value of somebody else, whatever their name is.
func (c ownClaim) matchesOthers(pattern string) bool { return c.matches(pattern, otherName) }

// matches says whether the pattern matches a value whose first name is the given one.
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

// wildcardName returns the part of a pattern that stands for a name and has a * in it: "acme*" of
// "acme*/app". Who registers acme-2 has such a name, too. "" if there is none.
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

// matchesPrefix says whether a pattern matches some text that begins so.
func matchesPrefix(pattern, text string) bool {
	switch {
	case text == "":
		return true
	case pattern == "":
		return false
	case strings.HasPrefix(pattern, "**"):
		return matchesPrefix(pattern[2:], text) || matchesPrefix(pattern, text[1:])
	case pattern[0] == '*':
		return matchesPrefix(pattern[1:], text) || text[0] != '/' && matchesPrefix(pattern, text[1:])
	}
	return pattern[0] == text[0] && matchesPrefix(pattern[1:], text[1:])
}

// checkRestricted refuses requirements that anybody at a shared issuer meets, and warns of those
// that somebody could come to meet.
func (s *settings) checkRestricted() {
	name, known := sharedBy(&s.o)
	if known.shared == "" {
		return // it is one's own: nobody else has a name there
	}
	ok, wide := known.restricted(&s.o)
	if !ok {
		text := unrestrictedText(name, known)
		if len(wide) > 0 {
			text = fmt.Sprintf("%s holds for everybody; %s", strings.Join(wide, " and "), text)
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

// sharedBy returns the preset whose issuer makes tokens for everybody, if the options are for that
// issuer, whether they name the preset or not.
func sharedBy(o *Options) (Preset, preset) {
	for _, name := range []Preset{GitHubActions, GitLabCI, Buildkite, SPIFFE} {
		known, _ := presetOf(name)
		if known.shared == o.Issuer && o.Issuer != "" || known.shared == "*" && o.Preset == name {
			return name, known
		}
	}
	return "", preset{}
}

func unrestrictedText(name Preset, p preset) string {
	if name == SPIFFE {
		return `require sub, as in sub: "spiffe://example.org/**": a key is for the names of one trust domain`
	}
	claims := make([]string, len(p.own))
	for i, own := range p.own {
		claims[i] = own.claim
	}
	return fmt.Sprintf("%s makes tokens for everybody, with any audience: require one of %s", p.issuer, strings.Join(claims, ", "))
}

// warnReserved warns of a template by which a claim puts people into a group that has rights over
// Tidewaiter.
func (s *settings) warnReserved(item int, text string, t template) {
	for _, group := range s.o.Reserved {
		if t.couldProduce(group) {
			s.warn("groups", item, "%q can come to %q, and whoever is in that group has rights over Tidewaiter: put something before it, as in %q, unless the issuer is to name administrators",
				text, group, strings.TrimRight(s.o.Name, ":")+":"+text)
			return
		}
	}
}

// Warnings are settings that are allowed and probably not meant, and keys of a jwks_file that are
// not used.
func (p *Provider) Warnings() Problems {
	warnings := slices.Clone(p.warnings)
	for _, d := range p.dropped {
		if !d.meant {
			warnings = append(warnings, Problem{"jwks_file", -1, "not used: " + d.String()})
		}
	}
	return warnings
}
