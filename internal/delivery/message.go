package delivery

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

const (
	// maxBody is the maximum size of a message in bytes. Receivers and proxies often refuse bodies
	// of more than a megabyte.
	maxBody = 256 << 10
	// typePrefix is the beginning of the type of a CloudEvent.
	typePrefix = "io.github.tidewaiter."
)

// cloudEvent is the body of a message: a CloudEvent 1.0 in structured mode.
type cloudEvent struct {
	Version     string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        any       `json:"data"`
}

// shortEntry is the data of an entry that is too large for a message.
type shortEntry struct {
	Position journal.Position `json:"position"`
	ID       journal.ID       `json:"id"`
	Time     time.Time        `json:"time"`
	Registry string           `json:"registry,omitempty"`
	Summary  string           `json:"summary"`
	// Omitted is always true. It means that the message does not have the whole entry. The command
	// "tidewaiter journal show ID" prints the whole entry.
	Omitted bool `json:"omitted"`
}

// message returns the body of the message about an entry.
func message(e *journal.Entry, source string) ([]byte, error) {
	m := cloudEvent{
		Version: "1.0", ID: e.ID.String(), Source: source, Type: typePrefix + typeOf(e), Subject: subject(e),
		Time: e.Time.UTC(), ContentType: "application/json", Data: e,
	}
	body, err := encode(m)
	if err == nil && len(body) <= maxBody {
		return body, nil
	}
	m.Data = shortEntry{e.Position, e.ID, e.Time, e.Registry, e.Summary(), true}
	return encode(m)
}

// encode encodes JSON without the escapes that only HTML needs.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	c := json.NewEncoder(&b)
	c.SetEscapeHTML(false)
	err := c.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// typeOf returns the type of an entry: its kind, and its action or outcome.
func typeOf(e *journal.Entry) string {
	action := ""
	switch {
	case e.Event != nil:
		action = e.Event.Action
	case e.Decision != nil:
		action = string(e.Outcome())
	case e.Change != nil:
		action = e.Change.Action
	case e.Service != nil:
		action = e.Service.Action
	}
	if action == "" {
		return string(e.Kind())
	}
	return string(e.Kind()) + "." + action
}

// subject returns the subject of an entry: its first repository, or the target of its change or
// service action.
func subject(e *journal.Entry) string {
	if names := repositories(e); len(names) > 0 {
		return names[0]
	}
	switch {
	case e.Change != nil:
		return e.Change.Target
	case e.Service != nil:
		return e.Service.Target
	}
	return ""
}
