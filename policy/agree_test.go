package policy_test

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// mustAgree compares got, the decision on the request r, with the decision of the naive evaluator
// on the rules in source. It reports a test error if they differ.
func mustAgree(t interface{ Errorf(string, ...any) }, source policy.Source, r *policy.Request, got policy.Decision) {
	if len(got.Results) != len(r.Scopes) {
		t.Errorf("%d results for %d scopes", len(got.Results), len(r.Scopes))
		return
	}
	var lifetime time.Duration
	for i, asked := range r.Scopes {
		want := naiveDecide(source, r, asked)
		if want.Lifetime > 0 && (lifetime == 0 || want.Lifetime < lifetime) {
			lifetime = want.Lifetime
		}
		reasons, rules := map[scope.Actions]policy.Reason{}, map[scope.Actions]string{}
		for _, c := range got.Results[i].Causes {
			for bit := scope.Actions(1); bit != 0; bit <<= 1 {
				if c.Actions&bit == 0 {
					continue
				}
				if _, twice := reasons[bit]; twice {
					t.Errorf("%v has two causes", bit)
				}
				reasons[bit], rules[bit] = c.Reason, ""
				if c.Rule != nil {
					rules[bit] = c.Rule.Name
				}
			}
		}
		if got.Results[i].Asked != asked || got.Results[i].Granted != want.Granted {
			t.Errorf("%v: granted %v, want %v", asked, got.Results[i].Granted, want.Granted)
		}
		if diff := cmp.Diff(want.Reasons, reasons); diff != "" {
			t.Errorf("%v: reasons (-want +got):\n%s", asked, diff)
		}
		if diff := cmp.Diff(want.Rules, rules); diff != "" {
			t.Errorf("%v: rules (-want +got):\n%s", asked, diff)
		}
	}
	if got.Lifetime != lifetime {
		t.Errorf("lifetime %v, want %v", got.Lifetime, lifetime)
	}
}
