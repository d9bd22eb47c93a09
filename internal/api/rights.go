package api

import "github.com/tidewaiter/tidewaiter/policy/ask"

// Rights is all that somebody may do: what is allowed and not excepted, as far as the limits of the credential go.
type Rights struct {
	Principal Principal   `json:"principal" doc:"Who is judged"`
	Known     bool        `json:"known" doc:"Whether a source knows the name"`
	Registry  string      `json:"registry,omitempty" doc:"The registry's service name; left out: all of them" example:"registry.example.com"`
	Note      string      `json:"note,omitempty" doc:"What else there is to say of who is judged"`
	Allowed   []RuleRight `json:"allowed" nullable:"false" doc:"By a rule, if its condition holds"`
	Except    []RuleRight `json:"except,omitempty" nullable:"false" doc:"Of that, what another rule denies, unless its condition does not hold"`
	Barred    []RuleRight `json:"barred,omitempty" nullable:"false" doc:"What a rule would allow, if others did not deny all of it"`
	Void      []Void      `json:"void,omitempty" nullable:"false" doc:"Rules for who is judged that are about nothing"`
}

// RuleRight is what a rule says of somebody.
type RuleRight struct {
	Type       string   `json:"type" doc:"The type of what it is about" example:"repository"`
	Names      []string `json:"names" doc:"Patterns, in which placeholders are filled in" example:"[\"team/**\"]"`
	Actions    []string `json:"actions" nullable:"false" doc:"What may be done"`
	Registries []string `json:"registries,omitempty" nullable:"false" doc:"At which registries; left out: at all"`
	RuleName
	By *RuleName `json:"by,omitempty" doc:"The rule that denies it, of what is barred"`
}

// Void is a rule whose patterns match nothing with somebody.
type Void struct {
	Why string `json:"why" doc:"Why they match nothing"`
	RuleName
}

// NewRights is the form of all that somebody may do.
func NewRights(r *ask.Rights, known bool, note string) Rights {
	form := Rights{Principal: NewPrincipal(r.Principal), Known: known, Registry: r.Registry, Note: note, Allowed: []RuleRight{}}
	for i := range r.Allowed {
		form.Allowed = append(form.Allowed, newRuleRight(&r.Allowed[i]))
	}
	for i := range r.Except {
		form.Except = append(form.Except, newRuleRight(&r.Except[i]))
	}
	for i := range r.Barred {
		barred := newRuleRight(&r.Barred[i].Right)
		by := NewRuleName(r.Barred[i].By)
		barred.By = &by
		form.Barred = append(form.Barred, barred)
	}
	for _, v := range r.Void {
		form.Void = append(form.Void, Void{v.Why, NewRuleName(v.Rule)})
	}
	return form
}

func newRuleRight(r *ask.Right) RuleRight {
	return RuleRight{Type: r.Type, Names: r.Names, Actions: words(r.Actions), Registries: r.Rule.Registries, RuleName: NewRuleName(r.Rule)}
}
