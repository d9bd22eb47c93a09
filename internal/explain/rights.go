package explain

import "github.com/tidewaiter/tidewaiter/policy/ask"

// Rights is the JSON form of the rights of a principal: the rights in the field Allowed, without
// those in the field Except. The restrictions of the credential apply to both.
type Rights struct {
	Principal   principal     `json:"principal" doc:"The principal of the query"`
	Known       bool          `json:"known" doc:"Whether an identity source knows the name"`
	Registry    string        `json:"registry,omitempty" doc:"The registry's service name; absent: all registries" example:"registry.example.com"`
	Note        string        `json:"note,omitempty" doc:"A remark about the principal"`
	Policy      *Period       `json:"policy,omitempty" doc:"The policy that was in force at the time, if it is not the current policy"`
	Allowed     []right       `json:"allowed" nullable:"false" doc:"The rights that a rule allows. If the rule has a condition, the condition must be true"`
	Except      []right       `json:"except,omitempty" nullable:"false" doc:"The parts of allowed that another rule denies. If that rule has a condition, it denies only if the condition is true"`
	Denied      []right       `json:"denied,omitempty" nullable:"false" doc:"Rights that a rule allows, but other rules deny completely"`
	Ineffective []ineffective `json:"ineffective,omitempty" nullable:"false" doc:"Rules that are for the principal but match no resource"`
}

type right struct {
	Type       string   `json:"type" doc:"The resource type" example:"repository"`
	Names      []string `json:"names" doc:"Patterns, with placeholders replaced" example:"[\"team/**\"]"`
	Actions    []string `json:"actions" nullable:"false" doc:"The actions"`
	Registries []string `json:"registries,omitempty" nullable:"false" doc:"The registries that the rule is for; absent: all"`
	RuleName
	By *RuleName `json:"by,omitempty" doc:"In denied: the rule that denies the right"`
}

type ineffective struct {
	Reason string `json:"reason" doc:"The reason why the rule matches no resource"`
	RuleName
}

// NewRights returns the JSON form of the rights of a subject.
func NewRights(r *ask.Rights, s Subject, past Past) Rights {
	j := Rights{
		Principal: newPrincipal(r.Principal), Known: s.Known, Registry: r.Registry, Note: s.Note(), Policy: past.period(),
		Allowed: convert(r.Allowed, newRight), Except: convert(r.Except, newRight),
		Ineffective: convert(r.Ineffective, func(v *ask.IneffectiveRule) ineffective { return ineffective{v.Reason, NewRuleName(v.Rule)} }),
	}
	for _, b := range r.Denied {
		denied := newRight(&b.Right)
		denied.By = new(NewRuleName(b.By))
		j.Denied = append(j.Denied, denied)
	}
	return j
}

// HideRules removes the names of rules, and all other fields that describe rules.
func (r *Rights) HideRules() {
	r.Denied, r.Ineffective = nil, nil
	for _, list := range [][]right{r.Allowed, r.Except} {
		for i := range list {
			list[i].RuleName = RuleName{}
		}
	}
}

func newRight(r *ask.Right) right {
	return right{
		Type: r.Type, Names: r.Names, Actions: ActionNames(r.Actions), Registries: r.Rule.Registries, RuleName: NewRuleName(r.Rule),
	}
}
