package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/scope"
)

// describe lists the obstacles of a rule that nearly applied. Open is what no rule allows so
// far.
func (e *evaluator) describe(r *rule, open scope.Actions) Near {
	near := Near{Rule: r.source, Actions: r.actions}
	add := func(field, text string, values ...Value) {
		near.Obstacles = append(near.Obstacles, Obstacle{field, text, values})
	}
	if !e.subjectHeld(r) {
		add("subjects", fmt.Sprintf("it is for %s and not for %s", list(r.source.Subjects, "or"), e.who))
	}
	if !e.registryMatches(r) {
		add("registries", fmt.Sprintf("it is for the registry %s and not for %s", list(r.source.Registries, "or"), printable(e.request.Registry)))
	}
	if !e.nameMatches(r) {
		text := fmt.Sprintf("it is about %s and not about %s", list(r.source.Names, "or"), printable(e.asked.Name))
		if why := e.placeholders(r); why != "" {
			text += "; " + why
		}
		add("names", text)
	}
	if !r.deny && r.actions&open == 0 {
		add("actions", fmt.Sprintf("it does not allow %s", open))
	}
	if when := r.source.When; when != nil {
		holds, err := when.Holds(e.request)
		switch {
		case err != nil && !r.deny:
			add("when", fmt.Sprintf("its condition fails (%s): %s", printable(err.Error()), when), when.Explain(e.request)...)
		case err == nil && !holds:
			add("when", fmt.Sprintf("its condition is false: %s", when), when.Explain(e.request)...)
		}
	}
	return near
}

// placeholders explains why a placeholder of the rule has no value; "" if all have one.
func (e *evaluator) placeholders(r *rule) string {
	var buf [maxParts]part
	for _, text := range r.source.Names {
		parsed, _ := parsePattern(buf[:0], text)
		for _, p := range parsed {
			switch p.kind {
			case userPlaceholder:
				if why := e.who.whyNoUser(); why != "" {
					return why
				}
			case claimPlaceholder:
				if why := e.who.whyNoClaim(p.text); why != "" {
					return why
				}
			case groupPlaceholder:
				if why := e.who.whyNoGroup(); why != "" {
					return why
				}
			}
		}
	}
	return ""
}

func (who *Principal) whyNoUser() string {
	if who.Kind != User {
		return fmt.Sprintf("${user} is the name of a user, and this is %s", who)
	}
	if !validPart(who.Name) {
		return fmt.Sprintf("${user} matches nothing, since %s cannot be a path part of a repository", printable(who.Name))
	}
	return ""
}

func (who *Principal) whyNoGroup() string {
	if who.Kind == Anonymous || len(who.Groups) == 0 {
		return fmt.Sprintf("${group} matches nothing, since %s is in no group", who)
	}
	if !slices.ContainsFunc(who.Groups, validPart) {
		return fmt.Sprintf("${group} matches nothing, since no group of %s can be a path part of a repository", who)
	}
	return ""
}

func (who *Principal) whyNoClaim(name string) string {
	bad := ""
	for value := range who.claim(name) {
		if validPath(value) {
			return ""
		}
		if bad == "" {
			bad = fmt.Sprintf("${claims.%s} matches nothing, since %s cannot be a path part of a repository", name, printable(value))
		}
	}
	if bad != "" {
		return bad
	}
	if _, is := who.Claims[name]; is && who.Kind != Anonymous {
		return fmt.Sprintf("${claims.%s} matches nothing, since the claim is not a text, number, true or false", name)
	}
	return fmt.Sprintf("${claims.%s} matches nothing, since %s has no such claim", name, who)
}

// String returns the principal as a subject: "user:ann", "anonymous".
func (who *Principal) String() string {
	who = orZero(who)
	if who.Kind == Anonymous || who.Kind > Workload {
		return who.Kind.String()
	}
	return who.Kind.String() + ":" + printable(who.Name)
}

