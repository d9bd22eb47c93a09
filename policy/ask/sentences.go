package ask

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// describe lists the obstacles of a rule that nearly applied. The missing actions are the
// asked actions that no rule allows.
func (q *question) describe(r *rule, missing scope.Actions) Near {
	near := Near{Rule: r.Rule, Actions: r.actions}
	add := func(field, text string, values ...policy.Value) {
		near.Obstacles = append(near.Obstacles, Obstacle{field, text, values})
	}
	if !q.subjectMatches(r) {
		add("subjects", fmt.Sprintf("it is for %s and not for %s", text.List(r.Subjects, "or"), q.principal))
	}
	if !q.registryMatches(r) {
		add("registries", fmt.Sprintf("it is for the registry %s and not for %s", text.List(r.Registries, "or"), text.Name(q.request.Registry)))
	}
	if !q.nameMatches(r) {
		about := fmt.Sprintf("it is about %s and not about %s", text.List(r.Names, "or"), text.Name(q.asked.Name))
		if why := q.explainPlaceholder(r); why != "" {
			about += "; " + why
		}
		add("names", about)
	}
	if !r.Deny && r.actions&missing == 0 {
		add("actions", fmt.Sprintf("it does not allow %s", missing))
	}
	if when := r.When; when != nil {
		holds, err := when.Holds(q.request)
		switch {
		case err != nil && !r.Deny:
			add("when", fmt.Sprintf("its condition fails (%s): %s", text.Name(err.Error()), when), when.Explain(q.request)...)
		case err == nil && !holds:
			add("when", fmt.Sprintf("its condition is false: %s", when), when.Explain(q.request)...)
		}
	}
	return near
}

// explainPlaceholder explains why a placeholder of the rule has no value. It returns "" if all
// placeholders have values.
func (q *question) explainPlaceholder(r *rule) string {
	var buf [match.MaxParts]match.Part
	for _, text := range r.Names {
		parsed, _ := match.Parse(buf[:0], text)
		for _, p := range parsed {
			why := ""
			switch p.Kind {
			case match.UserPlaceholder:
				why = q.whyNoUser()
			case match.ClaimPlaceholder:
				why = q.whyNoClaim(p.Text)
			case match.GroupPlaceholder:
				why = q.whyNoGroup()
			}
			if why != "" {
				return why
			}
		}
	}
	return ""
}

func (q *question) whyNoUser() string {
	if q.who.Kind != match.User {
		return fmt.Sprintf("${user} is the name of a user, but this is %s", q.principal)
	}
	if !match.ValidPart(q.who.Name) {
		return fmt.Sprintf("${user} matches nothing, because %s cannot be a path part of a repository", text.Name(q.who.Name))
	}
	return ""
}

func (q *question) whyNoGroup() string {
	if q.who.Kind == match.Anonymous || len(q.who.Groups) == 0 {
		return fmt.Sprintf("${group} matches nothing, because %s is in no group", q.principal)
	}
	if !slices.ContainsFunc(q.who.Groups, match.ValidPart) {
		return fmt.Sprintf("${group} matches nothing, because no group of %s can be a path part of a repository", q.principal)
	}
	return ""
}

func (q *question) whyNoClaim(name string) string {
	values := slices.Collect(q.who.Claim(name))
	_, has := q.who.Claims[name]
	switch {
	case slices.ContainsFunc(values, match.ValidPath):
		return ""
	case len(values) > 0:
		return fmt.Sprintf("${claims.%s} matches nothing, because %s cannot be a path part of a repository", name, text.Name(values[0]))
	case has && q.who.Kind != match.Anonymous:
		return fmt.Sprintf("${claims.%s} matches nothing, because the claim is not a text, number, true or false", name)
	}
	return fmt.Sprintf("${claims.%s} matches nothing, because %s has no such claim", name, q.principal)
}

// Why returns a sentence that explains why the rule did not match: `"writers" (policy.yaml:9)
// allows push, but it is for group:writers and not for user:ann`.
func (n Near) Why() string {
	effect, link := "allows", ", but "
	if match.OrZero(n.Rule).Deny {
		effect = "denies"
	}
	sentence := fmt.Sprintf("%s %s %s", n.Rule, effect, n.Actions)
	for _, o := range n.Obstacles {
		sentence += link + o.Text
		if len(o.Values) > 0 {
			sentence += " (" + whereClause(o.Values) + ")"
		}
		link = ", and "
	}
	return sentence
}

// whereClause returns the parts of a condition with their values as a clause, such as `where
// claims.ref is "refs/heads/dev"`.
func whereClause(values []policy.Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = text.Name(v.Expression) + " is " + text.Name(v.Value)
	}
	return "where " + strings.Join(parts, ", ")
}

// String returns the explanation as several lines of text.
func (e Explanation) String() string {
	var page strings.Builder
	r := match.OrZero(e.Request)
	who, registry := match.OrZero(r.Principal), "a registry that is not known"
	if r.Registry != "" {
		registry = text.Name(r.Registry)
	}
	fmt.Fprintf(&page, "%s asks %s\n", who, registry)
	fmt.Fprintf(&page, "and is %s\n", text.List(e.Holds, "and"))
	for i, result := range e.Results {
		fmt.Fprintf(&page, "\n%s\n", result.Asked)
		for _, c := range result.Causes {
			fmt.Fprintf(&page, "  %s\n", c)
			if c.Reason == policy.Denied && r.Registry == "" && len(match.OrZero(c.Rule).Registries) > 0 {
				page.WriteString("    it denies at some registries, and the request does not name its registry\n")
			}
			if c.Reason == policy.Narrowed {
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

// String returns a text such as "group:dev", "user:prod in group:dev and group:ops" or
// "signed-in with the claim project = acme".
func (g Grantee) String() string {
	var b strings.Builder
	for i, who := range g.Who {
		switch {
		case i > 0 && strings.HasPrefix(g.Who[i-1], "group:"):
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(" in ")
		}
		b.WriteString(text.Name(who))
	}
	switch {
	case len(g.Claims) == 1:
		b.WriteString(" with the claim ")
	case len(g.Claims) > 1:
		b.WriteString(" with the claims ")
	}
	held := make([]string, len(g.Claims))
	for i, h := range g.Claims {
		held[i] = text.Name(h.Claim) + " = " + text.Name(h.Value)
	}
	b.WriteString(text.List(held, "and"))
	if g.Pattern != "" {
		whose := "claims"
		if strings.Contains(g.Pattern, "${group}") {
			whose = "claims and groups"
		}
		fmt.Fprintf(&b, " whose %s make %s match", whose, text.Name(g.Pattern))
	}
	return b.String()
}

// String returns the right: "pull,push of team/**".
func (a Right) String() string {
	if a.Type != scope.TypeRepository {
		return fmt.Sprintf("%s of the %s %s", a.Actions, text.Name(a.Type), text.List(a.Names, "and"))
	}
	return fmt.Sprintf("%s of %s", a.Actions, text.List(a.Names, "and"))
}
