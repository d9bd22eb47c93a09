package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// printExplanation writes an explanation as text.
func (s *session) printExplanation(e *explain.Evaluation) {
	w, p := s.out, paintFor(s.out)
	if e.Entry != nil {
		printDecision(w, p, e)
		if e.Entry.Decision.Principal == nil { // the sign-in failed
			return
		}
	}
	switch {
	case e.Blocked != "":
		fmt.Fprintf(w, "%s: %s\n", p.red("no token"), text.Escape(e.Blocked))
	case e.Note() != "": // the note that the name is unknown must come before "allowed"
		fmt.Fprintln(w, p.bold(e.Note()))
	}
	for _, r := range e.Results {
		fmt.Fprintln(w, p.verdict(e.Principal, r))
	}
	if len(e.Results) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s at %s\n", describe(e.Principal), e.Registry)
	if e.Lifetime != nil {
		fmt.Fprintln(w, s.validity(e))
	}
	printResults(w, p, e.Request, e.Results, e.Near)
	for _, i := range e.Ignored {
		fmt.Fprintf(w, "\nignored %s: %s\n", i.Text, i.Reason)
	}
	if len(e.Results) == 0 {
		fmt.Fprintln(w, "\nno scope was requested")
	}
	switch {
	case e.Today == nil:
	case sameGrants(e.Results, e.Today.Results):
		fmt.Fprintln(w, "\nThe policy has changed since then. The current policy grants the same actions.")
	default:
		fmt.Fprintf(w, "\n%s\n", p.bold("The current policy decides differently:"))
		printResults(w, p, e.Today.Request, e.Today.Results, e.Today.Near)
	}
}

// printDecision writes when a decision was made, and whether a token was issued.
func printDecision(w io.Writer, p paint, e *explain.Evaluation) {
	d := e.Entry.Decision
	fmt.Fprintf(w, "decision %s of %s", e.Entry.ID, e.Entry.Time.Local().Format(time.DateTime))
	if d.Remote.IsValid() {
		fmt.Fprintf(w, ", from %s", d.Remote)
	}
	if d.Client != "" {
		fmt.Fprintf(w, " with %s", text.Escape(d.Client))
	}
	fmt.Fprintln(w)
	if r := d.Repeats; r != nil {
		first, last := r.First.Local().Format(time.DateTime), r.Last.Local().Format(time.DateTime)
		if r.Count == 1 {
			fmt.Fprintf(w, "repeated once, at %s\n", last)
		} else {
			fmt.Fprintf(w, "repeated %d times from %s to %s\n", r.Count, first, last)
		}
	}
	switch {
	case d.Principal == nil:
		fmt.Fprintf(w, "%s for %s at %s: %s\n", p.red("no token"), text.Escape(d.Name), text.Escape(e.Registry), text.Escape(d.Refused))
	case d.Refused != "":
		fmt.Fprintf(w, "%s: %s\n", p.red("no token"), text.Escape(d.Refused))
	case !d.Expires.IsZero():
		fmt.Fprintf(w, "token issued until %s\n", d.Expires.Local().Format(time.DateTime))
	}
}

// validity returns a sentence about the lifetime of a token: "a token for this would be valid for
// 15m, by the registry's push_lifetime".
func (s *session) validity(e *explain.Evaluation) string {
	of := "this"
	if !e.Allowed() {
		of = "what is granted"
	}
	life := e.Lifetime
	by := "token." + string(life.By)
	switch life.By {
	case issuer.ByLifetime, issuer.ByPushLifetime:
		by = "the registry's " + string(life.By)
		for _, r := range s.cfg.Registries {
			if r.Service == e.Registry && life.Lasts == r.DefaultLifetime(life.By == issuer.ByPushLifetime) {
				by += " (the default)"
			}
		}
	case issuer.ByRule:
		by = "the lifetime of " + life.Rule.String()
	case issuer.ByRole:
		by = "the lifetime of the role " + text.Escape(life.Rule.Role) + " of " + life.Rule.String()
	case issuer.ByCredential:
		by = "the end of the credential"
	case issuer.ByLeast:
		by = "the minimum lifetime"
	}
	return fmt.Sprintf("a token for %s would be valid for %s, by %s", of, text.Duration(life.Lasts), by)
}

