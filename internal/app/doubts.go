package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/policy"
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
				w.groups = append(w.groups, group)
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

// subjects warns of groups, workloads and robots that rules name and no source can have. A deny for one of them
// would close nothing.
func (c *checking) subjects() {
	w := c.world()
	if w.open || len(c.cfg.Identity) == 0 {
		return
	}
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

// doubt says why nobody can be the subject, and who was meant; "" if somebody can.
func (w world) doubt(subject string) (text, meant string) {
	kind, name, _ := strings.Cut(subject, ":")
	switch kind {
	case "group":
		if slices.Contains(w.groups, name) || slices.ContainsFunc(w.issuers, func(p *oidc.Provider) bool { return p.MightBeIn(name) }) {
			return "", ""
		}
		meant = config.Nearest(name, w.groups)
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
