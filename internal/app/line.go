package app

import (
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// The lines of entries, as the logger of the same format would write them. A server writes one for
// each token: by hand they cost a fifth of what they cost through slog (2.6 µs of a request's 80).

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

// jsonLine appends {"time":"…","level":"INFO","msg":"decision …","id":"…"}, as slog's JSON handler does.
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

// plainLine appends 15:04:05 decision …, for a person who watches.
func plainLine(b []byte, level slog.Level, e *journal.Entry) []byte {
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

// appendSummary appends the summary between quotes. A summary holds no control character and is valid
// UTF-8, so that quotes and backslashes are all there is to escape, for text and JSON alike.
func appendSummary(b []byte, e *journal.Entry) []byte {
	begin := len(b)
	b = e.AppendSummary(b)
	return text.AppendJSON(b[:begin], string(b[begin:]))
}

func appendID(b []byte, e *journal.Entry) []byte {
	b, _ = e.ID.AppendText(b) // never fails
	return b
}
