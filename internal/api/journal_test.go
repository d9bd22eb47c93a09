package api_test

import (
	"database/sql"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// positions returns the positions of the entries in a CSV export.
func (h *harness) positions(text string) (positions []string) {
	h.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		h.Fatal(err)
	}
	for _, row := range rows {
		positions = append(positions, row[0])
	}
	return positions
}

func TestTheJournalIsExported(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("carol", "tidewaiter-auditors")
	_, secret := h.createToken("carol", "t")
	carol := bearer(secret)
	for i := range 5 {
		if err := h.journal.Append(t.Context(), journal.Entry{Time: h.clock.Now(), Text: []byte{byte('a' + i)}}); err != nil {
			t.Fatal(err)
		}
	}
	last, err := h.journal.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(back int) string { return strconv.FormatInt(int64(last)-int64(back), 10) }
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"/journal?kind=text", []string{"position", at(0), at(1), at(2), at(3), at(4)}},
		{"/journal?kind=text&limit=2", []string{"position", at(0), at(1)}},
		{"/journal?kind=text&after=0", []string{"position", at(4), at(3), at(2), at(1), at(0)}},
		{"/journal?kind=text&after=0&limit=2", []string{"position", at(4), at(3)}},
		{"/journal?after=" + at(3) + "&before=" + at(0), []string{"position", at(2), at(1)}},
		{"/journal?before=" + at(3) + "&kind=text", []string{"position", at(4)}},
		{"/journal?tag=none", []string{"position"}},
	} {
		got := h.requireStatus(200, carol, "GET", tt.path, nil, header("Accept", "text/csv"))
		if diff := cmp.Diff(tt.want, h.positions(got.Body)); diff != "" || got.Header.Get("Content-Type") != "text/csv" {
			t.Errorf("%s: %s: %s", tt.path, got.Header.Get("Content-Type"), diff)
		}
	}
	for _, accept := range []string{"application/jsonl", "application/x-ndjson", "text/html;q=0.5, application/jsonl"} {
		got := h.requireStatus(200, carol, "GET", "/journal?kind=text&limit=2", nil, header("Accept", accept))
		if lines := strings.Split(strings.TrimSpace(got.Body), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], `{"position":`+at(0)+`,`) || !strings.HasSuffix(accept, got.Header.Get("Content-Type")) {
			t.Errorf("%s: %s: %q", accept, got.Header.Get("Content-Type"), lines)
		}
	}
	for _, accept := range []string{"", "*/*", "text/html", "application/json, text/csv;q=0.1"} {
		got := h.requireStatus(200, carol, "GET", "/journal?limit=1", nil, header("Accept", accept))
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Link") == "" || len(h.read(got)["items"].([]any)) != 1 {
			t.Errorf("%q: %s %s", accept, got.Header, got.Body)
		}
	}
	for path, status := range map[string]int{"/journal?after=5&before=5": 422, "/journal?limit=0": 422, "/journal?digest=x": 422} {
		got := h.requireStatus(status, carol, "GET", path, nil, header("Accept", "text/csv"))
		if got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s", path, got.Header.Get("Content-Type"))
		}
	}
	h.addMember("bob")
	_, secret = h.createToken("bob", "t")
	h.requireStatus(403, bearer(secret), "GET", "/journal", nil, header("Accept", "text/csv"))
}

