package notification_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/notification"
)

// Decode does not use encoding/json. Its result must be equal to the result of referenceDecode,
// which uses encoding/json and maps of raw values.
func TestPropertyDecodeReadsWhatEncodingJSONReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithReference(t, drawEnvelope(t)) })
}

func FuzzDecodeReadsWhatEncodingJSONReads(f *testing.F) {
	for _, seed := range []string{
		`{"events":[{"id":"1","action":"push","target":{"repository":"a","size":1e3,"references":[{"digest":"d"},null,[]]}}]}`,
		`{"events":[{"\u0061ction":"pull","target":null,"target":{"repository":"a\u0000\ud800","length":-1,"size":"1"}}]}`,
		" {\"events\" : [ ] , \"events\":[{\"actor\":{\"name\":\"\xff\"}} , 1,{ } ] } ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) { compareWithReference(t, body) })
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func compareWithReference(t fataler, body []byte) {
	t.Helper()
	events, bad, err := notification.Decode(body)
	wantEvents, wantBad, wantErr := referenceDecode(body)
	if !errors.Is(err, wantErr) || !errors.Is(wantErr, err) {
		t.Fatalf("%q: %v, want %v", body, err, wantErr)
	}
	if diff := cmp.Diff(wantEvents, events); diff != "" {
		t.Fatalf("%q: (-want +got)\n%s", body, diff)
	}
	if diff := cmp.Diff(wantBad, bad); diff != "" {
		t.Fatalf("%q: bad (-want +got)\n%s", body, diff)
	}
}

// drawEnvelope returns JSON with the keys that events have, and values of all types.
func drawEnvelope(t *rapid.T) []byte {
	keys := rapid.SampledFrom([]string{
		"id", "timestamp", "action", "target", "request", "actor", "source", "repository", "fromRepository", "mediaType",
		"digest", "size", "length", "tag", "url", "references", "addr", "host", "method", "useragent", "instanceID",
		"name", "\\u006eame", "ACTION", "a\\\"b",
	})
	scalars := rapid.SampledFrom([]string{
		`"push"`, `"team/app"`, `"2026-11-01T10:00:00.5+02:00"`, `"0000-01-01T00:00:00+23:00"`, `""`, `"\u00e9\n"`, `"\\\""`, `"\ud800"`,
		"\"\xff\"", `"}],{["`, "null", "true", "0", "-3", "17", "1.5", "2e3", "1e400", "9223372036854775808", "[]", "{}", " [ 1 , { } ] ",
	})
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	var value func(depth int) string
	object := func(depth int) string {
		s := "{"
		for i := range rapid.IntRange(0, 9).Draw(t, "members") {
			if i > 0 {
				s += "," + space.Draw(t, "space")
			}
			s += space.Draw(t, "space") + `"` + keys.Draw(t, "key") + `"` + space.Draw(t, "space") + ":" + space.Draw(t, "space") + value(depth-1)
		}
		return s + space.Draw(t, "space") + "}"
	}
	list := func(depth int) string {
		s := "["
		for i := range rapid.IntRange(0, 4).Draw(t, "elements") {
			if i > 0 {
				s += ","
			}
			s += space.Draw(t, "space") + value(depth-1) + space.Draw(t, "space")
		}
		return s + "]"
	}
	value = func(depth int) string {
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case depth > 0 && kind >= 3:
			return object(depth)
		case depth > 0 && kind == 2:
			return list(depth)
		}
		return scalars.Draw(t, "value")
	}
	body := `{"events":` + list(4) + "}"
	if rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
		body = body[:rapid.IntRange(0, len(body)).Draw(t, "end")]
	}
	return []byte(body)
}

// referenceDecode is Decode, written only with encoding/json.
func referenceDecode(body []byte) (events []notification.Event, bad []notification.Bad, err error) {
	var envelope map[string]json.RawMessage
	if json.Unmarshal(body, &envelope) != nil {
		return nil, nil, notification.ErrNotEnvelope
	}
	list, all, ok := elements(envelope["events"], notification.MaxEvents+1)
	if !ok {
		return nil, nil, notification.ErrNotEnvelope
	}
	for i, element := range list {
		event, why := decodeEvent(element)
		if i == notification.MaxEvents {
			why = fmt.Sprintf("the envelope has %d events: this event and the later ones were not read", all)
		}
		if why != "" {
			bad = append(bad, notification.Bad{Index: i, Reason: why, Text: element[:min(len(element), 4<<10)]})
			continue
		}
		events = append(events, event)
	}
	return events, bad, nil
}

