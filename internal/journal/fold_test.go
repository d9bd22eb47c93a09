package journal_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Every refusal is recorded or counted exactly once, in a window of at most a minute. It is
// counted only together with refusals that have the same registry, address and reason.
func TestPropertyFoldedRefusalsAreCountedExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := clocktest.New(noon)
		j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
		type group struct {
			registry, address, reason string
			service                   bool
		}
		want := make(map[group]int64)
		ids := make(map[journal.ID]group)
		for range rapid.IntRange(1, 60).Draw(rt, "refusals") {
			clock.Pass(time.Duration(rapid.SampledFrom([]int64{0, 1, 1, 9, 30, 51, 300}).Draw(rt, "seconds")) * time.Second)
			if rapid.IntRange(0, 4).Draw(rt, "timer") == 0 {
				j.FoldTimer()
			}
			known := rapid.Bool().Draw(rt, "known")
			g := group{
				rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "registry"), fmt.Sprintf("192.0.2.%d", rapid.IntRange(1, 2).Draw(rt, "address")),
				rapid.SampledFrom([]string{"invalid credentials", "not checked"}).Draw(rt, "reason"), rapid.Bool().Draw(rt, "service"),
			}
			name, at := rapid.SampledFrom([]string{"ann", "bob"}).Draw(rt, "name"), netip.MustParseAddr(g.address)
			refused := g.reason + rapid.SampledFrom([]string{"", ": expired"}).Draw(rt, "detail")
			entry := journal.Entry{Registry: g.registry, Decision: &journal.Decision{Name: name, Remote: at, Refused: refused}}
			if g.service {
				entry.Decision, entry.Service = nil, &journal.Service{Action: "session.refuse", Name: name, Remote: at, Refused: refused}
			}
			id, err := j.RecordRefusal(entry, known)
			if err != nil {
				rt.Fatal(err)
			}
			if id.IsZero() != known && !g.service {
				rt.Fatalf("known %t: the id is %s", known, id)
			}
			if !id.IsZero() {
				ids[id] = g
			}
			want[g]++
		}
		j.CloseFolds()
		if err := j.Append(t.Context(), journal.Entry{Text: []byte("the end")}); err != nil {
			rt.Fatal(err)
		}
		got := make(map[group]int64)
		recorded := make(map[journal.ID]time.Time)
		for e, err := range j.Read(t.Context(), 0) {
			if err != nil {
				rt.Fatal(err)
			}
			d := e.Decision
			if s := e.Service; s != nil {
				d = &journal.Decision{Remote: s.Remote, Refused: s.Refused, Repeats: s.Repeats}
			}
			if d == nil {
				continue
			}
			reason := d.Refused
			if n := len(reason) - len(": expired"); n > 0 && reason[n:] == ": expired" {
				reason = reason[:n]
			}
			g := group{e.Registry, d.Remote.String(), reason, e.Service != nil}
			r := d.Repeats
			if r == nil {
				recorded[e.ID] = e.Time
				got[g]++
				continue
			}
			got[g] += r.Count
			if r.Count < 1 || r.Last.Before(r.First) || r.Last.Sub(r.First) > time.Minute || !e.Time.Equal(r.Last) {
				rt.Errorf("an entry of %s counts %+v", e.Time, *r)
			}
			if first, ok := recorded[r.Of]; !r.Of.IsZero() && (!ok || first.After(r.First)) {
				rt.Errorf("no earlier entry describes the refusal that is repeated: %+v", *r)
			}
		}
		for g, n := range want {
			if got[g] != n {
				rt.Errorf("%+v: %d refusals, want %d", g, got[g], n)
			}
		}
		for id, g := range ids {
			if _, ok := recorded[id]; !ok {
				rt.Errorf("no entry has the id of a refusal of %+v", g)
			}
		}
	})
}

