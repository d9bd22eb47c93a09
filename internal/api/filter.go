package api

import (
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Filter selects entries of the journal. The zero value selects all.
type Filter struct {
	Since     time.Time `query:"since" doc:"Only entries at this time or later" example:"2026-11-28T00:00:00Z"`
	Until     time.Time `query:"until" doc:"Only entries before this time" example:"2026-11-29T00:00:00Z"`
	Kind      string    `query:"kind" enum:"decision,event,change,text" doc:"Only entries of this kind"`
	Registry  string    `query:"registry" maxLength:"256" doc:"Only entries about this registry" example:"registry.example.com"`
	Principal string    `query:"principal" maxLength:"300" doc:"Only what this principal requested, did or changed: user:NAME, robot:NAME, workload:NAME, operator:NAME, anonymous, or a name, which matches any of these" example:"user:alice"`
	Action    string    `query:"action" maxLength:"64" doc:"Only changes and events with this action" example:"user.add"`
}

// CheckPrincipal returns what is wrong with Principal; "" if it is valid.
func (f *Filter) CheckPrincipal() string {
	switch kind, name, ok := strings.Cut(f.Principal, ":"); {
	case !ok:
		return ""
	case kind == "user", kind == "robot", kind == "workload", kind == "operator":
		if name == "" {
			return "the name is missing"
		}
		return ""
	case kind == "group":
		return "groups are not in the journal: give one of the members, as user:NAME"
	}
	return "unknown kind: give user:NAME, robot:NAME, workload:NAME, operator:NAME or anonymous. For the workload github:acme/app, give workload:github:acme/app"
}

// Matches reports whether the filter selects an entry.
func (f *Filter) Matches(e *journal.Entry) bool {
	if e.Time.Before(f.Since) || !f.Until.IsZero() && !e.Time.Before(f.Until) || f.Registry != "" && f.Registry != e.Registry {
		return false
	}
	kind, action, login, principal := "text", "", "", ""
	switch {
	case e.Decision != nil:
		kind = "decision"
		if e.Decision.Name != "" {
			login = subject(e.Decision.Name)
		}
		if p := e.Decision.Principal; p != nil {
			principal = p.String()
		}
	case e.Event != nil:
		kind, action, login = "event", e.Event.Action, subject(e.Event.Actor)
	case e.Change != nil:
		kind, action, principal = "change", e.Change.Action, e.Change.Actor
	}
	return (f.Kind == "" || f.Kind == kind) && (f.Action == "" || f.Action == action) &&
		(f.Principal == "" || isNamed(login, f.Principal) || isNamed(principal, f.Principal))
}

// isNamed reports whether a text names a subject, with its kind or without.
func isNamed(who, text string) bool {
	if who == text {
		return true
	}
	if strings.Contains(text, ":") {
		return false
	}
	_, name, _ := strings.Cut(who, ":")
	return name == text || who == subject(text)
}

// subject returns the subject with a login, as in rules. Events of registries contain only the
// login.
func subject(login string) string {
	if name, robot := strings.CutPrefix(login, identity.RobotPrefix); robot {
		return policy.Robot.String() + ":" + name
	}
	return policy.User.String() + ":" + login
}