// An export that fails must not look complete.
func TestAFailedExportIsCutOff(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("carol", "tidewaiter-auditors")
	_, secret := h.createToken("carol", "t")
	for range 3 {
		if err := h.journal.Append(t.Context(), journal.Entry{Time: h.clock.Now(), Text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	err := h.db.Write(t.Context(), "", func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE journal_blocks SET content = 'x' WHERE first = (SELECT max(first) FROM journal_blocks)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"text/csv", "application/jsonl"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", h.url+api.Prefix+"/journal?after=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		bearer(secret)(r)
		header("Accept", accept)(r)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the export looks complete", accept)
		} else if answer != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", accept, err)
		}
	}
	// If the failure comes before the first entry, the response is an error.
	h.requireStatus(500, bearer(secret), "GET", "/journal", nil, header("Accept", "text/csv"))
}

// Owners see the actions on their repositories, and the principals. They do not see actions on
// other repositories, or from where and how others sign in. Filters do not reveal these parts,
// either.
func TestOwnersSeeTheEntriesOfTheirNamespaces(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	for _, name := range []string{"olga", "wanda", "nils"} {
		h.addMember(name)
	}
	add := func(name, owner string) {
		t.Helper()
		if _, err := h.rulebook.AddNamespace(t.Context(), operator, rulebook.NewNamespace{Name: name, Owners: []string{owner}}); err != nil {
			t.Fatal(err)
		}
	}
	credential := func(name string) option { _, secret := h.createToken(name, "t"); return bearer(secret) }
	olga, wanda, nils := credential("olga"), credential("wanda"), credential("nils")
	origin := func(namespace string) *policy.Rule {
		return &policy.Rule{Name: "secret " + namespace, Origin: policy.Origin{Namespace: namespace}}
	}
	asked := func(name string, granted scope.Actions, rule *policy.Rule) policy.Result {
		return policy.Result{
			Asked: scope.Scope{Type: "repository", Name: name, Actions: scope.Pull}, Granted: granted,
			Causes: []policy.Cause{{Actions: scope.Pull, Reason: policy.Allowed, Rule: rule}},
		}
	}
	push := func(id, repository, from string) journal.Entry {
		return journal.Entry{Time: h.clock.Now(), Registry: "r.example.com", Event: &notification.Event{
			ID: id, Time: h.clock.Now(), Action: "push", Repository: repository, FromRepository: from, Tag: id, Actor: "bob", URL: "https://canary-url",
			Request: notification.Request{Address: "192.0.2.66:1", UserAgent: "canary-agent", Host: "canary-host", Method: "PUT"}, Source: notification.Source{Address: "canary-source"},
		}}
	}
	add("team", "user:nils") // an earlier namespace of the same name, which belongs to nils
	if err := h.journal.Append(t.Context(), push("canary-older", "team/app", "")); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	if err := h.rulebook.DeleteNamespace(t.Context(), operator, "team", 0); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	add("team", "user:olga")
	add("other", "user:nils")
	if _, err := h.rulebook.SetMember(t.Context(), operator, "team", "user:wanda", "writer", 0); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	bob := &policy.Principal{Kind: policy.User, Name: "bob", Source: "canary-source", ID: "canary-id", Groups: []string{"canary-group"}, Claims: map[string]any{"mail": "canary-mail"}}
	decision := &journal.Decision{
		Principal: bob, Credential: "canary-credential", Remote: netip.MustParseAddr("192.0.2.66"), Client: "canary-agent", Policy: "canary-policy",
		Results: []policy.Result{
			asked("team/app", scope.Pull, origin("team")), asked("team/web", scope.Pull, &policy.Rule{Name: "canary-rule"}), asked("other/canary", 0, origin("other")),
		},
		Ignored: []scope.Ignored{{Text: "canary-ignored"}},
	}
	elsewhere := *decision
	elsewhere.Results = []policy.Result{asked("other/canary", scope.Pull, nil), asked("teams/canary", scope.Pull, nil), asked("team", scope.Pull, nil)}
	signIn := journal.Decision{Name: "canary-name", Remote: netip.MustParseAddr("192.0.2.66"), Refused: "invalid credentials"}
	entries := []journal.Entry{
		{Time: h.clock.Now(), Registry: "r.example.com", Decision: decision},
		{Time: h.clock.Now(), Decision: &elsewhere},
		{Time: h.clock.Now(), Decision: &signIn},
		push("mounted", "team/app", "other/canary"),
		push("canary-other", "other/app", "team/app"),
		{Time: h.clock.Now(), Text: []byte("canary-text team/app")},
		{Time: h.clock.Now(), Change: &journal.Change{Actor: "user:bob", Action: "namespace.set", Target: "team", From: map[string]any{"visibility": "private"}, To: map[string]any{"visibility": "public", "via": "canary-via"}}},
		{Time: h.clock.Now(), Change: &journal.Change{Actor: "user:bob", Action: "group.join", Target: "team", To: map[string]any{"member": "canary-member"}}},
	}
	if err := h.journal.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	summaries := func(got reply) (all []string) {
		for _, item := range h.read(got)["items"].([]any) {
			all = append(all, item.(fields)["summary"].(string))
		}
		return all
	}
	want := []string{
		"change namespace.set by user:bob: visibility of namespace team changed from private to public",
		"event push team/app:mounted by bob at r.example.com",
		`decision bob pull on team/app at r.example.com: granted pull (rule "secret team"); pull on team/web at r.example.com: granted pull (rule unknown)`,
		"change namespace.member.set by operator:root: user:wanda joined namespace team as writer",
		"change namespace.add by operator:root: namespace team added, private, with owners user:olga",
	}
	got := h.requireStatus(200, olga, "GET", "/journal", nil)
	if diff := cmp.Diff(want, summaries(got)); diff != "" {
		t.Error(diff)
	}
	forward := summaries(h.requireStatus(200, olga, "GET", "/journal?after=0", nil))
	slices.Reverse(forward)
	if diff := cmp.Diff(want, forward); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{
		got.Body,
		h.requireStatus(200, olga, "GET", "/journal", nil, header("Accept", "text/csv")).Body,
		h.requireStatus(200, olga, "GET", "/journal?after=0", nil, header("Accept", "application/jsonl")).Body,
	} {
		if strings.Contains(text, "canary") || strings.Contains(text, "192.0.2") {
			t.Errorf("an owner sees too much: %s", text)
		}
	}
	for _, filter := range []string{
		"address=192.0.2.66", "outcome=partial", "repository=other/canary", "repository=other/**", "principal=user:nils", "credential=canary-credential", "kind=text", "kind=service",
	} {
		if found := summaries(h.requireStatus(200, olga, "GET", "/journal?"+filter, nil)); len(found) > 0 {
			t.Errorf("%s reveals something: %q", filter, found)
		}
	}
	if found := summaries(h.requireStatus(200, olga, "GET", "/journal?outcome=granted&principal=user:bob&repository=team/app", nil)); len(found) != 1 {
		t.Errorf("%q", found)
	}
	h.requireStatus(403, wanda, "GET", "/journal", nil) // a writer is not an owner
	if text := h.requireStatus(200, nils, "GET", "/journal", nil).Body; strings.Contains(text, "team") {
		t.Errorf("the former owner sees entries of the new namespace: %s", text)
	}
	id := h.read(got)["items"].([]any)[0].(fields)["id"].(string)
	for _, path := range []string{"", "/related", "/explanation"} {
		h.requireStatus(403, olga, "GET", "/journal/"+id+path, nil)
	}
}
