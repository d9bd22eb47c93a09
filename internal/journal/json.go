package journal

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// These types define the JSON of entries for other programs. Names are stable. Actions, reasons
// and kinds are written as words.
type (
	entryJSON struct {
		Position Position            `json:"position"`
		ID       ID                  `json:"id"`
		Time     time.Time           `json:"time"`
		Registry string              `json:"registry,omitempty"`
		Summary  string              `json:"summary"`
		Decision *decisionJSON       `json:"decision,omitempty"`
		Event    *notification.Event `json:"event,omitempty"`
		Change   *changeJSON         `json:"change,omitempty"`
		Service  *serviceJSON        `json:"service,omitempty"`
		// In Text, bytes that are not UTF-8 become U+FFFD.
		Text string `json:"text,omitempty"`
	}
	decisionJSON struct {
		Principal  *principalJSON `json:"principal,omitempty"`
		Name       string         `json:"name,omitempty"`
		Credential string         `json:"credential,omitempty"`
		Remote     string         `json:"remote,omitempty"`
		Client     string         `json:"client,omitempty"`
		Results    []resultJSON   `json:"results"`
		Ignored    []ignoredJSON  `json:"ignored,omitempty"`
		Policy     string         `json:"policy,omitempty"`
		Token      ID             `json:"token,omitzero"`
		Expires    time.Time      `json:"expires,omitzero"`
		Refused    string         `json:"refused,omitempty"`
		Repeats    *repeatsJSON   `json:"repeats,omitempty"`
	}
	repeatsJSON struct {
		Of    ID        `json:"of,omitzero"`
		Count int64     `json:"count"`
		First time.Time `json:"first"`
		Last  time.Time `json:"last"`
	}
	principalJSON struct {
		Kind   string         `json:"kind"`
		Name   string         `json:"name,omitempty"`
		Source string         `json:"source,omitempty"`
		ID     string         `json:"id,omitempty"`
		Groups []string       `json:"groups,omitempty"`
		Claims map[string]any `json:"claims,omitempty"`
		Limits []limitJSON    `json:"limits,omitempty"`
	}
	limitJSON struct {
		Type    string   `json:"type,omitempty"`
		Names   []string `json:"names"`
		Actions []string `json:"actions"`
	}
	resultJSON struct {
		Type    string      `json:"type"`
		Class   string      `json:"class,omitempty"`
		Name    string      `json:"name"`
		Asked   []string    `json:"asked"`
		Granted []string    `json:"granted"`
		Causes  []causeJSON `json:"causes"`
	}
	causeJSON struct {
		Actions []string `json:"actions"`
		Reason  string   `json:"reason"`
		Rule    string   `json:"rule,omitempty"`
		File    string   `json:"file,omitempty"`
		Line    int      `json:"line,omitempty"`

		Namespace string `json:"namespace,omitempty"`
	}
	ignoredJSON struct {
		Text   string `json:"text"`
		Reason string `json:"reason"`
	}
	changeJSON struct {
		Actor  string         `json:"actor"`
		Action string         `json:"action"`
		Target string         `json:"target"`
		From   map[string]any `json:"from,omitempty"`
		To     map[string]any `json:"to,omitempty"`
	}
	serviceJSON struct {
		Action  string         `json:"action"`
		Target  string         `json:"target,omitempty"`
		Actor   string         `json:"actor,omitempty"`
		Name    string         `json:"name,omitempty"`
		Remote  netip.Addr     `json:"remote,omitzero"`
		Client  string         `json:"client,omitempty"`
		Refused string         `json:"refused,omitempty"`
		Details map[string]any `json:"details,omitempty"`
		Repeats *repeatsJSON   `json:"repeats,omitempty"`
	}
)

// MarshalJSON returns the JSON of the entry for other programs.
func (e Entry) MarshalJSON() ([]byte, error) {
	out := entryJSON{
		Position: e.Position,
		ID:       e.ID,
		Time:     e.Time,
		Registry: e.Registry,
		Summary:  e.Summary(),
		Event:    e.Event,
		Change:   (*changeJSON)(e.Change),
		Text:     string(e.Text),
	}
	if s := e.Service; s != nil {
		out.Service = &serviceJSON{s.Action, s.Target, s.Actor, s.Name, s.Remote, s.Client, s.Refused, s.Details, (*repeatsJSON)(s.Repeats)}
	}
	if e.Decision != nil {
		out.Decision = newDecisionJSON(e.Decision)
	}
	return json.Marshal(out)
}

func newDecisionJSON(d *Decision) *decisionJSON {
	out := &decisionJSON{
		Name:       d.Name,
		Credential: d.Credential,
		Client:     d.Client,
		Results:    []resultJSON{},
		Policy:     d.Policy,
		Token:      d.Token,
		Expires:    d.Expires,
		Refused:    d.Refused,
		Repeats:    (*repeatsJSON)(d.Repeats),
	}
	if d.Remote.IsValid() {
		out.Remote = d.Remote.String()
	}
	if p := d.Principal; p != nil {
		out.Principal = &principalJSON{
			Kind: kindWord(p.Kind), Name: p.Name, Source: p.Source, ID: p.ID, Groups: p.Groups, Claims: p.Claims,
		}
		for _, limit := range p.Limits {
			out.Principal.Limits = append(out.Principal.Limits,
				limitJSON{Type: limit.Type, Names: limit.Names, Actions: actionWords(limit.Actions)})
		}
	}
	for _, r := range d.Results {
		result := resultJSON{
			Type:    r.Asked.Type,
			Class:   r.Asked.Class,
			Name:    r.Asked.Name,
			Asked:   actionWords(r.Asked.Actions),
			Granted: actionWords(r.Granted),
			Causes:  []causeJSON{},
		}
		for _, c := range r.Causes {
			cause := causeJSON{Actions: actionWords(c.Actions), Reason: reasonWord(c.Reason)}
			if c.Rule != nil {
				cause.Rule, cause.File, cause.Line = c.Rule.Name, c.Rule.Origin.File, c.Rule.Origin.Line
				cause.Namespace = c.Rule.Origin.Namespace
			}
			result.Causes = append(result.Causes, cause)
		}
		out.Results = append(out.Results, result)
	}
	for _, ignored := range d.Ignored {
		out.Ignored = append(out.Ignored, ignoredJSON(ignored))
	}
	return out
}

func actionWords(actions scope.Actions) []string {
	words := []string{}
	for _, a := range [...]struct {
		action scope.Actions
		word   string
	}{
		{scope.Pull, "pull"}, {scope.Push, "push"}, {scope.Delete, "delete"},
		{scope.All, "*"}, {scope.Read, "read"}, {scope.Write, "write"},
	} {
		if actions&a.action != 0 {
			words = append(words, a.word)
		}
	}
	return words
}

func reasonWord(r policy.Reason) string {
	switch r { //exhaustive:enforce
	case policy.NoRule:
		return "no-rule"
	case policy.Allowed:
		return "allowed"
	case policy.Denied:
		return "denied"
	case policy.Narrowed:
		return "narrowed"
	case policy.ConditionFailed:
		return "condition-failed"
	}
	return "unknown"
}

func kindWord(k policy.Kind) string {
	switch k {
	case policy.Anonymous:
		return "anonymous"
	case policy.User:
		return "user"
	case policy.Robot:
		return "robot"
	case policy.Workload:
		return "workload"
	}
	return "unknown"
}
