package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// world is whom the sources of a config can know, where that can be told from the config alone: files of passwords
// have their groups in it, and issuers the form of what they make.
type world struct {
	open    bool     // there are sources that know whomever they like
	groups  []string // of files of passwords
	issuers []*oidc.Provider
}

func (c *checking) world() world {
	var w world
	for _, s := range c.cfg.Identity {
		switch {
		case s.HTPasswd != nil:
			for group := range s.HTPasswd.Groups {
				w.groups = append(w.groups, dn.Canonical(group))
			}
		case s.OIDC != nil:
			provider, err := newProvider(c.cfg, s.OIDC, nil, nil)
			if err != nil {
				w.open = true // its mistakes have been told
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

// subjects warns of groups, workloads and robots that rules name and no source can have, and of names that
// were meant as distinguished names and are none. A deny for one of them would close nothing.
func (c *checking) subjects() {
	w := c.world()
	w.open = w.open || len(c.cfg.Identity) == 0
	told := make(map[string]bool)
	c.cfg.Subjects(func(rule *policy.Rule, subject string, at config.Place) bool {
		if text, meant := w.doubt(subject); text != "" && !told[subject] {
			told[subject] = true
			c.warnings = append(c.warnings, config.Problem{
				File: rule.Origin.File, Line: at.Line, Column: at.Column,
				Text: fmt.Sprintf("rule %q: %s", rule.Name, text), Suggestion: meant,
			})
		}
		return true
	})
}

// claims warns of rules that need a claim to be of a type that no source gives it, or that read one that none gives.
// GitHub's run_attempt is the text "2", and comparing it with the number 2 is an error for every request: an allow would
// never apply, and a deny always.
func (c *checking) claims() {
	if len(c.cfg.Identity) == 0 {
		return
	}
	issuers, wanted := c.world().issuers, 0
	for _, s := range c.cfg.Identity {
		if s.OIDC != nil {
			wanted++
		}
	}
	if len(issuers) < wanted {
		return // the mistakes of the others have been told
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
		text := fmt.Sprintf("no source gives anybody the claim %s", use.Claim)
		if can != 0 {
			text = fmt.Sprintf("%s needs the claim %s to be %s, and the sources give %s", use.Text, use.Claim, use.Kinds, can)
		}
		c.warnings = append(c.warnings, config.Problem{
			File: use.File, Line: use.Line, Column: use.Column, Text: fmt.Sprintf("rule %q: %s", use.Rule, text),
		})
	}
}

const anyKind = when.Text | when.Number | when.Bool | when.Null | when.List | when.Object

// kindsOf returns of which types a claim is that principals of a source may have; none, if they have no such claim. Those of
// issuers are known to their providers.
func kindsOf(s config.Source, claim string) (can when.Kinds) {
	switch {
	case s.External != nil:
		return anyKind
	case s.LDAP != nil:
		for _, name := range s.LDAP.User.Attributes {
			if name == claim {
				return when.Text | when.List // of one value, and of several
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

// doubt says why nobody can be the subject, and who was meant; "" if somebody can.
func (w world) doubt(subject string) (problem, meant string) {
	kind, name, _ := strings.Cut(subject, ":")
	if why := dn.Warning(name); why != "" {
		return fmt.Sprintf("%q looks like a distinguished name and is none: %s; it is compared as it is written", name, why), ""
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
		return fmt.Sprintf("no source puts anybody into the group %q", name), meant
	case "workload":
		for _, issuer := range w.issuers {
			if issuer.MightBe(policy.Workload, name) {
				return "", ""
			}
			if longer := issuer.Begins() + name; issuer.MightBe(policy.Workload, longer) {
				meant = "workload:" + longer
			}
		}
		return fmt.Sprintf("no source makes a workload called %q", name), meant
	case "robot":
		return fmt.Sprintf("there is no robot %q, since accounts is not among the sources", name), ""
	}
	return "", ""
}
