package policy

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// kindNames and reasonNames are the texts of kinds and reasons.
var (
	kindNames   = []string{"anonymous", "user", "robot", "workload"}
	reasonNames = []string{"no-rule", "allowed", "denied", "narrowed", "condition-failed"}
)

// nameOf returns the name of a kind or a reason from its number. For an unknown number, it returns
// a text such as "kind 9".
func nameOf(names []string, number uint8, what string) string {
	if int(number) < len(names) {
		return names[number]
	}
	return what + " " + strconv.Itoa(int(number))
}

// String returns anonymous, user, robot or workload.
func (k Kind) String() string { return nameOf(kindNames, uint8(k), "kind") }

// MarshalText returns the text of String. An unknown kind is an error.
func (k Kind) MarshalText() ([]byte, error) {
	if k > Workload {
		return nil, fmt.Errorf("encoding unknown %s", k)
	}
	return []byte(k.String()), nil
}

// UnmarshalText parses the text that MarshalText returns.
func (k *Kind) UnmarshalText(text []byte) error {
	known := slices.Index(kindNames, string(text))
	if known < 0 {
		return fmt.Errorf("parsing kind of a principal: unknown kind %.40q", text)
	}
	*k = Kind(known)
	return nil
}

// String returns no-rule, allowed, denied, narrowed or condition-failed.
func (r Reason) String() string { return nameOf(reasonNames, uint8(r), "reason") }

// MarshalText returns the text of String. An unknown reason is an error.
func (r Reason) MarshalText() ([]byte, error) {
	if r > ConditionFailed {
		return nil, fmt.Errorf("encoding unknown %s", r)
	}
	return []byte(r.String()), nil
}

// UnmarshalText parses the text that MarshalText returns.
func (r *Reason) UnmarshalText(text []byte) error {
	known := slices.Index(reasonNames, string(text))
	if known < 0 {
		return fmt.Errorf("parsing reason: unknown reason %.40q", text)
	}
	*r = Reason(known)
	return nil
}

// String returns the place where a rule was written: "policy.yaml:14", "namespace team", "the
// database" or "built in". It returns "" if the place is unknown.
func (o Origin) String() string {
	switch {
	case o.BuiltIn:
		return "built in"
	case o.File == "" && o.Namespace != "":
		return "namespace " + o.Namespace
	case o.File == "" && o.Database:
		return "the database"
	case o.File == "":
		return ""
	case o.Line == 0:
		return o.File
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// String returns the rule's name and origin, if known: `"writers" (policy.yaml:14)`.
func (r *Rule) String() string {
	if r == nil {
		return "no rule"
	}
	name, place := text.Quote(r.Name), r.Origin.String()
	if place == "" {
		return name
	}
	return name + " (" + place + ")"
}

// String returns the cause as a sentence, such as `push: denied by "freeze" (policy.yaml:14)`.
func (c Cause) String() string {
	switch c.Reason { //exhaustive:enforce
	case NoRule:
	case Allowed:
		return fmt.Sprintf("%s: allowed by %s", c.Actions, c.Rule)
	case Denied:
		return fmt.Sprintf("%s: denied by %s", c.Actions, c.Rule)
	case Narrowed:
		return fmt.Sprintf("%s: allowed by %s, but the limits of the credential do not allow it", c.Actions, c.Rule)
	case ConditionFailed:
		return fmt.Sprintf("%s: %s would allow it, but its condition does not hold", c.Actions, c.Rule)
	}
	return fmt.Sprintf("%s: no rule allows it", c.Actions)
}

// String returns the principal as a subject: "user:ann", "anonymous".
func (who *Principal) String() string {
	who = match.OrZero(who)
	if who.Kind == Anonymous || who.Kind > Workload {
		return who.Kind.String()
	}
	return who.Kind.String() + ":" + text.Name(who.Name)
}

// String describes the permitted actions, such as "pull on team/app or team/base".
func (l Limit) String() string {
	if match.TypeOf(l.Type) != scope.TypeRepository {
		return fmt.Sprintf("%s on the %s %s", l.Actions, text.Name(l.Type), text.List(l.Names, "or"))
	}
	return fmt.Sprintf("%s on %s", l.Actions, text.List(l.Names, "or"))
}
