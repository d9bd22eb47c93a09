package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
)

const (
	// feedTime is the duration of a response with a feed. Then the client connects again, and is
	// authenticated again.
	feedTime = 25 * time.Second
	// feedWrite is the time limit for sending one entry.
	feedWrite = 10 * time.Second
	// maxFeeds is the maximum number of simultaneous feeds. The number is limited because each
	// feed needs memory for a block of the journal.
	maxFeeds = 64
	// maxOwnFeeds is the maximum for one caller, so that one caller cannot use all feeds.
	maxOwnFeeds = 4
)

// feedCounts counts the feeds of each caller.
type feedCounts struct {
	mu    sync.Mutex
	all   int
	count map[string]int
}

// begin counts a new feed. It returns an error if there are too many. Call end when the feed ends.
func (c *feedCounts) begin(caller string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.count[caller] >= maxOwnFeeds:
		return refuse(http.StatusTooManyRequests, "%d of your clients follow the journal already, and more are not permitted: end one of them", maxOwnFeeds)
	case c.all >= maxFeeds:
		return refuse(http.StatusServiceUnavailable, "too many clients follow the journal: try again in a minute")
	}
	if c.count == nil {
		c.count = make(map[string]int)
	}
	c.all++
	c.count[caller]++
	return nil
}

func (c *feedCounts) end(caller string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.count[caller]--; c.count[caller] == 0 {
		delete(c.count, caller)
	}
}

type followEntries struct {
	After       int64  `query:"after" minimum:"0" doc:"Begin after this position; absent: at the end of the journal"`
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"Begin after this position. Browsers send this header when they connect again. The header takes precedence over the parameter after"`
	Filter
}

// feedResponse is a stream of server-sent events.
type feedResponse struct{ Body func(huma.Context) }

func (a *API) feedRoutes() {
	op := operation("follow-entries", "GET /journal/feed", "Follow the journal",
		"New entries are sent as server-sent events, at most half a second after they were written. Their ids are positions. "+
			"The response ends after 25 seconds with an event that has only an id. A client then connects again with this id in Last-Event-ID, as browsers do, and misses nothing. "+
			"Rights are checked again when the policy changes and at each connection. A caller can have four feeds at once. "+
			"Owners of a namespace who may not read the journal get the entries about their namespace, without addresses and other sign-in data.")
	op.Responses = map[string]*huma.Response{"200": {Content: map[string]*huma.MediaType{
		"text/event-stream": {Schema: &huma.Schema{Type: "string", Description: "Events with the fields id (the position) and data (the JSON of an entry)"}},
	}}}
	route(a, tagJournal, op, a.followEntries)
}

// followEntries returns a response that sends entries as they are written.
func (a *API) followEntries(ctx context.Context, caller admin.Actor, in *followEntries) (*feedResponse, error) {
	f := &feed{api: a, caller: caller}
	if err := f.checkRights(ctx); err != nil {
		return nil, err
	}
	var field, reason string
	if f.query, field, reason = in.Query(); reason != "" {
		return nil, invalidPart("query."+field, "%s", reason)
	}
	last, err := a.Journal.Last(ctx)
	if err != nil {
		return nil, err
	}
	f.position = last
	if in.LastEventID != "" {
		n, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil || n < 0 {
			return nil, invalidPart("header.Last-Event-ID", "not a position of the journal")
		}
		// The client's position is after the last entry if an older copy of the database was
		// restored.
		f.position = min(journal.Position(n), last)
	} else if callOf(ctx).request.URL.Query().Has("after") {
		f.position = min(journal.Position(in.After), last)
	}
	name := caller.String()
	if err := a.feeds.begin(name); err != nil {
		return nil, err
	}
	return &feedResponse{Body: func(hc huma.Context) {
		defer a.feeds.end(name)
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no") // nginx sends each event at once
		_, w := humago.Unwrap(hc)
		f.writer, f.control = w, http.NewResponseController(w)
		if err := f.send(ctx); err != nil {
			c := callOf(ctx)
			c.server.Failure(c.request, c.id, err) // logs err
			cutOff(w)
		}
	}}, nil
}

// feed sends entries to one client.
type feed struct {
	api    *API
	caller admin.Actor
	query  journal.Query

	own     namespaceTimes
	checked *policy.Policy // the policy by which the rights were checked

	position journal.Position // all selected entries up to this position were sent
	writer   http.ResponseWriter
	control  *http.ResponseController
}

// checkRights checks the caller's rights if the policy has changed.
func (f *feed) checkRights(ctx context.Context) (err error) {
	if current := f.api.Rulebook.Policy(); f.checked != current {
		f.own, err = f.api.readableNamespaces(ctx, f.caller)
		f.checked = current
	}
	return err
}

// send sends entries until the time of the feed is over, the service stops, the client is gone or
// the caller loses its rights. Only an error of the journal is returned.
func (f *feed) send(ctx context.Context) error {
	ctx, end := context.WithTimeout(ctx, feedTime)
	defer end()
	defer context.AfterFunc(f.api.Stopping, end)()
	if f.write([]byte(": the journal follows\n\n")) != nil {
		return nil
	}
	for e, err := range f.api.Journal.Follow(ctx, f.position) {
		if err != nil {
			return err
		}
		if f.checkRights(ctx) != nil {
			return nil // when the client connects again, it gets the reason
		}
		f.position = e.Position
		q := f.own.narrowQuery(f.query)
		if !q.Matches(&e) {
			continue
		}
		if err := f.writeEntry(f.own.visibleEntry(e)); err != nil {
			return nil
		}
	}
	_ = f.write(appendID(nil, f.position)) // an error means that the client is gone
	return nil
}

func (f *feed) writeEntry(e journal.Entry) error {
	encoded, err := json.Marshal(e) // the JSON has no line end
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("data: ")
	b.Write(encoded)
	b.WriteByte('\n')
	return f.write(appendID(b.Bytes(), e.Position))
}

// appendID appends the last line of an event, and the empty line that ends the event.
func appendID(b []byte, position journal.Position) []byte {
	b = append(b, "id: "...)
	return append(strconv.AppendInt(b, int64(position), 10), "\n\n"...)
}

// write sends bytes at once.
func (f *feed) write(b []byte) error {
	if err := f.control.SetWriteDeadline(clock.Now().Add(feedWrite)); err != nil {
		return err
	}
	if _, err := f.writer.Write(b); err != nil {
		return err
	}
	return f.control.Flush()
}
