package oidc

import (
	"regexp"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
)

// MightBe reports whether a token could yield a principal of the given kind and name. If a policy
// names an impossible principal, the name probably has a typing error.
func (p *Provider) MightBe(kind policy.Kind, name string) bool {
	return p.o.Kind == kind && p.name.couldProduce(name)
}

// MightBeIn reports whether a token could yield this group.
func (p *Provider) MightBeIn(group string) bool {
	for _, t := range p.groups {
		if t.couldProduce(group) {
			return true
		}
	}
	return false
}

// Begins returns the common prefix of all names, such as "github:".
func (p *Provider) Begins() string {
	if len(p.name.pieces) == 0 {
		return p.name.end
	}
	return p.name.pieces[0].before
}

// couldProduce reports whether the template could expand to text.
func (t template) couldProduce(text string) bool {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(regexp.QuoteMeta(p.before) + "(?s:.+)")
	}
	whole, err := regexp.Compile("^" + b.String() + regexp.QuoteMeta(t.end) + "$")
	return err != nil || whole.MatchString(text)
}
