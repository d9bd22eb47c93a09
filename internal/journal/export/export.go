// Package export writes entries of the journal for other programs: as CSV for spreadsheets, and as
// lines of JSON.
package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Format is a file format of exported entries.
type Format string

// The formats.
const (
	CSV       Format = "csv"   // a line with the names of the columns, and a line for each entry
	JSONLines Format = "jsonl" // the JSON of an entry in each line
)

// columns are the columns of CSV. Programs and spreadsheets refer to the columns by number, so add
// new columns at the end.
var columns = []string{
	"position", "time", "id", "kind", "outcome", "registry", "principal", "name", "credential", "address", "client",
	"repository", "tag", "digest", "action", "granted", "refused", "policy", "token", "decision", "summary",
	"checkpoint",
}

// Writer writes entries. It needs memory only for one entry and a small buffer.
type Writer struct {
	buffer *bufio.Writer
	csv    *csv.Writer // nil: lines of JSON
	json   *json.Encoder
	last   journal.Position // the highest position that was written
}

// NewWriter returns a Writer to w. A CSV begins with the names of its columns, even if there are no
// entries. Call Flush at the end.
func NewWriter(w io.Writer, format Format) *Writer {
	buffer := bufio.NewWriter(w)
	if format == CSV {
		out := &Writer{buffer: buffer, csv: csv.NewWriter(buffer)}
		_ = out.csv.Write(columns) // Flush returns the error
		return out
	}
	out := &Writer{buffer: buffer, json: json.NewEncoder(text.JSONWriter{W: buffer})}
	out.json.SetEscapeHTML(false)
	return out
}

// Write writes an entry. In CSV, a decision about several scopes has a line for each scope, so
// that each repository has a cell of its own.
func (w *Writer) Write(e *journal.Entry) error {
	w.last = max(w.last, e.Position)
	if w.csv == nil {
		return w.json.Encode(e)
	}
	rows := 1
	if e.Decision != nil {
		rows = max(rows, len(e.Decision.Results))
	}
	summary := e.Summary()
	for i := range rows {
		r := row{
			"position": strconv.FormatInt(int64(e.Position), 10), "time": e.Time.UTC().Format(time.RFC3339Nano), "id": e.ID.String(),
			"kind": string(e.Kind()), "outcome": string(e.Outcome()), "registry": e.Registry, "summary": summary,
		}
		r.fill(e, i)
		if err := w.csv.Write(r.cells()); err != nil {
			return err
		}
	}
	return nil
}

// Flush writes the buffered data.
func (w *Writer) Flush() error {
	if w.csv != nil {
		w.csv.Flush()
		if err := w.csv.Error(); err != nil {
			return err
		}
	}
	return w.buffer.Flush()
}

// row is a line of CSV: its values by column.
type row map[string]string

// cells returns the values in the order of columns.
func (r row) cells() []string {
	all := make([]string, len(columns))
	for i, column := range columns {
		all[i] = cell(r[column])
	}
	return all
}

// cell makes a text safe for spreadsheets. A spreadsheet evaluates a text that begins like a
// formula. A formula can send the content of other cells to an attacker. Clients choose many of
// these texts. With an apostrophe in front, the spreadsheet shows the text and evaluates nothing.
// Line ends and control characters are escaped.
func cell(s string) string {
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		s = "'" + s
	}
	return text.Escape(s)
}

// fill sets the columns that depend on the kind of the entry. In a decision, i is the index of the
// scope.
func (r row) fill(e *journal.Entry, i int) {
	switch {
	case e.Decision != nil:
		d := e.Decision
		r["credential"], r["client"], r["name"], r["policy"], r["refused"] = d.Credential, d.Client, d.Name, d.Policy, d.Refused
		if d.Principal != nil {
			r["principal"] = d.Principal.String()
		}
		if d.Remote.IsValid() {
			r["address"] = d.Remote.String()
		}
		r["decision"] = e.ID.String()
		switch {
		case d.Repeats != nil && !d.Repeats.Of.IsZero():
			r["decision"] = d.Repeats.Of.String()
		case !d.Token.IsZero():
			r["token"], r["decision"] = d.Token.String(), d.Token.String()
		}
		if i < len(d.Results) {
			r.result(&d.Results[i])
		}
	case e.Event != nil:
		v := e.Event
		r["name"], r["client"], r["repository"], r["tag"], r["digest"], r["action"] = v.Actor, v.Request.UserAgent, v.Repository, v.Tag, v.Digest, v.Action
		r["address"] = v.Request.Address
		if host, _, err := net.SplitHostPort(r["address"]); err == nil {
			r["address"] = host
		}
	case e.Change != nil:
		r["principal"], r["name"], r["action"] = e.Change.Actor, e.Change.Target, e.Change.Action
	case e.Service != nil:
		s := e.Service
		r["principal"], r["name"], r["client"], r["action"], r["refused"] = s.Actor, s.Name, s.Client, s.Action, s.Refused
		if s.Remote.IsValid() {
			r["address"] = s.Remote.String()
		}
	}
}

// result sets the columns about the requested and granted actions of a scope.
func (r row) result(result *policy.Result) {
	r["repository"] = result.Asked.Name
	if result.Asked.Type != scope.TypeRepository {
		// The colon shows that the scope is of another type, because no name of a repository has
		// a colon.
		r["repository"] = result.Asked.Type + ":" + result.Asked.Name
	}
	r["action"], r["granted"] = result.Asked.Actions.String(), result.Granted.String()
	if r["refused"] != "" {
		return // there was no token
	}
	var reasons []string
	for _, c := range result.Causes {
		if c.Reason == policy.Allowed {
			continue
		}
		reason := c.Actions.String() + ": " + c.Reason.String()
		if c.Rule != nil {
			reason += " (rule " + c.Rule.Name + ")"
		}
		reasons = append(reasons, reason)
	}
	r["refused"] = strings.Join(reasons, "; ")
}
