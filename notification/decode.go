package notification

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of Decode. They limit the memory for a body of a given length. The caller must limit the
// length of the body.
//
// A shortened name would be a different name. So a repository or action longer than MaxName makes
// an event bad, and any other name longer than that is left empty. Only text for people is
// shortened, and then ends in "…".
const (
	MaxEvents     = 1000    // elements of an envelope; registries send exactly one
	MaxName       = 512     // bytes of a repository, action, id, digest, tag, media type, method
	MaxText       = 1024    // bytes of an actor, address, host, user agent, URL, instance
	MaxReferences = 256     // descriptors of an event; Event.Omitted counts the others
	maxBadText    = 4 << 10 // bytes
)

// Decode parses an envelope of events. It returns the elements that are not events in bad, with
// the reason, and all others in events, both in the order of the envelope. An event needs an
// action and a repository. Other fields are left empty if they are missing, null, or have
// another type. Unknown fields are ignored at any depth.
//
// The error is ErrNotEnvelope or nil.
func Decode(body []byte) (events []Event, bad []Bad, err error) {
	var envelope map[string]json.RawMessage
	if json.Unmarshal(body, &envelope) != nil {
		return nil, nil, ErrNotEnvelope
	}
	list, all, ok := elements(envelope["events"], MaxEvents+1)
	if !ok {
		return nil, nil, ErrNotEnvelope
	}
	for i, element := range list {
		if i == MaxEvents {
			why := fmt.Sprintf("the envelope has %d events: this one and the following were not read", all)
			bad = append(bad, newBad(i, why, element))
			break
		}
		event, why := decodeEvent(element)
		if why != "" {
			bad = append(bad, newBad(i, why, element))
			continue
		}
		events = append(events, event)
	}
	return events, bad, nil
}

func newBad(index int, why string, element []byte) Bad {
	begin := element[:min(len(element), maxBadText)]
	return Bad{Index: index, Why: why, Text: append([]byte(nil), begin...)}
}

// decodeEvent parses one element. If it is not an event, why explains it.
func decodeEvent(element []byte) (event Event, why string) {
	fields := object(element)
	if fields == nil {
		return Event{}, "it is not an object"
	}
	target := object(fields["target"])
	request := object(fields["request"])
	source := object(fields["source"])

	action := stringOf(fields["action"])
	repository := stringOf(target["repository"])
	switch {
	case action == "":
		return Event{}, "it has no action"
	case len(action) > MaxName:
		return Event{}, fmt.Sprintf("its action is longer than %d bytes", MaxName)
	case repository == "":
		return Event{}, "it has no repository"
	case len(repository) > MaxName:
		return Event{}, fmt.Sprintf("its repository is longer than %d bytes", MaxName)
	}

	refs, omitted := references(target["references"])
	return Event{
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
		Request: Request{
			ID:        name(request["id"]),
			Address:   words(request["addr"]),
			Host:      words(request["host"]),
			Method:    name(request["method"]),
			UserAgent: words(request["useragent"]),
		},
		Source: Source{
			Address:  words(source["addr"]),
			Instance: words(source["instanceID"]),
		},
	}, ""
}

// references parses the references of a manifest, and counts those beyond MaxReferences.
func references(value json.RawMessage) (found []Descriptor, omitted int) {
	list, all, _ := elements(value, MaxReferences)
	for _, element := range list {
		fields := object(element)
		d := Descriptor{
			MediaType: name(fields["mediaType"]),
			Digest:    name(fields["digest"]),
			Size:      size(fields),
		}
		if d != (Descriptor{}) {
			found = append(found, d)
		}
	}
	return found, all - len(list)
}

// elements returns the first elements of a JSON list, at most that many, and the number of all
// elements. Only the returned ones use memory. Ok is false if value is not a list. The value is
// part of valid JSON, so quotes and brackets are enough to find the end of an element.
func elements(value json.RawMessage, most int) (list []json.RawMessage, all int, ok bool) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || value[0] != '[' {
		return nil, 0, false
	}
	begin, depth, quoted := 1, 0, false
	for i := 1; i < len(value); i++ {
		c := value[i]
		switch {
		case quoted:
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case depth > 0:
			if c == '}' || c == ']' {
				depth--
			}
		case c == ',' || c == ']':
			// Only [] has an empty element.
			if element := bytes.TrimSpace(value[begin:i]); len(element) > 0 {
				if all++; all <= most {
					list = append(list, element)
				}
			}
			begin = i + 1
		}
	}
	return list, all, true
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

// name returns a string that must not be shortened; "" if it is too long.
func name(value json.RawMessage) string {
	s := stringOf(value)
	if len(s) > MaxName {
		return ""
	}
	return s
}

// words returns text for people, shortened to MaxText bytes at a character boundary.
func words(value json.RawMessage) string { return text.Shorten(stringOf(value), MaxText) }

// size returns "size", or "length", which 2.8 also sends: bytes, never negative.
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
	if t.Year() < 1 || t.Year() > 9999 { // the offset can move it out of the range of RFC 3339
		return time.Time{}
	}
	return t
}
