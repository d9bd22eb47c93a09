package replay_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var (
	ann  = &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"dev"}}
	devs = policy.Rule{Name: "devs", Subjects: []string{"group:dev"}, Names: []string{"team/**"}, Actions: scope.Pull | scope.Push}
)

// night denies pushes to team/prod before six o'clock.
func night(t *testing.T) policy.Rule {
	condition, err := compiler.Compile(`now.getHours() < 6`)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Rule{Name: "night", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/prod"}, Actions: scope.Push, When: condition}
}

func replayOf(t *testing.T, rules []policy.Rule, entries ...journal.Entry) *replay.Report {
	t.Helper()
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	r, err := replay.New(p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		r.Add(&entries[i])
	}
	return r.Report()
}

// push returns the recorded decision of a push, which the policy of devs decided.
func push(who *policy.Principal, name string, at time.Time) journal.Entry {
	result := policy.Result{Asked: scope.Scope{Type: "repository", Name: name, Actions: scope.Push}, Granted: scope.Push}
	result.Causes = []policy.Cause{{Actions: scope.Push, Reason: policy.Allowed, Rule: &devs}}
	return journal.Entry{ID: journal.NewID(at), Time: at, Registry: "r", Decision: &journal.Decision{
		Principal: who, Remote: netip.MustParseAddr("192.0.2.9"), Client: "docker/28", Results: []policy.Result{result},
	}}
}

// If a decision depends on an input that was not recorded, the decision is counted with the
// reason.
func TestWhatWasNotRecordedIsNotGuessed(t *testing.T) {
	noon := clocktest.Noon().Now()
	midnight := noon.Add(12 * time.Hour)
	change := func(e journal.Entry, f func(*journal.Decision)) journal.Entry {
		d := *e.Decision
		d.Results = slices.Clone(d.Results)
		f(&d)
		e.Decision = &d
		return e
	}
	for _, tt := range []struct {
		name                     string
		entry                    journal.Entry
		same, refused, notJudged int64
		reason                   string
	}{
		{"a push at noon", push(ann, "team/prod", noon), 1, 0, 0, ""},
		{"a push at midnight", push(ann, "team/prod", midnight), 0, 1, 0, ""},
		{"a push that was repeated for a minute", change(push(ann, "team/prod", midnight), func(d *journal.Decision) {
			d.Repeats = &journal.Repeats{Count: 7, First: noon, Last: midnight}
		}), 0, 0, 7, `"night" reads the time of each repeated refusal, which the journal does not have`},
		{"a repeated push to another repository", change(push(ann, "team/app", midnight), func(d *journal.Decision) {
			d.Repeats = &journal.Repeats{Count: 7, First: noon, Last: midnight}
		}), 7, 0, 0, ""},
		{"a push without an address, which no rule reads", change(push(ann, "team/prod", noon), func(d *journal.Decision) { d.Remote = netip.Addr{} }), 1, 0, 0, ""},
		{"a name with a secret", push(ann, "team/"+secret.Mark, noon), 0, 0, 1, "the name of the resource had a secret, which the journal does not have"},
		{"an authorizer", change(push(ann, "team/app", noon), func(d *journal.Decision) {
			d.Results[0].Granted = 0
			d.Results[0].Causes = []policy.Cause{{Actions: scope.Push, Reason: policy.Denied, Rule: &policy.Rule{Name: "webhook:shop", Origin: policy.Origin{Database: true}}}}
		}), 0, 0, 1, "the authorizer webhook:shop decided it"},
		{"a failed sign-in", change(push(ann, "team/app", noon), func(d *journal.Decision) { d.Principal, d.Results = nil, nil }), 0, 0, 0, ""},
	} {
		r := replayOf(t, []policy.Rule{devs, night(t)}, tt.entry)
		if r.Same != tt.same || r.Refused != tt.refused || r.NotJudged != tt.notJudged || r.Allowed != 0 {
			t.Errorf("%s: %+v", tt.name, r)
		}
		var reasons []replay.Reason
		if tt.reason != "" {
			reasons = []replay.Reason{{Text: tt.reason, Scopes: tt.notJudged, ID: tt.entry.ID}}
		}
		if diff := cmp.Diff(reasons, r.Reasons); diff != "" {
			t.Errorf("%s: reasons (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Equal differences of a principal are one difference. It has the recorded cause and the cause in
// the other policy.
func TestDifferencesAreGroupedByCauseAndPrincipal(t *testing.T) {
	noon := clocktest.Noon().Now()
	ben := &policy.Principal{Kind: policy.User, Name: "ben", Groups: []string{"dev"}}
	freeze := policy.Rule{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/prod/*"}, Actions: scope.Push}
	var entries []journal.Entry
	for i := range 5 {
		entries = append(entries, push(ann, fmt.Sprint("team/prod/", i%4), noon.Add(time.Duration(i)*time.Second)))
	}
	entries = append(entries, push(ben, "team/prod/x", noon.Add(time.Minute)), push(ben, "team/app", noon))
	r := replayOf(t, []policy.Rule{devs, freeze}, entries...)
	denied := policy.Cause{Actions: scope.Push, Reason: policy.Denied, Rule: &freeze}
	allowed := policy.Cause{Actions: scope.Push, Reason: policy.Allowed, Rule: &devs}
	want := []replay.Difference{
		{Effect: replay.Refused, Principal: "user:ann", Actions: scope.Push, Type: "repository", Now: denied, Then: allowed, Scopes: 5,
			Names: []string{"team/prod/0", "team/prod/1", "team/prod/2"}, MoreNames: true, First: noon, Last: noon.Add(4 * time.Second), ID: entries[4].ID},
		{Effect: replay.Refused, Principal: "user:ben", Actions: scope.Push, Type: "repository", Now: denied, Then: allowed, Scopes: 1,
			Names: []string{"team/prod/x"}, First: noon.Add(time.Minute), Last: noon.Add(time.Minute), ID: entries[5].ID},
	}
	if diff := cmp.Diff(want, r.Differences); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	if r.Decisions != 7 || r.Different() != 6 || !r.First.Equal(noon) {
		t.Errorf("%+v", r)
	}
}

// Each job has its own name, so there can be very many differences. The report lists a limited
// number of differences, and counts the others.
func TestManyDifferencesAreCounted(t *testing.T) {
	const more = 25
	noon := clocktest.Noon().Now()
	entries := make([]journal.Entry, replay.MaxGroups+more)
	for i := range entries {
		entries[i] = push(&policy.Principal{Kind: policy.Workload, Name: fmt.Sprint("job", i)}, "team/app", noon)
	}
	r := replayOf(t, []policy.Rule{devs}, entries...)
	if len(r.Differences) != replay.MaxGroups || r.More != more || r.Refused != int64(len(entries)) {
		t.Errorf("%d differences and %d more, %d refused", len(r.Differences), r.More, r.Refused)
	}
}
