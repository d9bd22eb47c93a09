package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// print writes e for people.
func (e *explanation) print(w io.Writer) {
	p := painted(w)
	if e.entry != nil {
		d := e.entry.Decision
		fmt.Fprintf(w, "decision %s of %s", e.entry.ID, e.entry.Time.Local().Format(time.DateTime))
		if d.Remote.IsValid() {
			fmt.Fprintf(w, ", from %s", d.Remote)
		}
		if d.Client != "" {
			fmt.Fprintf(w, " with %s", plain(d.Client))
		}
		fmt.Fprintln(w)
		if d.Refused != "" {
			fmt.Fprintf(w, "%s for %s at %s: %s\n", p.red("no token"), plain(d.Name), plain(e.registry), plain(d.Refused))
			return
		}
	}
	fmt.Fprintf(w, "%s at %s\n", describe(e.who), e.registry)
	if e.note != "" {
		fmt.Fprintln(w, p.faint(e.note))
	}
	printResults(w, p, e.results, e.near)
	for _, i := range e.ignored {
		fmt.Fprintf(w, "\nignored %s: %s\n", i.Text, i.Reason)
	}
	if len(e.results) == 0 {
		fmt.Fprintln(w, "\nnothing was asked for")
	}
	switch {
	case e.today == nil:
	case sameGrants(e.results, e.today.Results):
		fmt.Fprintln(w, "\nThe policy is another one today, and grants the same.")
	default:
		fmt.Fprintf(w, "\n%s\n", p.bold("By the policy of today it would be decided otherwise:"))
		printResults(w, p, e.today.Results, e.today.Near)
	}
}

func printResults(w io.Writer, p paint, results []policy.Result, near []policy.Nearby) {
	for i, r := range results {
		fmt.Fprintf(w, "\n%s\n", p.bold(resource(r.Asked)))
		width := 0
		for _, c := range r.Causes {
			width = max(width, len(c.Actions.String()))
		}
		for _, c := range r.Causes {
			verdict := p.red("refused")
			if c.Reason == policy.Allowed {
				verdict = p.green("granted")
			}
			fmt.Fprintf(w, "  %-*s  %s  %s\n", width, c.Actions, verdict, because(c))
		}
		if i < len(near) {
			printNear(w, p, near[i])
		}
	}
}

func sameGrants(a, b []policy.Result) bool {
	return slices.EqualFunc(a, b, func(a, b policy.Result) bool { return a.Asked == b.Asked && a.Granted == b.Granted })
}

// because says why, as the rest of a sentence.
func because(c policy.Cause) string {
	switch c.Reason {
	case policy.Allowed:
		return "by " + c.Rule.String()
	case policy.Denied:
		return "denied by " + c.Rule.String()
	case policy.Narrowed:
		return "allowed by " + c.Rule.String() + ", but outside the limits of the credential"
	case policy.ConditionFailed:
		return "the condition of " + c.Rule.String() + " does not hold"
	case policy.NoRule:
	}
	return "no rule allows it"
}

func printNear(w io.Writer, p paint, n policy.Nearby) {
	for i, near := range n.Rules {
		if i == 0 {
			fmt.Fprintln(w, p.faint("  what came near:"))
		}
		verb := "allows"
		if near.Rule.Deny {
			verb = "denies"
		}
		obstacles := make([]string, len(near.Obstacles))
		for i, o := range near.Obstacles {
			obstacles[i] = o.Text
			for _, v := range o.Values {
				obstacles[i] += fmt.Sprintf(" (%s is %s)", v.Expression, v.Value)
			}
		}
		fmt.Fprintf(w, "    %s %s %s, but %s\n", near.Rule, verb, near.Actions, strings.Join(obstacles, ", and "))
	}
	if n.More > 0 {
		fmt.Fprintf(w, "    and %s\n", count(n.More, "other rule", "other rules"))
	}
}

// describe names a principal with all that rules can ask for.
func describe(who *policy.Principal) string {
	if who == nil || who.Kind == policy.Anonymous {
		return "somebody anonymous"
	}
	text := who.Kind.String() + " " + plain(who.Name)
	var more []string
	if who.Source != "" {
		more = append(more, "from "+plain(who.Source))
	}
	if len(who.Groups) > 0 {
		groups := make([]string, len(who.Groups))
		for i, g := range who.Groups {
			groups[i] = plain(g)
		}
		more = append(more, "in "+strings.Join(groups, ", "))
	}
	if len(who.Limits) > 0 {
		more = append(more, "with a credential of narrower rights")
	}
	if len(more) > 0 {
		text += " (" + strings.Join(more, "; ") + ")"
	}
	return text
}

