package journal_test

import (
	"encoding/json"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Entries that are read back equal the appended entries.
func TestPropertyWhatWasAppendedIsReadBack(t *testing.T) {
	storetest.Each(t, testPropertyWhatWasAppendedIsReadBack)
}

func testPropertyWhatWasAppendedIsReadBack(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	rapid.Check(t, func(rt *rapid.T) {
		before, err := j.Last(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		rules := rapid.SliceOfN(rapid.Custom(drawRule), 1, 4).Draw(rt, "rules")
		principals := rapid.SliceOfN(rapid.Custom(drawPrincipal), 1, 4).Draw(rt, "principals")
		var want []journal.Entry
		for range rapid.IntRange(1, 4).Draw(rt, "appends") {
			entries := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) journal.Entry {
				return drawEntry(rt, rules, principals)
			}), 1, 20).Draw(rt, "entries")
			if err := j.Append(t.Context(), entries...); err != nil {
				rt.Fatal(err)
			}
			want = append(want, entries...)
		}
		for i := range want {
			want[i].Position = before + journal.Position(i+1)
		}
		after := rapid.IntRange(0, len(want)).Draw(rt, "after")
		if diff := cmp.Diff(want[after:], read(t, j, before+journal.Position(after)), asKept); diff != "" {
			rt.Error(diff)
		}
		var kinds []journal.Kind
		for _, example := range rapid.SliceOfN(rapid.SampledFrom(want), 1, 2).Draw(rt, "of their kinds") {
			kinds = append(kinds, example.Kind())
		}
		ofKind := slices.Clone(want)
		for i := range ofKind {
			if e := &ofKind[i]; !slices.Contains(kinds, e.Kind()) {
				*e = journal.Entry{Position: e.Position, ID: e.ID}
			}
		}
		var decoded []journal.Entry
		for e, err := range j.ReadKinds(t.Context(), before, kinds...) {
			if err != nil {
				rt.Fatal(err)
			}
			// ReadKinds searches the lines for the keys of the kinds. A line of another kind can
			// contain such a key by chance, and its entry is then decoded, too.
			if !slices.Contains(kinds, e.Kind()) {
				e = journal.Entry{Position: e.Position, ID: e.ID}
			}
			decoded = append(decoded, e)
		}
		if diff := cmp.Diff(ofKind, decoded, asKept); diff != "" {
			rt.Errorf("entries of the kinds %s: %s", kinds, diff)
		}
		var decisions, read []journal.Entry
		for _, e := range want[after:] {
			if e.Decision != nil {
				decisions = append(decisions, e)
			}
		}
		for e, err := range j.ReadDecisions(t.Context(), before+journal.Position(after)) {
			if err != nil {
				rt.Fatal(err)
			}
			read = append(read, e)
		}
		if diff := cmp.Diff(decisions, read, asKept); diff != "" {
			rt.Errorf("decisions: %s", diff)
		}
		one := rapid.SampledFrom(want).Draw(rt, "one")
		found, err := j.Find(t.Context(), one.ID)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(one, found, asKept); diff != "" {
			rt.Error(diff)
		}
		for _, entry := range want {
			if summary := entry.Summary(); strings.ContainsFunc(summary, unprintable) || len(summary) > 16<<10 {
				rt.Errorf("the summary is not a single line of printable text: %q", summary)
			}
			if _, err := entry.MarshalJSON(); err != nil {
				rt.Error(err)
			}
		}
		if v, err := j.Verify(t.Context(), before+1); err != nil || v.Last != before+journal.Position(len(want)) {
			rt.Errorf("Verify: %+v, %v", v, err)
		}
	})
}

var actions = rapid.Map(rapid.Uint8(), func(n uint8) scope.Actions { return scope.Actions(n) })

func drawRule(t *rapid.T) *policy.Rule {
	return &policy.Rule{
		Name: rapid.String().Draw(t, "name"),
		Origin: policy.Origin{File: rapid.String().Draw(t, "file"), Line: rapid.IntRange(0, math.MaxInt32).Draw(t, "line"),
			Namespace: rapid.String().Draw(t, "namespace")},
	}
}

func drawPrincipal(t *rapid.T) *policy.Principal {
	return &policy.Principal{
		Kind:   policy.Kind(rapid.IntRange(0, 3).Draw(t, "kind")),
		Name:   rapid.String().Draw(t, "name"),
		Source: rapid.String().Draw(t, "source"),
		ID:     rapid.String().Draw(t, "id"),
		Groups: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "groups"),
		Claims: rapid.MapOfN(rapid.String(), rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Float64Range(-1e300, 1e300), func(f float64) any { return f }),
			rapid.Map(rapid.StringMatching(`-?[1-9][0-9]{0,40}(\.[0-9]{1,3})?`), func(n string) any { return json.Number(n) }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.SliceOfN(rapid.String(), 1, 2), func(l []string) any { return []any{l[0], map[string]any{"<&>": nil}} }),
		), 0, 3).Draw(t, "claims"),
		Limits: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Limit {
			return policy.Limit{
				Type:    rapid.String().Draw(t, "type"),
				Names:   rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "names"),
				Actions: actions.Draw(t, "actions"),
			}
		}), 0, 2).Draw(t, "limits"),
	}
}