const anonymousClient = "an anonymous client"

// verdict describes the result for a scope in one sentence: "refused: user:alice may pull
// team/app, and may not push it".
func (p paint) verdict(who *policy.Principal, r policy.Result) string {
	name := who.String()
	if who.Kind == policy.Anonymous {
		name = anonymousClient
	}
	what, refused := text.Resource(r.Asked.Type, r.Asked.Name), r.Asked.Actions&^r.Granted
	switch {
	case refused == 0:
		return p.green("allowed:") + fmt.Sprintf(" %s may %s %s", name, text.Verbs(r.Granted.Names(), "and"), what)
	case r.Granted == 0:
		return p.red("refused:") + fmt.Sprintf(" %s may not %s %s", name, text.Verbs(refused.Names(), "or"), what)
	}
	return p.red("refused:") + fmt.Sprintf(" %s may %s %s, and may not %s it", name, text.Verbs(r.Granted.Names(), "and"), what, text.Verbs(refused.Names(), "or"))
}

func printResults(w io.Writer, p paint, r *policy.Request, results []policy.Result, near []ask.Nearby) {
	for i, result := range results {
		fmt.Fprintf(w, "\n%s\n", p.bold(resource(result.Asked)))
		width := 0
		for _, c := range result.Causes {
			width = max(width, len(c.Actions.String()))
		}
		for _, c := range result.Causes {
			verdict := p.red("refused")
			if c.Reason == policy.Allowed {
				verdict = p.green("granted")
			}
			fmt.Fprintf(w, "  %-*s  %s  %s\n", width, c.Actions, verdict, reasonText(r, c))
			indent := strings.Repeat(" ", width+len("  granted  ")+2)
			if c.Rule != nil && c.Rule.When != nil && r != nil {
				fmt.Fprintf(w, "%s%s: %s\n", indent, p.faint(conditionResult(c.Rule.When, r)), oneLine(c.Rule.When.String()))
				printValues(w, indent+"  ", c.Rule.When.Explain(r))
			}
			if c.Reason == policy.Narrowed && r != nil && r.Principal != nil {
				for _, l := range r.Principal.Limits {
					fmt.Fprintf(w, "%s it is restricted to %s\n", indent, l)
				}
			}
		}
		if i < len(near) {
			printNear(w, p, withoutCauses(near[i], result.Causes))
		}
	}
}

// conditionResult returns the result of a condition in words: "its condition holds", "its
// condition is false", or "its condition fails" with the error.
func conditionResult(when policy.Condition, r *policy.Request) string {
	switch holds, err := when.Holds(r); {
	case err != nil:
		return "its condition fails (" + oneLine(err.Error()) + ")"
	case holds:
		return "its condition holds"
	}
	return "its condition is false"
}

// printValues writes the parts of a condition and their values as columns.
func printValues(w io.Writer, indent string, values []policy.Value) {
	const most = 48
	width := 0
	for _, v := range values {
		if n := utf8.RuneCountInString(oneLine(v.Expression)); n <= most {
			width = max(width, n)
		}
	}
	for _, v := range values {
		fmt.Fprintf(w, "%s%-*s  is %s\n", indent, width, oneLine(v.Expression), oneLine(v.Value))
	}
}

func sameGrants(a, b []policy.Result) bool {
	return slices.EqualFunc(a, b, func(a, b policy.Result) bool { return a.Asked == b.Asked && a.Granted == b.Granted })
}

