package replay

import (
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

// probe answers the conditions of a policy that depend on unknown inputs.
type probe struct {
	unknown ask.Unknown
	most    bool         // answer such that as much as possible is granted
	rule    *policy.Rule // the first rule that depends on an unknown input
	inputs  []string     // the unknown inputs that the rule's condition reads
}

// begin must be called before each decision.
func (p *probe) begin(unknown ask.Unknown, most bool) {
	p.unknown, p.most, p.rule, p.inputs = unknown, most, nil, nil
}

// reason describes why the last decision depends on unknown inputs.
func (p *probe) reason(unknown *ask.Unknown) string {
	var missing []string
	for _, input := range p.inputs {
		switch {
		case input == "request.ip" && unknown.IP:
			missing = append(missing, "the complete address")
		case input == "now" && unknown.Now:
			missing = append(missing, "the time of each repeated refusal")
		case input == "client" && unknown.Client:
			missing = append(missing, "the client")
		default:
			missing = append(missing, input)
		}
	}
	return fmt.Sprintf("%s reads %s, which the journal does not have", p.rule, text.List(missing, "and"))
}

// probed is a condition that asks a probe. It replaces the condition of a rule.
type probed struct {
	policy.Condition
	rule  *policy.Rule
	probe *probe
}

// Holds implements policy.Condition.
func (c *probed) Holds(r *policy.Request) (bool, error) {
	p := c.probe
	partial, ok := c.Condition.(ask.Partial)
	if !ok || !p.unknown.Now && !p.unknown.IP && !p.unknown.Client {
		return c.Condition.Holds(r) // a condition that is not an ask.Partial always fails
	}
	inputs := partial.DependsOn(r, &p.unknown)
	if len(inputs) == 0 {
		return c.Condition.Holds(r)
	}
	if p.rule == nil {
		p.rule, p.inputs = c.rule, inputs
	}
	return p.most != c.rule.Deny, nil
}

// withProbe returns a policy with the same rules, in which the conditions ask a probe. If no rule
// has a condition, it returns the policy itself and no probe.
func withProbe(of *policy.Policy) (*policy.Policy, *probe, error) {
	if !slices.ContainsFunc(of.Rules(), func(r policy.Rule) bool { return r.When != nil }) {
		return of, nil, nil
	}
	p := new(probe)
	rules := make([]policy.Rule, 0, len(of.Rules()))
	for r, has := range of.Effective() {
		own := *r
		own.Role, own.Actions, own.Lifetime = "", has.Actions, has.Lifetime
		if r.When != nil {
			own.When = &probed{r.When, r, p}
		}
		rules = append(rules, own)
	}
	probing, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		return nil, nil, fmt.Errorf("compiling the policy for a replay: %w", err)
	}
	return probing, p, nil
}
