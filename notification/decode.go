package notification

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of Decode. They limit the memory that Decode uses in relation to the length of the
// body. The caller must limit the length of the body.
//
// Names are never shortened, because a shortened name is a different name. So an event is bad if
// its repository or action is longer than MaxName. Any other name that is longer than MaxName is
// left empty. Only text for people is shortened; shortened text ends in "…".
const (
	MaxEvents     = 1000     // elements of an envelope; registries send exactly one
	MaxName       = 512      // bytes of a repository, action, id, digest, tag, media type, method
	MaxText       = 1024     // bytes of an actor, address, host, user agent, URL, instance
	MaxReferences = 256      // descriptors of an event; Event.Omitted counts the others
	maxReferences = 64 << 10 // bytes of all descriptors; 256 layers need half of this
	maxBadText    = 4 << 10  // bytes
)

// Decode parses an envelope of events. It returns all elements that are events, and all other
// elements with the reason why each of them is not an event. Both lists are in the order of the
// envelope. An event needs an action and a repository. Other fields are left empty if they are
// missing, null, or have another type. Unknown fields are ignored at any depth.
//
// The error is ErrNotEnvelope or nil.
func Decode(body []byte) (events []Event, bad []Bad, err error) {
	if !json.Valid(body) {
		return nil, nil, ErrNotEnvelope
	}
	var envelope []byte
	for key, value := range members(body) {
		if string(key) == "events" {
			envelope = value
		}
	}
	list, all, ok := elements(envelope, MaxEvents+1)
	if !ok {
		return nil, nil, ErrNotEnvelope
	}
	for i, element := range list {
		if i == MaxEvents {
			why := fmt.Sprintf("the envelope has %d events: this event and the later ones were not read", all)
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
	return Bad{Index: index, Reason: why, Text: append([]byte(nil), begin...)}
}

// decodeEvent parses one element. If the element is not an event, decodeEvent returns the reason.
func decodeEvent(element []byte) (event Event, reason string) {
	if element[0] != '{' {
		return Event{}, "it is not an object"
	}
	var target target
	for key, value := range members(element) {
		switch string(key) {
		case "id":
			event.ID = name(value)
		case "timestamp":
			event.Time = timestamp(value)
		case "action":
			event.Action = stringOf(value)
		case "target":
			target = decodeTarget(value)
		case "request":
			event.Request = decodeRequest(value)
		case "actor":
			event.Actor = decodeActor(value)
		case "source":
			event.Source = decodeSource(value)
		}
	}
	switch {
	case event.Action == "":
		return Event{}, "it has no action"
	case len(event.Action) > MaxName:
		return Event{}, fmt.Sprintf("its action is longer than %d bytes", MaxName)
	case target.repository == "":
		return Event{}, "it has no repository"
	case len(target.repository) > MaxName:
		return Event{}, fmt.Sprintf("its repository is longer than %d bytes", MaxName)
	}
	event.Repository, event.FromRepository = target.repository, target.fromRepository
	event.MediaType, event.Digest, event.Size = target.MediaType, target.Digest, target.Size
	event.Tag, event.URL = target.tag, target.url
	event.References, event.Omitted = references(target.references)
	return event, ""
}

// target is the object that an event is about.
type target struct {
	Descriptor
	repository, fromRepository, tag, url string
	references                           []byte
}

func decodeTarget(object []byte) (t target) {
	t.Descriptor = decodeDescriptor(object)
	for key, value := range members(object) {
		switch string(key) {
		case "repository":
			t.repository = stringOf(value)
		case "fromRepository":
			t.fromRepository = name(value)
		case "tag":
			t.tag = name(value)
		case "url":
			t.url = words(value)
		case "references":
			t.references = value
		}
	}
	return t
}

// decodeDescriptor reads the size from the key "size" or "length". Registry 2.8 sends both.
func decodeDescriptor(object []byte) (d Descriptor) {
	var length int64
	for key, value := range members(object) {
		switch string(key) {
		case "mediaType":
			d.MediaType = name(value)
		case "digest":
			d.Digest = name(value)
		case "size":
			d.Size = size(value)
		case "length":
			length = size(value)
		}
	}
	if d.Size == 0 {
		d.Size = length
	}
	return d
}

func decodeRequest(object []byte) (r Request) {
	for key, value := range members(object) {
		switch string(key) {
		case "id":
			r.ID = name(value)
		case "addr":
			r.Address = words(value)
		case "host":
			r.Host = words(value)
		case "method":
			r.Method = name(value)
		case "useragent":
			r.UserAgent = words(value)
		}
	}
	return r
}

func decodeSource(object []byte) (s Source) {
	for key, value := range members(object) {
		switch string(key) {
		case "addr":
			s.Address = words(value)
		case "instanceID":
			s.Instance = words(value)
		}
	}
	return s
}

func decodeActor(object []byte) (actor string) {
	for key, value := range members(object) {
		if string(key) == "name" {
			actor = words(value)
		}
	}
	return actor
}

// references parses the references of a manifest: at most MaxReferences, and together at most
// maxReferences bytes. It also returns the number of references beyond these limits.
func references(value []byte) (found []Descriptor, omitted int) {
	list, all, _ := elements(value, MaxReferences)
	size := 0
	for i, element := range list {
		d := decodeDescriptor(element)
		if size += len(d.MediaType) + len(d.Digest); size > maxReferences {
			return found, all - i
		}
		if d != (Descriptor{}) {
			found = append(found, d)
		}
	}
	return found, all - len(list)
}

// stringOf returns a JSON string, or "" for anything else.
func stringOf(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return ""
	}
	if quoted := value[1 : len(value)-1]; bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return string(quoted)
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// name returns a JSON string, or "" if it is longer than MaxName (see MaxName for the reason).
func name(value []byte) string {
	s := stringOf(value)
	if len(s) > MaxName {
		return ""
	}
	return s
}

// words returns text for people, shortened to MaxText bytes at a character boundary.
func words(value []byte) string { return text.Shorten(stringOf(value), MaxText) }

// size returns a number of bytes. It returns 0 for a negative number and for anything that is
// not a number.
func size(value []byte) int64 {
	if exact, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return max(exact, 0)
	}
	n, err := strconv.ParseFloat(string(value), 64) // 1e3
	if err == nil && n > 0 && n < 1<<63 && n == math.Trunc(n) {
		return int64(n)
	}
	return 0
}

// timestamp returns a time of RFC 3339 in UTC, or the zero time for anything else.
func timestamp(value []byte) time.Time {
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
