package journal_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var update = flag.Bool("update", false, "update the golden files")

func unprintable(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) }

func TestSummariesAreOneHarmlessLine(t *testing.T) {
	result := func(name string, causes ...policy.Cause) policy.Result {
		return policy.Result{Asked: scope.Scope{Type: "repository", Name: name, Actions: scope.Pull | scope.Push}, Causes: causes}
	}
	named := func(name string) *policy.Rule { return &policy.Rule{Name: name} }
	for _, tt := range []struct {
		entry journal.Entry
		want  string
	}{
		{journal.Entry{Registry: "registry.example.com", Decision: decision(alice)},
			`decision alice pull,push on team/app at registry.example.com: granted pull (rule "devs"), refused push (no rule)`},
		{journal.Entry{Decision: &journal.Decision{Principal: &policy.Principal{}, Results: []policy.Result{
			result("a", policy.Cause{Actions: scope.Pull, Reason: policy.Denied, Rule: named("freeze")}),
			result("b", policy.Cause{Actions: scope.Pull, Reason: policy.Narrowed, Rule: named("devs")}),
			result("c", policy.Cause{Actions: scope.Push, Reason: policy.ConditionFailed, Rule: named("office hours")}),
		}}}, `decision anonymous pull,push on a: refused pull (denied by rule "freeze"); ` +
			`pull,push on b: refused pull (outside the credential's limits, allowed by rule "devs"); ` +
			`pull,push on c: refused push (condition does not hold, rule "office hours")`},
		{journal.Entry{Decision: &journal.Decision{Principal: alice, Results: []policy.Result{{Asked: scope.Scope{Type: "registry", Name: "catalog", Actions: scope.All}}}}},
			`decision alice * on registry catalog: granted nothing`},
		{journal.Entry{Decision: &journal.Decision{Principal: alice, Results: decision(alice).Results, Refused: "denied: no rule"}},
			`decision alice pull,push on team/app: granted pull (rule "devs"), refused push (no rule); no token: denied: no rule`},
		{journal.Entry{Registry: "r", Decision: &journal.Decision{Principal: alice}}, `decision alice signed in at r`},
		{journal.Entry{Registry: "r", Decision: &journal.Decision{Name: "mallory\nlevel=INFO", Refused: "invalid credentials"}},
			`decision "mallory\nlevel=INFO" at r: no token: invalid credentials`},
		{journal.Entry{Decision: &journal.Decision{Refused: "unavailable: \x1b[2J"}}, `decision "": no token: unavailable: \x1b[2J`},
		{journal.Entry{Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: "anonymous: granted"}, Results: []policy.Result{
			result("x y\x00", policy.Cause{Reason: policy.Allowed, Rule: named("a\"b")})}}},
			`decision "anonymous: granted" pull,push on "x y\x00": granted  (rule "a\"b")`},
		{push("e1"), "event push team/app:v1 by alice at registry.example.com"},
		{journal.Entry{Event: &notification.Event{Action: "push", Repository: "a\u202eb"}}, `event push "a\u202eb"`},
		{journal.Entry{Change: &journal.Change{Actor: "root", Action: "user.disable", Target: "b ob"}}, `change user.disable by root: user "b ob" disabled`},
		{journal.Entry{Service: &journal.Service{Action: "service.start", Target: "1.2.3"}}, `service started version 1.2.3`},
		{journal.Entry{Service: &journal.Service{Action: "policy.refuse", Target: "tidewaiter.yaml", Refused: "line 3: unknown key"}},
			`service did not reload tidewaiter.yaml: line 3: unknown key`},
		{journal.Entry{Service: &journal.Service{Action: "session.add", Target: "user:ann", Actor: "user:ann", Remote: netip.MustParseAddr("192.0.2.1")}},
			`service started an API session of user:ann from 192.0.2.1`},
		{journal.Entry{Service: &journal.Service{Action: "session.refuse", Name: "mallory\nlevel=INFO", Refused: "invalid \x1bcredentials"}},
			`service refused a sign-in to the API by "mallory\nlevel=INFO": invalid \x1bcredentials`},
		{journal.Entry{Registry: "r", Service: &journal.Service{Action: "notification.refuse", Remote: netip.MustParseAddr("192.0.2.1"), Refused: "wrong secret",
			Repeats: &journal.Repeats{Count: 57, First: noon, Last: noon.Add(46 * time.Second)}}},
			`service refused events from 192.0.2.1 at r: wrong secret; 57 times more from 12:00:00 to 12:00:46 UTC`},
		{journal.Entry{Service: &journal.Service{Action: "later version", Target: "x"}}, `service "later version" x`},
		{journal.Entry{Registry: "r", Text: []byte("{\"event\":\"data\"}\n\x1b[31m\xff")}, `text at r: "{\"event\":\"data\"}\n\x1b[31m\xff"`},
		{journal.Entry{Text: []byte(strings.Repeat("x", 600))}, `text: "` + strings.Repeat("x", 509) + `…"`},
		{journal.Entry{Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: strings.Repeat("é", 100)}, Results: make([]policy.Result, 10)}},
			`decision ` + strings.Repeat("é", 64) + `…` + strings.TrimSuffix(strings.Repeat(`  on "" "": granted nothing;`, 8), ";") + `; and 2 more scopes`},
	} {
		if got := tt.entry.Summary(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestNothingHostileIsInASummary(t *testing.T) {
	for _, h := range texttest.All {
		rule := &policy.Rule{Name: h.Text}
		for _, e := range []journal.Entry{
			{Registry: h.Text, Decision: &journal.Decision{Name: h.Text, Refused: h.Text}},
			{Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: h.Text}, Results: []policy.Result{
				{Asked: scope.Scope{Type: h.Text, Name: h.Text}, Causes: []policy.Cause{{Rule: rule}}},
			}}},
			{Event: &notification.Event{Action: h.Text, Repository: h.Text, Tag: h.Text, Digest: h.Text, FromRepository: h.Text, Actor: h.Text}},
			{Change: &journal.Change{Actor: h.Text, Action: h.Text, Target: h.Text}},
			{Registry: h.Text, Service: &journal.Service{Action: h.Text, Target: h.Text, Actor: h.Text, Refused: h.Text}},
			{Service: &journal.Service{Action: "session.refuse", Name: h.Text}},
			{Text: []byte(h.Text)},
		} {
			if s := e.Summary(); !text.Printable(s) || len(s) > 5000 {
				t.Errorf("%s: %q", h.Harm, s)
			}
		}
	}
}