// reasonText returns the reason for a decision as the end of a sentence that begins with "allowed"
// or "refused", such as `by "writers" (policy.yaml:14), as group:dev`.
func reasonText(r *policy.Request, c policy.Cause) string {
	switch c.Reason { //exhaustive:enforce
	case policy.Allowed:
		return "by " + c.Rule.String() + asMember(r, c.Rule)
	case policy.Denied:
		return "denied by " + c.Rule.String() + asMember(r, c.Rule)
	case policy.Narrowed:
		return "allowed by " + c.Rule.String() + ", but outside the restrictions of the credential"
	case policy.ConditionFailed:
		return "the condition of " + c.Rule.String() + " does not hold"
	case policy.NoRule:
	}
	return "no rule allows it"
}

// asMember returns the first group of the rule that contains the principal, in the form ", as
// group:dev". If no group of the rule contains the principal, it returns "".
func asMember(r *policy.Request, rule *policy.Rule) string {
	if r == nil || r.Principal == nil {
		return ""
	}
	for _, s := range rule.Subjects {
		if name, group := strings.CutPrefix(s, "group:"); group && slices.Contains(r.Principal.CanonicalGroups(), dn.Canonical(name)) {
			return ", as " + text.Escape(s)
		}
	}
	return ""
}

// withoutCauses returns those rules of n that are not already printed as causes. The rules of n
// nearly match the request. For example, a rule whose condition is false is printed as a cause.
func withoutCauses(n ask.Nearby, causes []policy.Cause) ask.Nearby {
	n.Rules = slices.DeleteFunc(slices.Clone(n.Rules), func(near ask.Near) bool {
		return len(near.Obstacles) == 1 && slices.ContainsFunc(causes, func(c policy.Cause) bool {
			return c.Reason == policy.ConditionFailed && c.Rule != nil && c.Rule.Name == near.Rule.Name
		})
	})
	return n
}

func printNear(w io.Writer, p paint, n ask.Nearby) {
	for i, near := range n.Rules {
		if i == 0 {
			fmt.Fprintln(w, p.faint("  rules that nearly applied:"))
		}
		verb := "allows"
		if near.Rule.Deny {
			verb = "denies"
		}
		obstacles := make([]string, len(near.Obstacles))
		for i, o := range near.Obstacles {
			obstacles[i] = o.Text
		}
		fmt.Fprintf(w, "    %s %s %s, but %s\n", near.Rule, verb, near.Actions, strings.Join(obstacles, ", and "))
		for _, o := range near.Obstacles {
			printValues(w, "      ", o.Values)
		}
	}
	if n.More > 0 {
		fmt.Fprintf(w, "    and %s\n", count(n.More, "other rule", "other rules"))
	}
}

// describe returns a principal with its source, groups and restrictions.
func describe(who *policy.Principal) string {
	if who == nil || who.Kind == policy.Anonymous {
		return anonymousClient
	}
	described := who.Kind.String() + " " + text.Escape(who.Name)
	var more []string
	if who.Source != "" {
		more = append(more, "from "+text.Escape(who.Source))
	}
	if len(who.Groups) > 0 {
		more = append(more, "in "+joinEscaped(who.Groups, ", "))
	}
	if len(who.Limits) > 0 {
		more = append(more, "with a restricted credential")
	}
	if len(more) > 0 {
		described += " (" + strings.Join(more, "; ") + ")"
	}
	return described
}

// joinEscaped joins texts, and escapes characters that cannot be printed.
func joinEscaped(texts []string, separator string) string {
	safe := make([]string, len(texts))
	for i, t := range texts {
		safe[i] = text.Escape(t)
	}
	return strings.Join(safe, separator)
}

func resource(s scope.Scope) string { return text.Escape(s.Type) + " " + text.Escape(s.Name) }

// oneLine returns a part of a condition, or its value, on one line. It escapes characters that
// cannot be printed.
func oneLine(s string) string { return text.Escape(strings.Join(strings.Fields(s), " ")) }
