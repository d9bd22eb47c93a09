package journal_test

import (
	"net/netip"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// fullEntries returns a decision and an event, with all fields of ordinary entries.
func fullEntries() []journal.Entry {
	rule := &policy.Rule{Name: "devs"}
	decision := journal.Decision{
		Name: "ann", Credential: "token:1", Remote: netip.MustParseAddr("10.0.0.1"), Client: "docker/29 é",
		Results: []policy.Result{
			{
				Asked: scope.Scope{Type: "repository", Name: "team/app", Actions: 3}, Granted: 1,
				Causes: []policy.Cause{{Actions: 1, Reason: 1, Rule: rule}, {Actions: 2, Reason: 2}},
			},
			{Asked: scope.Scope{Type: "registry", Class: "plugin", Name: "catalog", Actions: 255}},
		},
		Policy: "p1", Token: journal.NewID(noon), Expires: noon, Refused: "unavailable: the directory",
	}
	event := notification.Event{
		ID: "e1", Time: noon.Add(1), Action: "push", Repository: "team/app", FromRepository: "team/base",
		MediaType: "application/json", Digest: "sha256:0123", Size: 1234, Tag: "v1", URL: "https://r.example.com/v2/",
		References: []notification.Descriptor{{MediaType: "a/b", Digest: "sha256:45", Size: 6}, {}, {Size: 1}},
		Omitted:    3, Actor: "ann",
		Request: notification.Request{ID: "r1", Address: "10.0.0.2:80", Host: "r.example.com", Method: "PUT", UserAgent: "docker/29"},
		Source:  notification.Source{Address: "10.0.0.3", Instance: "i1"},
	}
	bare := decision
	bare.Results, bare.Remote, bare.Client, bare.Name, bare.Policy = nil, netip.Addr{}, "", "", ""
	return []journal.Entry{
		{ID: journal.NewID(noon), Time: noon, Registry: "r.example.com", Decision: &decision},
		{ID: journal.NewID(noon), Time: noon, Decision: &bare},
		{ID: journal.NewID(noon), Time: noon, Registry: "r.example.com", Event: &event},
		{ID: journal.NewID(noon), Time: noon, Event: &notification.Event{Request: notification.Request{ID: "1"}, Source: notification.Source{Instance: "i"}}},
	}
}

func TestOrdinaryLinesAreParsedWithoutEncodingJSON(t *testing.T) {
	var p journal.LineParser
	for _, entry := range fullEntries() {
		public, private := journal.EncodeLine(&entry)
		if accepted, equal := p.Public(public); !accepted || !equal {
			t.Errorf("accepted %t, equal %t: %s", accepted, equal, public)
		}
		if accepted, equal := p.Private(private); len(private) > 0 && (!accepted || !equal) {
			t.Errorf("accepted %t, equal %t: %s", accepted, equal, private)
		}
	}
}

// heads returns first lines of blocks.
func heads() [][]byte {
	rules := []policy.Rule{
		{Name: "devs", Origin: policy.Origin{File: "tidewaiter.yaml", Line: 14}},
		{Name: "team é", Origin: policy.Origin{Namespace: "team"}}, {Name: "stored"}, {},
	}
	return [][]byte{journal.EncodeHead(0), journal.EncodeHead(1), journal.EncodeHead(2, rules[0]), journal.EncodeHead(0, rules...), journal.EncodeHead(3, rules...)}
}

func TestOrdinaryHeadsAreParsedWithoutEncodingJSON(t *testing.T) {
	var p journal.LineParser
	for _, head := range heads() {
		if accepted, equal := p.Head(head); !accepted || !equal {
			t.Errorf("accepted %t, equal %t: %s", accepted, equal, head)
		}
	}
	if accepted, _ := p.Head(journal.EncodeHead(1, policy.Rule{Name: `with "quotes"`})); accepted {
		t.Error("the parser accepts escapes, which it does not decode")
	}
}

// If the parser accepts a line, its result equals that of encoding/json. The lines come in any
// order.
func FuzzLineParser(f *testing.F) {
	for _, entry := range fullEntries() {
		public, private := journal.EncodeLine(&entry)
		f.Add(public, private)
		for at := range public { // similar lines
			f.Add(append(append([]byte{}, public[:at]...), public[at+1:]...), private[:min(at, len(private))])
			f.Add(append(append([]byte{}, public[:at]...), append([]byte(`,"0`), public[at:]...)...), append([]byte(`{"salt":"","remote":"`), private...))
		}
	}
	for _, head := range heads() {
		for at := range head {
			f.Add(append(append([]byte{}, head[:at]...), head[at+1:]...), head)
			f.Add(append(append([]byte{}, head[:at]...), append([]byte(`,"0`), head[at:]...)...), head)
		}
	}
	f.Add([]byte(`{"id":"00000000-0000-0000-0000-000000000000","at":-0,"decision":{"credential":""}}`), []byte(`{"salt":"","remote":""}`))
	f.Add([]byte(`{"id":"00000000-0000-0000-0000-000000000000","at":01,"decision":{"credential":"\xff"}}`), []byte(`{"salt":"","remote":"10.0.0.1"}`))
	f.Add([]byte(`{"id":"00000000-0000-0000-0000-000000000000","at":9999999999999999999,"decision":{"credential":"","results":[]}}`), []byte(`{}`))
	var p journal.LineParser
	f.Fuzz(func(t *testing.T, public, private []byte) {
		for _, b := range [][]byte{public, private} {
			if accepted, equal := p.Public(b); accepted && !equal {
				t.Errorf("parsed as another value: %q", b)
			}
			if accepted, equal := p.Private(b); accepted && !equal {
				t.Errorf("parsed as another value: %q", b)
			}
			if accepted, equal := p.Head(b); accepted && !equal {
				t.Errorf("parsed as another value: %q", b)
			}
		}
	})
}