// decodeEvent parses one element. If the element is not an event, decodeEvent returns the reason.
func decodeEvent(element []byte) (event notification.Event, reason string) {
	fields := object(element)
	if fields == nil {
		return notification.Event{}, "it is not an object"
	}
	target := object(fields["target"])
	request := object(fields["request"])
	source := object(fields["source"])

	action := stringOf(fields["action"])
	repository := stringOf(target["repository"])
	switch {
	case action == "":
		return notification.Event{}, "it has no action"
	case len(action) > notification.MaxName:
		return notification.Event{}, fmt.Sprintf("its action is longer than %d bytes", notification.MaxName)
	case repository == "":
		return notification.Event{}, "it has no repository"
	case len(repository) > notification.MaxName:
		return notification.Event{}, fmt.Sprintf("its repository is longer than %d bytes", notification.MaxName)
	}

	refs, omitted := references(target["references"])
	return notification.Event{
		ID:             name(fields["id"]),
		Time:           timestamp(fields["timestamp"]),
		Action:         action,
		Repository:     repository,
		FromRepository: name(target["fromRepository"]),
		MediaType:      name(target["mediaType"]),
		Digest:         name(target["digest"]),
		Size:           size(target),
		Tag:            name(target["tag"]),
		URL:            words(target["url"]),
		References:     refs,
		Omitted:        omitted,
		Actor:          words(object(fields["actor"])["name"]),
		Request: notification.Request{
			ID:        name(request["id"]),
			Address:   words(request["addr"]),
			Host:      words(request["host"]),
			Method:    name(request["method"]),
			UserAgent: words(request["useragent"]),
		},
		Source: notification.Source{
			Address:  words(source["addr"]),
			Instance: words(source["instanceID"]),
		},
	}, ""
}

// references parses the references of a manifest, with the same limits as Decode. It also
// returns the number of references beyond these limits.
func references(value json.RawMessage) (found []notification.Descriptor, omitted int) {
	list, all, _ := elements(value, notification.MaxReferences)
	bytes := 0
	for i, element := range list {
		fields := object(element)
		d := notification.Descriptor{
			MediaType: name(fields["mediaType"]),
			Digest:    name(fields["digest"]),
			Size:      size(fields),
		}
		if bytes += len(d.MediaType) + len(d.Digest); bytes > 64<<10 {
			return found, all - i
		}
		if d != (notification.Descriptor{}) {
			found = append(found, d)
		}
	}
	return found, all - len(list)
}

func elements(value json.RawMessage, most int) (list []json.RawMessage, all int, ok bool) {
	if json.Unmarshal(value, &list) != nil || list == nil {
		return nil, 0, false
	}
	return list[:min(len(list), most)], len(list), true
}

// object returns the fields of a JSON object, or nil for anything else.
func object(value json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if value == nil || json.Unmarshal(value, &fields) != nil {
		return nil
	}
	return fields
}

// stringOf returns a JSON string, or "" for anything else.
func stringOf(value json.RawMessage) string {
	var s string
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// name returns a JSON string, or "" if it is longer than notification.MaxName.
func name(value json.RawMessage) string {
	s := stringOf(value)
	if len(s) > notification.MaxName {
		return ""
	}
	return s
}

// words returns text for people, shortened to notification.MaxText bytes at a character boundary.
func words(value json.RawMessage) string { return text.Shorten(stringOf(value), notification.MaxText) }

// size returns the value of "size" or "length", in bytes. A negative value becomes 0.
func size(descriptor map[string]json.RawMessage) int64 {
	for _, key := range [...]string{"size", "length"} {
		value := descriptor[key]
		if value == nil {
			continue
		}
		var exact int64
		if json.Unmarshal(value, &exact) == nil {
			if exact > 0 {
				return exact
			}
			continue
		}
		var n float64 // 1e3
		if json.Unmarshal(value, &n) == nil && n > 0 && n < 1<<63 && n == math.Trunc(n) {
			return int64(n)
		}
	}
	return 0
}

// timestamp returns a time of RFC 3339 in UTC, or the zero time for anything else.
func timestamp(value json.RawMessage) time.Time {
	t, err := time.Parse(time.RFC3339Nano, stringOf(value))
	if err != nil {
		return time.Time{}
	}
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 { // in UTC, the time can be out of the range of RFC 3339
		return time.Time{}
	}
	return t
}
