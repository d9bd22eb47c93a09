package oidc

import (
	"regexp"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
)

// MightBe says whether some token could make somebody of the kind and the name: a policy that
// names another is probably misspelt.
func (p *Provider) MightBe(kind policy.Kind, name string) bool {
	return p.o.Kind == kind && p.name.couldProduce(name)
}

// MightBeIn says whether some token could put somebody into the group.
func (p *Provider) MightBeIn(group string) bool {
	for _, t := range p.groups {
		if t.couldProduce(group) {
			return true
		}
	}
	return false
}

// Begins returns the text that all names begin with: "github:".
func (p *Provider) Begins() string {
	if len(p.name.pieces) == 0 {
		return p.name.end
	}
	return p.name.pieces[0].before
}

// couldProduce says whether the template could come to the text.
func (t template) couldProduce(text string) bool {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(regexp.QuoteMeta(p.before) + "(?s:.+)")
	}
	whole, err := regexp.Compile("^" + b.String() + regexp.QuoteMeta(t.end) + "$")
	return err != nil || whole.MatchString(text)
}