// Why returns a sentence that explains why the rule did not match: `"writers" (policy.yaml:9)
// allows push, but it is for group:writers and not for user:ann`.
func (n Near) Why() string {
	effect := "allows"
	if orZero(n.Rule).Deny {
		effect = "denies"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s %s", n.Rule, effect, n.Actions)
	for i, o := range n.Obstacles {
		link := ", but "
		if i > 0 {
			link = ", and "
		}
		text.WriteString(link + o.Text)
		for k, v := range o.Values {
			mark := ", "
			if k == 0 {
				mark = " (where "
			}
			fmt.Fprintf(&text, "%s%s is %s", mark, printable(v.Expression), printable(v.Value))
		}
		if len(o.Values) > 0 {
			text.WriteByte(')')
		}
	}
	return text.String()
}

// String returns what the limit allows: "pull on team/app or team/base".
func (l Limit) String() string {
	text := fmt.Sprintf("%s on %s", l.Actions, list(l.Names, "or"))
	if kindOf(l.Type) != scope.TypeRepository {
		text = fmt.Sprintf("%s on the %s %s", l.Actions, printable(l.Type), list(l.Names, "or"))
	}
	return text
}

// String returns the explanation as several lines of text.
func (e Explanation) String() string {
	var page strings.Builder
	r := orZero(e.Request)
	who, registry := orZero(r.Principal), "a registry that is not known"
	if r.Registry != "" {
		registry = printable(r.Registry)
	}
	fmt.Fprintf(&page, "%s asks %s\n", who, registry)
	fmt.Fprintf(&page, "and is %s\n", list(e.Holds, "and"))
	for i, result := range e.Results {
		fmt.Fprintf(&page, "\n%s\n", result.Asked)
		for _, c := range result.Causes {
			fmt.Fprintf(&page, "  %s\n", c)
			if c.Reason == Denied && r.Registry == "" && len(orZero(c.Rule).Registries) > 0 {
				page.WriteString("    it denies at some registries, and the request does not name its registry\n")
			}
			if c.Reason == Narrowed {
				for _, l := range who.Limits {
					fmt.Fprintf(&page, "    it is limited to %s\n", l)
				}
			}
		}
		var near Nearby
		if i < len(e.Near) {
			near = e.Near[i]
		}
		if len(near.Rules) > 0 {
			page.WriteString("  rules that nearly applied:\n")
		}
		for _, n := range near.Rules {
			fmt.Fprintf(&page, "    %s\n", n.Why())
		}
		if near.More > 0 {
			fmt.Fprintf(&page, "    … and %d more\n", near.More)
		}
	}
	if e.Lifetime > 0 {
		fmt.Fprintf(&page, "\na token for this lives at most %s\n", e.Lifetime)
	}
	return page.String()
}

// list joins texts for a sentence, at most five of them.
func list(texts []string, conjunction string) string {
	const most = 5
	var b strings.Builder
	for i, text := range texts {
		switch {
		case i == most:
			fmt.Fprintf(&b, " %s %d more", conjunction, len(texts)-most)
			return b.String()
		case i > 0 && i == len(texts)-1:
			b.WriteString(" " + conjunction + " ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(printable(text))
	}
	return b.String()
}

// printable returns untrusted text in a form that is safe to print in a sentence.
func printable(s string) string {
	if s == "" {
		return `""`
	}
	return text.Escape(text.Shorten(s, 200))
}

// String returns the grantee: "group:dev", "user:prod in group:dev and group:ops", "signed-in
// with the claim project = acme".
func (g Grantee) String() string {
	var text strings.Builder
	for i, who := range g.Who {
		switch {
		case i > 0 && strings.HasPrefix(g.Who[i-1], "group:"):
			text.WriteString(" and ")
		case i > 0:
			text.WriteString(" in ")
		}
		text.WriteString(printable(who))
	}
	switch {
	case len(g.Claims) == 1:
		text.WriteString(" with the claim ")
	case len(g.Claims) > 1:
		text.WriteString(" with the claims ")
	}
	held := make([]string, len(g.Claims))
	for i, h := range g.Claims {
		held[i] = printable(h.Claim) + " = " + printable(h.Value)
	}
	text.WriteString(list(held, "and"))
	if g.Pattern != "" {
		whose := "claims"
		if strings.Contains(g.Pattern, "${group}") {
			whose = "claims and groups"
		}
		fmt.Fprintf(&text, " whose %s make %s match", whose, printable(g.Pattern))
	}
	return text.String()
}

// String returns the right: "pull,push of team/**".
func (a Right) String() string {
	if a.Type != scope.TypeRepository {
		return fmt.Sprintf("%s of the %s %s", a.Actions, printable(a.Type), list(a.Names, "and"))
	}
	return fmt.Sprintf("%s of %s", a.Actions, list(a.Names, "and"))
}
