package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

var at = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

func exported(t *testing.T, format Format, entries ...journal.Entry) string {
	t.Helper()
	return written(t, format, entries, "")
}

// exportOf returns an export of the entries that ends with a checkpoint.
func exportOf(t *testing.T, format Format, entries ...journal.Entry) string {
	t.Helper()
	return written(t, format, entries, "r/journal\n7\nAAAA\n\n— r/journal 1234\n")
}

func written(t *testing.T, format Format, entries []journal.Entry, checkpoint string) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, format)
	for i := range entries {
		if err := w.Write(&entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	if checkpoint != "" {
		if err := w.Checkpoint([]byte(checkpoint), w.Last()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Spreadsheets and programs depend on the columns and their order.
func TestCSV(t *testing.T) {
	id := func(last byte) journal.ID { return journal.ID{0: 1, 6: 0x70, 8: 0x80, 15: last} }
	devs := &policy.Rule{Name: "devs"}
	got := exportOf(t, CSV,
		journal.Entry{Position: 1, Time: at, ID: id(1), Registry: "r", Decision: &journal.Decision{
			Principal: &policy.Principal{Kind: policy.User, Name: "alice"}, Credential: "password", Remote: netip.MustParseAddr("192.0.2.7"), Client: "docker/28",
			Policy: "p1", Token: id(1), Results: []policy.Result{
				{
					Asked: scope.Scope{Type: "repository", Name: "team/app", Actions: scope.Pull | scope.Push}, Granted: scope.Pull,
					Causes: []policy.Cause{{Actions: scope.Pull, Reason: policy.Allowed, Rule: devs}, {Actions: scope.Push, Reason: policy.NoRule}},
				},
				{
					Asked:  scope.Scope{Type: "registry", Name: "catalog", Actions: scope.All},
					Causes: []policy.Cause{{Actions: scope.All, Reason: policy.Denied, Rule: devs}},
				},
			},
		}},
		journal.Entry{Position: 2, Time: at, ID: id(2), Registry: "r", Decision: &journal.Decision{
			Name: "mallory", Refused: "invalid credentials", Repeats: &journal.Repeats{Of: id(9), Count: 3, First: at, Last: at},
		}},
		journal.Entry{Position: 3, Time: at, ID: id(3), Registry: "r", Event: &notification.Event{
			Action: "push", Repository: "team/app", Tag: "v1", Digest: "sha256:0123456789abcdef", Actor: "alice",
			Request: notification.Request{Address: "192.0.2.7:4711", UserAgent: "docker/28"},
		}},
		journal.Entry{Position: 4, Time: at, ID: id(4), Change: &journal.Change{Actor: "user:root", Action: "user.disable", Target: "bob"}},
		journal.Entry{Position: 5, Time: at, ID: id(5), Service: &journal.Service{Action: "session.refuse", Name: "eve", Remote: netip.MustParseAddr("192.0.2.8"), Refused: "no"}},
		journal.Entry{Position: 6, Time: at, ID: id(6), Registry: "r", Text: []byte("x\ny")},
	)
	want := `position,time,id,kind,outcome,registry,principal,name,credential,address,client,repository,tag,digest,action,granted,refused,policy,token,decision,summary,checkpoint
1,T,#1,decision,partial,r,user:alice,,password,192.0.2.7,docker/28,team/app,,,"pull,push",pull,push: no-rule,p1,#1,#1,S,
1,T,#1,decision,partial,r,user:alice,,password,192.0.2.7,docker/28,registry:catalog,,,*,,*: denied (rule devs),p1,#1,#1,S,
2,T,#2,decision,refused,r,,mallory,,,,,,,,,invalid credentials,,,#9,S,
3,T,#3,event,,r,,alice,,192.0.2.7,docker/28,team/app,v1,sha256:0123456789abcdef,push,,,,,,S,
4,T,#4,change,,,user:root,bob,,,,,,,user.disable,,,,,,S,
5,T,#5,service,,,,eve,,192.0.2.8,,,,,session.refuse,,no,,,,S,
6,T,#6,text,,r,,,,,,,,,,,,,,,S,
6,,,checkpoint,,,,,,,,,,,,,,,,,S,r/journal\n7\nAAAA\n\n— r/journal 1234\n
`
	got = strings.NewReplacer(at.Format(time.RFC3339Nano), "T", "01000000-0000-7000-8000-00000000000", "#").Replace(got)
	var lines []string
	for line := range strings.Lines(got) {
		cells, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil || len(cells) != len(columns) {
			t.Fatalf("%d cells, %v: %s", len(cells), err, line)
		}
		if summary := len(columns) - 2; cells[summary] != "summary" {
			var b strings.Builder
			w := csv.NewWriter(&b)
			cells[summary] = "S"
			_ = w.Write(cells)
			w.Flush()
			line = b.String()
		}
		lines = append(lines, line)
	}
	if diff := cmp.Diff(want, strings.Join(lines, "")); diff != "" {
		t.Error(diff)
	}
}

// A spreadsheet computes a cell that begins like a formula.
func TestNoCellIsAFormula(t *testing.T) {
	texts := []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "＠SUM(1)", "a\r\n=1", `"=1`, ",=1"}
	for _, h := range texttest.All {
		texts = append(texts, h.Text, "="+h.Text)
	}
	for _, hostile := range texts {
		out := exported(t, CSV,
			journal.Entry{Registry: hostile, Decision: &journal.Decision{
				Principal: &policy.Principal{Kind: policy.User, Name: hostile}, Name: hostile, Credential: hostile, Client: hostile, Policy: hostile,
				Results: []policy.Result{{Asked: scope.Scope{Type: "repository", Name: hostile}, Causes: []policy.Cause{{Reason: policy.Denied, Rule: &policy.Rule{Name: hostile}}}}},
			}},
			journal.Entry{Registry: hostile, Decision: &journal.Decision{Name: hostile, Refused: hostile}},
			journal.Entry{Event: &notification.Event{
				Action: hostile, Repository: hostile, Tag: hostile, Digest: hostile, Actor: hostile, Request: notification.Request{Address: hostile, UserAgent: hostile},
			}},
			journal.Entry{Change: &journal.Change{Actor: hostile, Action: hostile, Target: hostile}},
			journal.Entry{Service: &journal.Service{Action: hostile, Actor: hostile, Name: hostile, Client: hostile, Refused: hostile}},
			journal.Entry{Text: []byte(hostile)},
		)
		if lines := strings.Count(out, "\n"); lines != 7 {
			t.Errorf("%q: %d lines", hostile, lines)
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil {
			t.Fatalf("%q: %v", hostile, err)
		}
		for _, cells := range rows[1:] {
			for i, cell := range cells {
				if !text.Printable(cell) || cell != "" && strings.ContainsRune("=+-@＝＋－＠\t\r\n", []rune(cell)[0]) {
					t.Errorf("%q: %s is %q", hostile, columns[i], cell)
				}
			}
		}
	}
}

func TestJSONLinesAreTheEntries(t *testing.T) {
	for _, h := range texttest.All {
		e := journal.Entry{Position: 1, Time: at, Decision: &journal.Decision{Name: h.Text, Refused: h.Text}}
		line := exported(t, JSONLines, e, e)
		plain, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(strings.NewReader(line))
		for range 2 {
			var got, want any
			if err := d.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(plain, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", h.Harm, diff)
			}
		}
		if !text.Printable(strings.ReplaceAll(line, "\n", "")) || strings.Count(line, "\n") != 2 {
			t.Errorf("%s: %q", h.Harm, line)
		}
	}
}

// In lines of JSON, the last line has the signed checkpoint, unchanged.
func TestJSONLinesEndWithTheCheckpoint(t *testing.T) {
	out := exportOf(t, JSONLines, journal.Entry{Position: 9, Time: at, Text: []byte("x")}, journal.Entry{Position: 8, Time: at, Text: []byte("y")})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if want := `{"checkpoint":"r/journal\n7\nAAAA\n\n— r/journal 1234\n","covers":9}`; len(lines) != 3 || lines[2] != want {
		t.Errorf("got %q, want the last line %s", lines, want)
	}
}

// failingWriter is a writer whose writes fail.
type failingWriter struct{ error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.error }

func TestFailedWritesAreReported(t *testing.T) {
	for _, format := range []Format{CSV, JSONLines} {
		w := NewWriter(failingWriter{errFull}, format)
		err := w.Write(&journal.Entry{Text: []byte("x")})
		if err == nil {
			err = w.Flush()
		}
		if err == nil {
			t.Errorf("%s: no error", format)
		}
	}
}

var errFull = journal.ErrFull // any error
