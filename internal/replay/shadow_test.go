package replay_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The counts of a Shadow are the same as if each decision were compared by itself.
func TestPropertyAShadowPolicyCountsEachDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(drawRule), 1, 8).Draw(t, "rules")
		inForce, shadow := compile(t, rules), compile(t, mutate(t, rules))
		s := replay.NewShadow(slog.New(slog.DiscardHandler), clocktest.Noon().Now)
		var want replay.ShadowStats
		for range 20 {
			r := drawRequest(t)
			was, now := inForce.Decide(r).Results, shadow.Decide(r).Results
			var refused, allowed scope.Actions
			for i := range was {
				refused |= was[i].Granted &^ now[i].Granted
				allowed |= now[i].Granted &^ was[i].Granted
			}
			switch {
			case refused != 0:
				want.Refused++
			case allowed != 0:
				want.Allowed++
			default:
				want.Same++
			}
			s.Judge(shadow, journal.ID{}, r, was)
		}
		if got := s.Stats(); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}

// crash is a condition that panics.
type crash struct{}

func (crash) Holds(*policy.Request) (bool, error)    { panic("a bug") }
func (crash) Explain(*policy.Request) []policy.Value { return nil }
func (crash) String() string                         { return "crash" }

// An error in the shadow policy is counted and logged. The log has few lines.
func TestAShadowPolicyNeverHarms(t *testing.T) {
	clock, log := clocktest.Noon(), new(bytes.Buffer)
	s := replay.NewShadow(slog.New(slog.NewTextHandler(log, nil)), clock.Now)
	bad := devs
	bad.When = crash{}
	shadow, err := policy.Compile(policy.Source{Rules: []policy.Rule{bad}})
	if err != nil {
		t.Fatal(err)
	}
	e := push(ann, "team/app", clock.Now())
	r := &policy.Request{Principal: ann, Registry: "r", Scopes: []scope.Scope{e.Decision.Results[0].Asked}}
	for range 1000 {
		s.Judge(shadow, e.ID, r, e.Decision.Results)
		s.Judge(new(policy.Policy), e.ID, r, e.Decision.Results)
	}
	if got, want := s.Stats(), (replay.ShadowStats{Failed: 1000, Refused: 1000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	clock.Pass(time.Minute)
	s.Judge(new(policy.Policy), e.ID, r, e.Decision.Results)
	for _, text := range []string{`msg="the shadow policy failed" decision=` + e.ID.String() + ` error="a bug"`, "refused=repository:team/app:push", "lines_not_logged=1990"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log has no %s", text)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 11 {
		t.Errorf("the log has %d lines:\n%s", n, log)
	}
}

// The shadow policy has the rules of its files, and those of the policy in force that are not in
// files. A rule that is not in files can use a role from the files of the policy in force.
func TestBesideReplacesOnlyTheRulesOfFiles(t *testing.T) {
	in := func(name string, o policy.Origin) policy.Rule {
		return policy.Rule{Name: name, Subjects: []string{"anyone"}, Names: []string{name + "/**"}, Role: "reader", Origin: o}
	}
	inForce, err := policy.Compile(policy.Source{Roles: map[string]policy.Role{"reader": {Actions: scope.Pull, Lifetime: time.Minute}}, Rules: []policy.Rule{
		in("file", policy.Origin{File: "rules.yaml"}), in("database", policy.Origin{Database: true}), in("namespace", policy.Origin{Namespace: "n"}), in("builtin", policy.Origin{BuiltIn: true}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	shadow, err := replay.Beside(policy.Source{Rules: []policy.Rule{devs}}, inForce)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r, has := range shadow.Effective() {
		got = append(got, r.Name+" "+has.Actions.String()+" "+has.Lifetime.String())
	}
	if text := strings.Join(got, ", "); text != "devs pull,push 0s, database pull 1m0s, namespace pull 1m0s, builtin pull 1m0s" {
		t.Error(text)
	}
	if _, err := replay.Beside(policy.Source{Rules: []policy.Rule{in("database", policy.Origin{File: "shadow.yaml"})}}, inForce); err == nil {
		t.Error("a rule of the database has the name of a rule in the file")
	}
}
