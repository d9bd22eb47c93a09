package oidc

import (
	"slices"
	"strings"
)

// Claim reports whether principals have the claim, and its type in the issuer's documentation:
// "text" or "number", or "" if unknown.
func (p *Provider) Claim(name string) (kept bool, typ string) {
	c, kept := p.kept[name]
	if !kept || p.o.Preset == "" || len(c.path) == 0 {
		return kept, ""
	}
	known, _ := presetOf(p.o.Preset)
	switch {
	case slices.Contains(known.numbers, c.text):
		return true, "number"
	case slices.Contains(known.texts, c.text), slices.ContainsFunc(known.claims, func(text string) bool { return text[strings.IndexByte(text, '=')+1:] == c.text }):
		return true, "text"
	}
	return true, ""
}