func TestSummariesAreBounded(t *testing.T) {
	long := strings.Repeat("\x00", 10_000)
	entry := journal.Entry{Registry: long, Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: long}}}
	for range 100 {
		entry.Decision.Results = append(entry.Decision.Results, policy.Result{
			Asked:  scope.Scope{Type: long, Name: long, Actions: 255},
			Causes: []policy.Cause{{Actions: 255, Reason: policy.Denied, Rule: &policy.Rule{Name: long}}},
		})
	}
	if n := len(entry.Summary()); n > 20_000 {
		t.Errorf("a summary is %d bytes long", n)
	}
}

// Other programs read this JSON, so change it only on purpose.
func TestTheJSONOfEntriesIsStable(t *testing.T) {
	refused := &journal.Decision{Name: "mallory", Credential: "password", Remote: netip.MustParseAddr("10.1.2.3"), Refused: "invalid credentials"}
	entries := []journal.Entry{
		{Decision: decision(alice), Registry: "registry.example.com"},
		{Decision: refused, Registry: "registry.example.com"},
		push("e1"),
		{Change: &journal.Change{Actor: "root", Action: "user.disable", Target: "bob", From: map[string]any{"disabled": false}, To: map[string]any{"disabled": true}}},
		{Text: []byte("{\"event\":\"data\"}\n\xff")},
		{Service: &journal.Service{Action: "session.refuse", Name: "mallory", Remote: netip.MustParseAddr("10.1.2.3"), Client: "curl/8", Refused: "invalid credentials",
			Repeats: &journal.Repeats{Count: 2, First: noon, Last: noon}}},
		{Service: &journal.Service{Action: "service.start", Target: "1.2.3", Details: map[string]any{"schema": 14}}},
	}
	for i := range entries {
		entries[i].Position = journal.Position(i + 1)
		entries[i].Time = noon
		entries[i].ID = journal.ID{0: 1, 6: 0x70, 8: 0x80, 15: byte(i)}
	}
	entries[0].Decision.Token, entries[0].Decision.Expires = entries[0].ID, noon.Add(5*time.Minute).Truncate(time.Second)
	got, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/entries.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}