// Refusals that an administrator may want to distinguish are not folded.
func TestDifferentRefusalsAreNotFolded(t *testing.T) {
	ann, bob := &policy.Principal{Kind: policy.User, Name: "ann"}, &policy.Principal{Kind: policy.User, Name: "bob"}
	result := func(name string, asked, granted scope.Actions) []policy.Result {
		return []policy.Result{{Asked: scope.Scope{Type: scope.TypeRepository, Name: name, Actions: asked}, Granted: granted}}
	}
	at := netip.MustParseAddr
	entry := func(change func(*journal.Entry)) journal.Entry {
		e := journal.Entry{Registry: "r", Decision: &journal.Decision{
			Principal: ann, Credential: "password", Remote: at("192.0.2.1"), Results: result("app", scope.Push, 0), Policy: "p",
		}}
		change(&e)
		return e
	}
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{})
	seen := make(map[journal.ID]string)
	for what, change := range map[string]func(*journal.Entry){
		"":               func(*journal.Entry) {},
		"registry":       func(e *journal.Entry) { e.Registry = "other" },
		"principal":      func(e *journal.Entry) { e.Decision.Principal = bob },
		"no principal":   func(e *journal.Entry) { e.Decision.Principal = nil },
		"name":           func(e *journal.Entry) { e.Decision.Principal, e.Decision.Name = nil, "ann" },
		"credential":     func(e *journal.Entry) { e.Decision.Credential = "token:x" },
		"address":        func(e *journal.Entry) { e.Decision.Remote = at("192.0.2.2") },
		"repository":     func(e *journal.Entry) { e.Decision.Results = result("lib", scope.Push, 0) },
		"actions":        func(e *journal.Entry) { e.Decision.Results = result("app", scope.Pull, 0) },
		"granted":        func(e *journal.Entry) { e.Decision.Results = result("app", scope.Push|scope.Pull, scope.Pull) },
		"policy":         func(e *journal.Entry) { e.Decision.Policy = "q" },
		"reason":         func(e *journal.Entry) { e.Decision.Refused = "not enough is granted" },
		"another reason": func(e *journal.Entry) { e.Decision.Refused = "unavailable: ldap" },
	} {
		first, err := j.RecordRefusal(entry(change), false)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[first]; ok {
			t.Errorf("%q is folded into %q", what, other)
		}
		seen[first] = what
		if again, err := j.RecordRefusal(entry(change), false); err != nil || again != first {
			t.Errorf("%q again: %s, %v, want %s", what, again, err, first)
		}
	}
}

// An attack from more addresses than there are windows writes few entries. The numbers of
// refusals in these entries are still exact.
func TestRefusalsOfManyAddressesAreFolded(t *testing.T) {
	const refusals = 3 * journal.MaxFolds
	for what, tt := range map[string]struct {
		known bool
		most  int // entries
		entry func(name string, at netip.Addr) journal.Entry
	}{
		"rate limited": {true, journal.MaxFolds + 1, func(name string, at netip.Addr) journal.Entry {
			return journal.Entry{Registry: "r", Decision: &journal.Decision{Name: name, Remote: at, Refused: "not checked: too many failed attempts"}}
		}},
		"events": {false, journal.MaxFolds + 2, func(name string, at netip.Addr) journal.Entry {
			return journal.Entry{Service: &journal.Service{Action: "notification.refuse", Client: name, Remote: at, Refused: "no registry has this secret"}}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			clock := clocktest.New(noon)
			j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
			for i := range refusals {
				e := tt.entry(fmt.Sprint(i), netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
				if _, err := j.RecordRefusal(e, tt.known); err != nil {
					t.Fatal(err)
				}
			}
			clock.Pass(time.Minute)
			j.FoldTimer()
			if err := j.Append(t.Context(), journal.Entry{Text: []byte("the end")}); err != nil {
				t.Fatal(err)
			}
			entries, counted := 0, int64(0)
			for e, err := range j.Read(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				var repeats *journal.Repeats
				switch {
				case e.Decision != nil:
					repeats = e.Decision.Repeats
				case e.Service != nil:
					repeats = e.Service.Repeats
				default:
					continue
				}
				entries++
				if counted++; repeats != nil {
					counted += repeats.Count - 1
				}
			}
			if entries > tt.most || counted != refusals {
				t.Errorf("%d entries for %d refusals, want %d refusals in at most %d entries", entries, counted, refusals, tt.most)
			}
		})
	}
}

// The refusals of different requests, each with many long scopes, must not fill the memory.
func TestFoldingHasLimitedMemory(t *testing.T) {
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{MaxBytes: 1 << 30})
	for i := range 400 {
		d := &journal.Decision{Principal: &policy.Principal{Name: "anonymous"}, Remote: netip.MustParseAddr("192.0.2.1")}
		for n := range 100 {
			name := strings.Repeat("long/", 45) + fmt.Sprint(i, "-", n)
			d.Results = append(d.Results, policy.Result{Asked: scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Pull}})
		}
		if _, err := j.RecordRefusal(journal.Entry{Registry: "r", Decision: d}, false); err != nil {
			t.Fatal(err)
		}
	}
	if n := j.FoldBytes(); n > journal.MaxFoldBytes || n < journal.MaxFoldBytes/2 {
		t.Errorf("%d bytes in windows, want at most %d", n, journal.MaxFoldBytes)
	}
	j.CloseFolds()
	if n := j.FoldBytes(); n != 0 {
		t.Errorf("%d bytes without a window", n)
	}
}
