package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// knownNames are the names that the sources of a config can know, as far as the config tells. It
// has the groups of password files, and the form of the names that issuers produce.
type knownNames struct {
	open    bool     // some source may know any name
	groups  []string // of password files
	issuers []*oidc.Provider
}

func (c *checker) knownNames() knownNames {
	var w knownNames
	for _, s := range c.cfg.Identity {
		switch {
		case s.HTPasswd != nil:
			for group := range s.HTPasswd.Groups {
				w.groups = append(w.groups, dn.Canonical(group))
			}
		case s.OIDC != nil:
			provider, err := newProvider(c.cfg, s.OIDC, nil, nil)
			if err != nil {
				w.open = true // its errors are reported elsewhere
				continue
			}
			w.issuers = append(w.issuers, provider)
		default:
			w.open = true
		}
	}
	slices.Sort(w.groups)
	return w
}

// subjects warns about groups, workloads and robots in rules that no source can have, and about
// names that look like distinguished names but are not. A deny rule for one of them would have
// no effect.
func (c *checker) subjects() {
	w := c.knownNames()
	w.open = w.open || len(c.cfg.Identity) == 0
	told := make(map[string]bool)
	c.cfg.Subjects(func(rule *policy.Rule, subject string, at policyfile.Place) bool {
		if text, meant := w.whyUnknown(subject); text != "" && !told[subject] {
			told[subject] = true
			c.warnings = append(c.warnings, strictyaml.Problem{
				File: rule.Origin.File, Line: at.Line, Column: at.Column,
				Text: fmt.Sprintf("rule %q: %s", rule.Name, text), Suggestion: meant,
			})
		}
		return true
	})
}

// claims warns about rules that need a claim to have a type that no source gives it, or a claim
// that no source has. GitHub's run_attempt is the text "2". Comparing it with the number 2 fails
// for every request: an allow rule would never apply, and a deny rule always.
func (c *checker) claims() {
	if len(c.cfg.Identity) == 0 {
		return
	}
	issuers, wanted := c.knownNames().issuers, 0
	for _, s := range c.cfg.Identity {
		if s.OIDC != nil {
			wanted++
		}
	}
	if len(issuers) < wanted {
		return // the errors of the others are reported elsewhere
	}
	for _, use := range c.cfg.ClaimUses {
		var can when.Kinds
		for _, s := range c.cfg.Identity {
			can |= kindsOf(s, use.Claim)
		}
		for _, p := range issuers {
			switch kept, typ := p.Claim(use.Claim); {
			case kept && typ == "text":
				can |= when.Text
			case kept && typ == "number":
				can |= when.Number
			case kept:
				can |= anyKind
			}
		}
		if can&use.Kinds != 0 {
			continue
		}
		text := fmt.Sprintf("no source provides the claim %s", use.Claim)
		if can != 0 {
			text = fmt.Sprintf("%s needs the claim %s to be %s, but the sources provide %s", use.Text, use.Claim, use.Kinds, can)
		}
		at := use.Place()
		c.warnings = append(c.warnings, strictyaml.Problem{
			File: use.File, Line: at.Line, Column: at.Column, Text: fmt.Sprintf("rule %q: %s", use.Rule, text),
		})
	}
}

const anyKind = when.Text | when.Number | when.Bool | when.Null | when.List | when.Object

// kindsOf returns the possible types of a claim of principals of a source; none if they do not
// have it. Providers know the claims of issuers.
func kindsOf(s config.Source, claim string) (can when.Kinds) {
	switch {
	case s.Hook() != nil:
		return anyKind
	case s.LDAP != nil:
		for _, name := range s.LDAP.User.Attributes {
			if name == claim {
				return when.Text | when.List // one value, or several
			}
		}
	case s.HTPasswd != nil:
		for _, claims := range s.HTPasswd.Claims {
			if _, has := claims[claim]; has {
				return when.List
			}
		}
	}
	return 0
}

// whyUnknown returns why no principal can match the subject, and the likely correction; "" if one
// can.
func (w knownNames) whyUnknown(subject string) (problem, meant string) {
	kind, name, _ := strings.Cut(subject, ":")
	if why := dn.Warning(name); why != "" {
		return fmt.Sprintf("%q looks like a distinguished name, but is not one: %s; it is compared as plain text", name, why), ""
	}
	if w.open {
		return "", ""
	}
	switch kind {
	case "group":
		if slices.Contains(w.groups, dn.Canonical(name)) || slices.ContainsFunc(w.issuers, func(p *oidc.Provider) bool { return p.MightBeIn(name) }) {
			return "", ""
		}
		meant = text.Nearest(name, w.groups)
		for _, issuer := range w.issuers {
			if longer := issuer.Begins() + name; meant == "" && issuer.MightBeIn(longer) {
				meant = longer
			}
		}
		return fmt.Sprintf("no source has the group %q", name), meant
	case "workload":
		for _, issuer := range w.issuers {
			if issuer.MightBe(policy.Workload, name) {
				return "", ""
			}
			if longer := issuer.Begins() + name; issuer.MightBe(policy.Workload, longer) {
				meant = "workload:" + longer
			}
		}
		return fmt.Sprintf("no source has a workload %q", name), meant
	case "robot":
		return fmt.Sprintf("there is no robot %q, because accounts is not a source", name), ""
	}
	return "", ""
}