func resource(s scope.Scope) string { return plain(s.Type) + " " + plain(s.Name) }

// plain keeps a word that others chose from breaking a line or moving a terminal's cursor.
func plain(s string) string {
	if quoted := strconv.QuoteToGraphic(s); quoted[1:len(quoted)-1] != s {
		return quoted
	}
	return s
}

// The forms of an explanation for programs.
type (
	explanationJSON struct {
		ID        string        `json:"id,omitempty"`
		Time      *time.Time    `json:"time,omitempty"`
		Registry  string        `json:"registry"`
		Principal principalJSON `json:"principal"`
		Known     bool          `json:"known"` // to a source
		Note      string        `json:"note,omitempty"`
		Refused   string        `json:"refused,omitempty"`
		Scopes    []resultJSON  `json:"scopes"`
		Today     []resultJSON  `json:"today,omitempty"` // by another policy than the decision's
		Ignored   []ignoredJSON `json:"ignored,omitempty"`
	}
	principalJSON struct {
		Kind   string   `json:"kind"`
		Name   string   `json:"name,omitempty"`
		Source string   `json:"source,omitempty"`
		Groups []string `json:"groups,omitempty"`
	}
	resultJSON struct {
		Type    string      `json:"type"`
		Name    string      `json:"name"`
		Asked   []string    `json:"asked"`
		Granted []string    `json:"granted"`
		Causes  []causeJSON `json:"causes"`
		Near    []nearJSON  `json:"near,omitempty"`
		More    int         `json:"more,omitempty"`
	}
	causeJSON struct {
		Actions []string `json:"actions"`
		Reason  string   `json:"reason"`
		ruleJSON
	}
	nearJSON struct {
		Effect    string   `json:"effect"`
		Actions   []string `json:"actions"`
		Obstacles []string `json:"obstacles"`
		ruleJSON
	}
	ruleJSON struct {
		Rule string `json:"rule,omitempty"`
		File string `json:"file,omitempty"`
		Line int    `json:"line,omitempty"`
	}
	ignoredJSON struct {
		Text   string `json:"text"`
		Reason string `json:"reason"`
	}
)

func (e *explanation) forPrograms() explanationJSON {
	j := explanationJSON{Registry: e.registry, Known: e.known, Note: e.note, Scopes: results(e.results, e.near)}
	if e.today != nil {
		j.Today = results(e.today.Results, e.today.Near)
	}
	if e.who != nil {
		j.Principal = principalJSON{e.who.Kind.String(), e.who.Name, e.who.Source, e.who.Groups}
	}
	if e.entry != nil {
		j.ID, j.Time, j.Refused = e.entry.ID.String(), &e.entry.Time, e.entry.Decision.Refused
		if e.who == nil {
			j.Principal = principalJSON{Kind: policy.Anonymous.String(), Name: e.entry.Decision.Name}
			j.Known = false
		}
	}
	for _, i := range e.ignored {
		j.Ignored = append(j.Ignored, ignoredJSON(i))
	}
	return j
}

func results(from []policy.Result, near []policy.Nearby) []resultJSON {
	list := make([]resultJSON, len(from))
	for i, r := range from {
		list[i] = resultJSON{Type: r.Asked.Type, Name: r.Asked.Name, Asked: words(r.Asked.Actions), Granted: words(r.Granted)}
		for _, c := range r.Causes {
			list[i].Causes = append(list[i].Causes, causeJSON{words(c.Actions), c.Reason.String(), rule(c.Rule)})
		}
		if i >= len(near) {
			continue
		}
		list[i].More = near[i].More
		for _, n := range near[i].Rules {
			effect := "allow"
			if n.Rule.Deny {
				effect = "deny"
			}
			j := nearJSON{Effect: effect, Actions: words(n.Actions), ruleJSON: rule(n.Rule)}
			for _, o := range n.Obstacles {
				j.Obstacles = append(j.Obstacles, o.Text)
			}
			list[i].Near = append(list[i].Near, j)
		}
	}
	return list
}

func rule(r *policy.Rule) ruleJSON {
	if r == nil {
		return ruleJSON{}
	}
	return ruleJSON{r.Name, r.Origin.File, r.Origin.Line}
}

// words are the names of actions, never null in JSON.
func words(a scope.Actions) []string {
	if names := a.Names(); names != nil {
		return names
	}
	return []string{}
}
