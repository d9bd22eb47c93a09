package oidc

import (
	"slices"
	"strings"
)

// Claim says what is known of a claim that principals keep: whether any of them has it, and of
// which type it is, as the issuer's documentation has it: "text" or "number"; "" is not known.
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