func drawTime(t *rapid.T) time.Time {
	return time.UnixMicro(rapid.Int64Range(0, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()).Draw(t, "time")).UTC()
}

// drawExpires draws the end of a token. The end can be before the decision, because clocks can
// be set back.
func drawExpires(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "no token") {
		return time.Time{}
	}
	return drawTime(t).Truncate(time.Second)
}

func drawID(t *rapid.T) (id journal.ID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	id[15] |= 1 // not zero
	return id
}

func drawEntry(t *rapid.T, rules []*policy.Rule, principals []*policy.Principal) journal.Entry {
	text := rapid.String()
	entry := journal.Entry{ID: drawID(t), Time: drawTime(t), Registry: text.Draw(t, "registry")}
	switch rapid.IntRange(0, 4).Draw(t, "sort") {
	case 0:
		entry.Decision = drawDecision(t, rules, principals)
	case 1:
		entry.Event = &notification.Event{ // without an id, so the event is never a repeat
			Time: drawTime(t), Action: text.Draw(t, "action"), Repository: text.Draw(t, "repository"), Tag: text.Draw(t, "tag"),
			Digest: text.Draw(t, "digest"), Size: rapid.Int64().Draw(t, "size"), Actor: text.Draw(t, "actor"),
			References: []notification.Descriptor{{MediaType: text.Draw(t, "type"), Size: 1}},
			Request:    notification.Request{UserAgent: text.Draw(t, "agent")}, Source: notification.Source{Instance: text.Draw(t, "instance")},
		}
	case 2:
		entry.Change = &journal.Change{
			Actor: text.Draw(t, "actor"), Action: text.Draw(t, "action"), Target: text.Draw(t, "target"),
			From: map[string]any{text.Draw(t, "key"): text.Draw(t, "value")},
		}
	case 3:
		entry.Service = &journal.Service{
			Action: rapid.OneOf(rapid.Just("service.start"), text).Draw(t, "action"), Target: text.Draw(t, "target"), Actor: text.Draw(t, "actor"),
			Name: text.Draw(t, "name"), Remote: drawAddress(t), Client: text.Draw(t, "client"), Refused: text.Draw(t, "refused"),
			Details: map[string]any{text.Draw(t, "key"): text.Draw(t, "value")}, Repeats: drawRepeats(t),
		}
	case 4:
		entry.Text = rapid.SliceOfN(rapid.Byte(), 1, 4096).Draw(t, "text")
	}
	return entry
}

func drawAddress(t *rapid.T) netip.Addr {
	return rapid.SampledFrom([]netip.Addr{
		{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:10.0.0.1"),
		netip.MustParseAddr("fe80::1%eth\"0\n"),
	}).Draw(t, "remote")
}

func drawRepeats(t *rapid.T) *journal.Repeats {
	if rapid.Bool().Draw(t, "one") {
		return nil
	}
	at := func(label string) time.Time {
		return noon.Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, label)) * time.Microsecond)
	}
	return &journal.Repeats{Of: drawID(t), Count: rapid.Int64().Draw(t, "count"), First: at("first"), Last: at("last")}
}

func drawDecision(t *rapid.T, rules []*policy.Rule, principals []*policy.Principal) *journal.Decision {
	text := rapid.String()
	d := &journal.Decision{
		Name:       text.Draw(t, "name"),
		Credential: text.Draw(t, "credential"),
		Client:     text.Draw(t, "client"),
		Policy:     text.Draw(t, "policy"),
		Token:      drawID(t),
		Expires:    drawExpires(t),
		Refused:    text.Draw(t, "refused"),
		Remote:     drawAddress(t),
		Repeats:    drawRepeats(t),
		Results: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Result {
			return policy.Result{
				Asked: scope.Scope{
					Type:    rapid.OneOf(rapid.Just("repository"), text).Draw(t, "type"),
					Class:   text.Draw(t, "class"),
					Name:    text.Draw(t, "name"),
					Actions: actions.Draw(t, "asked"),
				},
				Granted: actions.Draw(t, "granted"),
				Causes: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) policy.Cause {
					return policy.Cause{
						Actions: actions.Draw(t, "actions"),
						Reason:  policy.Reason(rapid.IntRange(0, 4).Draw(t, "reason")),
						Rule:    rapid.SampledFrom(append(slices.Clip(rules), nil)).Draw(t, "rule"),
					}
				}), 0, 3).Draw(t, "causes"),
			}
		}), 0, 3).Draw(t, "results"),
		Ignored: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) scope.Ignored {
			return scope.Ignored{Text: text.Draw(t, "text"), Reason: text.Draw(t, "reason")}
		}), 0, 2).Draw(t, "ignored"),
	}
	if rapid.Bool().Draw(t, "proved") {
		d.Principal = rapid.SampledFrom(principals).Draw(t, "principal")
	}
	return d
}
