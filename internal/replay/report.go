package replay

import (
	"cmp"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// groupKey identifies a Difference.
type groupKey struct {
	effect          Effect
	principal, kind string
	now, then       causeKey
}

// causeKey has the fields that distinguish causes. A rule is identified by its name and place,
// because the journal has only these.
type causeKey struct {
	reason policy.Reason
	rule   string
	origin policy.Origin
}

func keyOf(c policy.Cause) causeKey {
	if c.Rule == nil {
		return causeKey{reason: c.Reason}
	}
	return causeKey{c.Reason, c.Rule.Name, c.Rule.Origin}
}

// add adds the actions of one effect to the report. Each pair of causes is a group.
func (r *Replay) add(effect Effect, actions scope.Actions, v *verdict, e *journal.Entry, i int, count int64) {
	was := &e.Decision.Results[i]
	for _, now := range v.causes {
		for _, then := range was.Causes {
			both := actions & now.Actions & then.Actions
			if both == 0 {
				continue
			}
			actions &^= both
			r.addGroup(groupKey{effect, e.Decision.Principal.String(), was.Asked.Type, keyOf(now), keyOf(then)}, both, now, then, e, was.Asked.Name, count)
		}
	}
}

func (r *Replay) addGroup(key groupKey, actions scope.Actions, now, then policy.Cause, e *journal.Entry, name string, count int64) {
	d := r.groups[key]
	if d == nil {
		if len(r.groups) >= maxGroups {
			r.report.More += count
			return
		}
		d = &Difference{Effect: key.effect, Principal: key.principal, Type: key.kind, Now: now, Then: then, First: e.Time}
		r.groups[key] = d
	}
	d.Scopes += count
	d.Actions |= actions
	d.Last, d.ID = e.Time, e.ID
	switch {
	case slices.Contains(d.Names, name):
	case len(d.Names) == maxNames:
		d.MoreNames = true
	default:
		d.Names = append(d.Names, name)
	}
}

func (r *Replay) addReason(text string, e *journal.Entry, count int64) {
	why := r.reasons[text]
	if why == nil {
		if len(r.reasons) >= maxReasons {
			text = "other reasons"
		}
		if why = r.reasons[text]; why == nil {
			why = &Reason{Text: text}
			r.reasons[text] = why
		}
	}
	why.Scopes += count
	why.ID = e.ID
}

// Report returns the result. Add must not be called after Report.
func (r *Replay) Report() *Report {
	for _, d := range r.groups {
		r.report.Differences = append(r.report.Differences, *d)
	}
	r.sortDifferences()
	for _, why := range r.reasons {
		r.report.Reasons = append(r.report.Reasons, *why)
	}
	slices.SortFunc(r.report.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Scopes, a.Scopes), cmp.Compare(a.Text, b.Text))
	})
	return &r.report
}

// sortDifferences sorts the differences. Refusals come before grants. Then the most frequent pairs
// of causes come first. For each pair of causes, the most frequent principals come first.
func (r *Replay) sortDifferences() {
	total := make(map[groupKey]int64)
	causes := func(d *Difference) groupKey {
		return groupKey{effect: d.Effect, now: keyOf(d.Now), then: keyOf(d.Then)}
	}
	for i := range r.report.Differences {
		total[causes(&r.report.Differences[i])] += r.report.Differences[i].Scopes
	}
	slices.SortFunc(r.report.Differences, func(a, b Difference) int {
		x, y := causes(&a), causes(&b)
		return cmp.Or(cmp.Compare(b.Effect, a.Effect), cmp.Compare(total[y], total[x]), compareCauses(x.now, y.now), compareCauses(x.then, y.then),
			cmp.Compare(b.Scopes, a.Scopes), cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Type, b.Type))
	})
}

func compareCauses(a, b causeKey) int {
	return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.origin.String(), b.origin.String()), cmp.Compare(a.reason, b.reason))
}
