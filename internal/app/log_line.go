package app

import (
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Lines of journal entries, equal to those of the logger with the same format. A server writes
// one for each token. Written here they cost a fifth of what slog takes (2.6 µs of the 80 µs of
// a request).

// textLine appends time=… level=INFO msg="decision …" id=…, as slog's text handler does.
func textLine(b []byte, level slog.Level, e *journal.Entry) []byte {
	b = append(b, "time="...)
	b = appendTime(b, e.Time)
	b = append(b, " level="...)
	b = append(b, level.String()...)
	b = append(b, " msg="...)
	b = appendSummary(b, e)
	b = append(b, " id="...)
	b = appendID(b, e)
	return append(b, '\n')
}

// jsonLine appends {"time":"…","level":"INFO","msg":"decision …","id":"…"}, as slog's JSON
// handler does.
func jsonLine(b []byte, level slog.Level, e *journal.Entry) []byte {
	b = append(b, `{"time":"`...)
	b = appendTime(b, e.Time)
	b = append(b, `","level":"`...)
	b = append(b, level.String()...)
	b = append(b, `","msg":`...)
	b = appendSummary(b, e)
	b = append(b, `,"id":"`...)
	b = appendID(b, e)
	return append(b, "\"}\n"...)
}

// consoleLine appends 15:04:05 decision …, for a terminal.
func consoleLine(b []byte, level slog.Level, e *journal.Entry) []byte {
	b = e.Time.Local().AppendFormat(b, "15:04:05 ")
	if level != slog.LevelInfo {
		b = append(b, "warn: "...)
	}
	b = e.AppendSummary(b)
	return append(b, '\n')
}

func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
}

// appendSummary appends the summary in quotes. A summary is valid UTF-8 without control
// characters, so only quotes and backslashes are escaped, in text and JSON.
func appendSummary(b []byte, e *journal.Entry) []byte {
	begin := len(b)
	b = e.AppendSummary(b)
	return text.AppendJSON(b[:begin], string(b[begin:]))
}

func appendID(b []byte, e *journal.Entry) []byte {
	b, _ = e.ID.AppendText(b) // never fails
	return b
}
