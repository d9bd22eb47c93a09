package api

import (
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Filter says which entries of the journal are wanted. The zero value wants all.
type Filter struct {
	Since     time.Time `query:"since" doc:"Only what happened at this time or later" example:"2026-11-28T00:00:00Z"`
	Until     time.Time `query:"until" doc:"Only what happened before this time" example:"2026-11-29T00:00:00Z"`
	Kind      string    `query:"kind" enum:"decision,event,change,text" doc:"Only those of a kind"`
	Registry  string    `query:"registry" maxLength:"256" doc:"Only those about a registry" example:"registry.example.com"`
	Principal string    `query:"principal" maxLength:"300" doc:"Only what somebody requested, did or changed: user:NAME, robot:NAME, workload:NAME, operator:NAME, anonymous, or a name alone, which is that of any of these" example:"user:alice"`
	Action    string    `query:"action" maxLength:"64" doc:"Only changes and events of that name" example:"user.add"`
}

// kinds are what the principals of entries begin with.
var kinds = []string{"user", "robot", "workload", "operator"}

// CheckPrincipal says what is wrong with a principal that a filter asks for; "" if nothing is.
func CheckPrincipal(text string) string {
	kind, name, ok := strings.Cut(text, ":")
	for _, known := range kinds {
		if ok && kind == known {
			if name == "" {
				return "it names nobody"
			}
			return ""
		}
	}
	switch {
	case !ok:
		return ""
	case kind == "group":
		return "a group does nothing itself: ask for one of its members, as user:NAME"
	}
	return "it is none: write user:NAME, robot:NAME, workload:NAME, operator:NAME or anonymous; the workload github:acme/app is workload:github:acme/app"
}

// Matches reports whether an entry is wanted.
func (f *Filter) Matches(e *journal.Entry) bool {
	if e.Time.Before(f.Since) || !f.Until.IsZero() && !e.Time.Before(f.Until) || f.Registry != "" && f.Registry != e.Registry {
		return false
	}
	var kind, action string
	var who [2]string
	switch {
	case e.Decision != nil:
		kind = "decision"
		if e.Decision.Name != "" {
			who[0] = subject(e.Decision.Name)
		}
		if p := e.Decision.Principal; p != nil {
			who[1] = p.String()
		}
	case e.Event != nil:
		kind, action = "event", e.Event.Action
		who[0] = subject(e.Event.Actor)
	case e.Change != nil:
		kind, action = "change", e.Change.Action
		who[0] = e.Change.Actor
	default:
		kind = "text"
	}
	return (f.Kind == "" || f.Kind == kind) && (f.Action == "" || f.Action == action) &&
		(f.Principal == "" || isNamed(who[0], f.Principal) || isNamed(who[1], f.Principal))
}

// isNamed reports whether a principal is the one that a text names, with its kind or without.
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

// subject is what somebody who signs in with a name is called in rules: a registry's event has the name alone.
func subject(login string) string {
	if name, robot := strings.CutPrefix(login, identity.RobotPrefix); robot {
		return policy.Robot.String() + ":" + name
	}
	return policy.User.String() + ":" + login
}
