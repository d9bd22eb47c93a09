package api

import (
	"context"
	"iter"
	"math"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/export"
)

// jsonType is the media type of a page. All other media types are for exports (exportFormats).
const jsonType = "application/json"

var exportFormats = map[string]export.Format{
	"text/csv": export.CSV, "application/jsonl": export.JSONLines, "application/x-ndjson": export.JSONLines,
}

// entriesResponse is a page of entries as JSON, or an export.
type entriesResponse struct {
	Link string `header:"Link" doc:"The next page, with rel=next (RFC 8288)"`
	Body func(huma.Context)
}

// entriesContent describes the body of entriesResponse.
func (a *API) entriesContent() map[string]*huma.MediaType {
	schemas := a.huma.OpenAPI().Components.Schemas
	lines := &huma.MediaType{Schema: &huma.Schema{Type: "string", Description: "The JSON of an entry in each line, and in the last line the last signed checkpoint of the journal"}}
	return map[string]*huma.MediaType{
		jsonType:               {Schema: schemas.Schema(reflect.TypeFor[journalPage](), true, "")},
		"application/jsonl":    lines,
		"application/x-ndjson": lines,
		"text/csv":             {Schema: &huma.Schema{Type: "string", Description: "A line with the names of the columns, and a line for each entry, or for each scope of a decision. The last line has the last signed checkpoint of the journal"}},
	}
}

// requestedType returns the media type in which the client wants entries.
func requestedType(r *http.Request) string {
	known := []string{jsonType, "text/csv", "application/jsonl", "application/x-ndjson"}
	if selected := negotiation.SelectQValueFast(r.Header.Get("Accept"), known); selected != "" {
		return selected
	}
	return jsonType
}

// exportEntries returns a response that streams the given entries. If the first entry cannot be
// read, exportEntries returns the error. If a later entry cannot be read, it cuts the response
// off, so the client does not treat the response as complete.
func (a *API) exportEntries(ctx context.Context, contentType string, entries iter.Seq2[journal.Entry, error], limit int) (*entriesResponse, error) {
	next, stop := iter.Pull2(entries)
	e, err, ok := next()
	if err != nil {
		stop()
		return nil, err
	}
	return &entriesResponse{Body: func(hc huma.Context) {
		defer stop()
		hc.SetHeader("Content-Type", contentType)
		_, w := humago.Unwrap(hc)
		out := export.NewWriter(w, exportFormats[contentType])
		for n := 0; ok && err == nil && n < limit; n++ {
			if err = out.Write(&e); err == nil {
				e, err, ok = next()
			}
		}
		if err == nil {
			err = a.exportCheckpoint(ctx, out)
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			c := callOf(ctx)
			c.server.Failure(c.request, c.id, err) // logs err
			cutOff(w)
		}
	}}, nil
}

// exportCheckpoint writes the last signed checkpoint, if there is one. If that checkpoint does
// not cover all exported entries, another checkpoint is signed first.
func (a *API) exportCheckpoint(ctx context.Context, out *export.Writer) error {
	checkpoints := callOf(ctx).server.Checkpoints
	if checkpoints == nil {
		return nil
	}
	signed, covers, err := a.lastCheckpoint(ctx)
	if err == nil && covers < out.Last() {
		checkpoints.Finish(ctx)
		signed, covers, err = a.lastCheckpoint(ctx)
	}
	if err != nil || signed == nil {
		return err
	}
	return out.Checkpoint(signed, covers)
}

// lastCheckpoint returns the last signed checkpoint and the position up to which it covers the
// journal, or nil.
func (a *API) lastCheckpoint(ctx context.Context) ([]byte, journal.Position, error) {
	signed := a.checkpoint(ctx)
	if signed == nil {
		return nil, 0, nil
	}
	covers, err := a.Journal.Covered(ctx, signed)
	return signed, covers, err
}

// cutOff ends a response so that the client gets an error. It sets a deadline in the past. So the
// server closes the connection, or resets the stream of HTTP/2, and does not end the response
// normally.
func cutOff(w http.ResponseWriter) {
	// An error means that the client has closed the connection.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
}

// newestFirst returns the entries that a query selects between two positions, the newest first. At
// any time, only one page is in memory.
func (a *API) newestFirst(ctx context.Context, q journal.Query, before journal.Position) iter.Seq2[journal.Entry, error] {
	const page = 1000
	return func(yield func(journal.Entry, error) bool) {
		for next, first := before, true; first || next != 0; first = false {
			found, err := a.Journal.Search(ctx, q, next, page, func(int) bool { return false })
			if err != nil {
				yield(journal.Entry{}, err)
				return
			}
			for _, e := range found.Entries {
				if !yield(e, nil) {
					return
				}
			}
			next = found.Next
		}
	}
}

// visibleEntries returns the entries without the parts that the caller must not see.
func (o namespaceTimes) visibleEntries(entries iter.Seq2[journal.Entry, error]) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range entries {
			if err == nil {
				e = o.visibleEntry(e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// noLimit is the limit of an export if the request has no limit.
const noLimit = math.MaxInt
