package replay_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// conditions read each input that the journal can lack.
var conditions = []string{
	"", "", "",
	`now.getMinutes() < 30`,
	`cidr("10.0.0.0/8").containsIP(request.ip)`,
	`client.startsWith("docker/")`,
	`now.getMinutes() % 2 == 0 || client == "podman"`,
	`claims.ref == "main"`,
	`"dev" in groups && request.ip == ip("10.0.0.7")`,
}

var compiler = when.NewCompiler()

func oneOf[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

func drawRule(t *rapid.T) policy.Rule {
	r := policy.Rule{
		Deny:     rapid.IntRange(0, 2).Draw(t, "deny") == 0,
		Subjects: []string{oneOf(t, "subject", "anyone", "user:ann", "user:bob", "group:dev", "signed-in")},
		Names:    []string{oneOf(t, "pattern", "**", "a/*", "b/*", "a/x", "${user}/*", "${claims.ref}/*")},
		Actions:  oneOf(t, "actions", scope.Pull, scope.Push, scope.Pull|scope.Push),
	}
	if text := oneOf(t, "when", conditions...); text != "" {
		condition, err := compiler.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		r.When = condition
	}
	return r
}

func compile(t *rapid.T, rules []policy.Rule) *policy.Policy {
	for i := range rules {
		rules[i].Name = fmt.Sprint("rule ", i)
	}
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// mutate returns rules that differ from the given rules in one rule.
func mutate(t *rapid.T, rules []policy.Rule) []policy.Rule {
	rules = slices.Clone(rules)
	i := rapid.IntRange(0, len(rules)-1).Draw(t, "which")
	switch oneOf(t, "how", "change", "remove", "add") {
	case "change":
		rules[i] = drawRule(t)
	case "remove":
		return slices.Delete(rules, i, i+1)
	case "add":
		return append(rules, drawRule(t))
	}
	return rules
}

var principals = []*policy.Principal{
	{Kind: policy.User, Name: "ann", Groups: []string{"dev"}},
	{Kind: policy.User, Name: "bob", Claims: map[string]any{"ref": "main"}},
	{Kind: policy.User, Name: "bob", Claims: map[string]any{"ref": "b"}, Limits: []policy.Limit{{Names: []string{"a/*"}, Actions: scope.Pull}}},
	{Kind: policy.Workload, Name: "ci", Groups: []string{"dev"}},
	{},
}

func drawRequest(t *rapid.T) *policy.Request {
	r := &policy.Request{
		Principal: oneOf(t, "principal", principals...), Registry: "r",
		IP:     oneOf(t, "ip", netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("10.0.0.8"), netip.Addr{}),
		Client: oneOf(t, "client", "docker/28", "podman", ""),
		Now:    clocktest.Noon().Now().Add(time.Duration(rapid.IntRange(0, 59).Draw(t, "minute")) * time.Minute),
	}
	for range rapid.IntRange(1, 2).Draw(t, "scopes") {
		r.Scopes = append(r.Scopes, scope.Scope{
			Type: "repository", Name: oneOf(t, "name", "a/x", "a/y", "b/x", "ann/x", "main/x"), Actions: oneOf(t, "asked", scope.Pull, scope.Pull|scope.Push),
		})
	}
	return r
}

// drawEntry returns the recorded decision of a request, and whether everything was recorded. The
// journal can lack the address or the last part of the address, the client, and the times of
// repeated refusals.
func drawEntry(t *rapid.T, r *policy.Request, results []policy.Result) (e *journal.Entry, complete bool) {
	d := &journal.Decision{Principal: r.Principal, Remote: r.IP, Client: r.Client, Results: results}
	complete = r.IP.IsValid() && r.Client != ""
	e = &journal.Entry{Time: r.Now, Registry: r.Registry, Decision: d}
	switch oneOf(t, "recorded", "all", "all", "short", "no address", "no client", "repeats") {
	case "short":
		if d.Remote.IsValid() {
			p, _ := d.Remote.Prefix(24)
			d.Remote, complete = p.Addr(), false
		}
	case "no address":
		d.Remote, complete = netip.Addr{}, false
	case "no client":
		d.Client, complete = "", false
	case "repeats":
		e.Time = r.Now.Add(time.Minute)
		d.Repeats = &journal.Repeats{Count: 3, First: r.Now, Last: e.Time}
		complete = false
	}
	return e, complete
}

func granted(results []policy.Result) (all []scope.Actions) {
	for _, r := range results {
		all = append(all, r.Granted)
	}
	return all
}

// A replay finds exactly the decisions that the policy decides differently. If something was not
// recorded, the decision is either judged as with the original inputs, or not judged.
func TestPropertyAReplayAgreesWithDecide(t *testing.T) { rapid.Check(t, agrees) }

func FuzzAReplayAgreesWithDecide(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agrees)) }

func agrees(t *rapid.T) {
	rules := rapid.SliceOfN(rapid.Custom(drawRule), 1, 8).Draw(t, "rules")
	former := compile(t, rules)
	candidate := former
	if rapid.Bool().Draw(t, "changed") {
		candidate = compile(t, mutate(t, rules))
	}
	r, err := replay.New(candidate)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		request := drawRequest(t)
		was := former.Decide(request).Results
		entry, complete := drawEntry(t, request, was)
		count := int64(1)
		if entry.Decision.Repeats != nil {
			count = 3
		}
		var refused, allowed int64
		for i, now := range granted(candidate.Decide(request).Results) {
			if was[i].Granted&^now != 0 {
				refused = count
			}
			if now&^was[i].Granted != 0 {
				allowed = count
			}
		}
		_, same0, refused0, allowed0, notJudged0 := r.Counts()
		r.Add(entry)
		_, same1, refused1, allowed1, notJudged1 := r.Counts()
		switch {
		case notJudged1 > notJudged0:
			if complete || same1 > same0 || notJudged1-notJudged0 != count {
				t.Fatalf("not judged, although everything was recorded: %+v", request)
			}
		case refused1-refused0 > refused || allowed1-allowed0 > allowed:
			t.Fatalf("%d refused and %d allowed, want at most %d and %d: %+v", refused1-refused0, allowed1-allowed0, refused, allowed, request)
		case (complete || same1 > same0) && (refused1-refused0 != refused || allowed1-allowed0 != allowed):
			t.Fatalf("%d refused and %d allowed, want %d and %d: %+v", refused1-refused0, allowed1-allowed0, refused, allowed, request)
		}
	}
	report := r.Report()
	if sum := report.Same + report.Different() + report.NotJudged; sum != report.Decisions {
		t.Fatalf("%d decisions are counted of %d", sum, report.Decisions)
	}
	var scopes int64
	for _, d := range report.Differences {
		scopes += d.Scopes
	}
	if (scopes > 0) != (report.Different() > 0) || candidate == former && scopes > 0 {
		t.Fatalf("%d scopes differ of %d decisions", scopes, report.Different())
	}
}
