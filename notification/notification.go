// Package notification reads the events that registries report.
//
// Registries post envelopes of events: push, pull, mount, delete. [Decode] accepts all forms that
// distribution 2.8, 3.0 and 3.1 send. Decode is lenient, because a registry repeats a
// notification until the notification is acknowledged. Until then, the registry sends no later
// events.
package notification

import (
	"errors"
	"time"
)

// ErrNotEnvelope means that a body is not a JSON object with a list "events".
var ErrNotEnvelope = errors.New("not an envelope of events")

// The actions of an event. Registries send only these actions. Decode returns any other action
// unchanged.
const (
	Push   = "push"
	Pull   = "pull"
	Mount  = "mount"
	Delete = "delete"
)

// Event is an event of a registry. Fields that the registry did not send are empty.
type Event struct {
	// ID is unique within a registry. A repeated event has the same ID and Time.
	ID             string       `json:"id"`
	Time           time.Time    `json:"time"`
	Action         string       `json:"action"`
	Repository     string       `json:"repository"`
	FromRepository string       `json:"from_repository,omitempty"` // the source of a mount
	MediaType      string       `json:"media_type,omitempty"`
	Digest         string       `json:"digest,omitempty"` // empty when a tag was deleted
	Size           int64        `json:"size,omitempty"`   // bytes
	Tag            string       `json:"tag,omitempty"`    // only if addressed by tag
	URL            string       `json:"url,omitempty"`
	References     []Descriptor `json:"references,omitempty"`
	// Omitted is the number of references that were left out, because the event had more than
	// MaxReferences or more than 64 KiB of references.
	Omitted int `json:"omitted_references,omitempty"`
	// Actor is the subject of the token, or "" for an anonymous client.
	Actor   string  `json:"actor,omitempty"`
	Request Request `json:"request,omitzero"`
	Source  Source  `json:"source,omitzero"`
}

// Descriptor is an object that a manifest refers to.
type Descriptor struct {
	MediaType string `json:"media_type,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes
}

// Request is the client's request that caused an event, as received by the registry. If the
// registry is not behind a proxy, clients can forge Address by headers, so Address is only a hint.
type Request struct {
	ID        string `json:"id,omitempty"`
	Address   string `json:"address,omitempty"`
	Host      string `json:"host,omitempty"`
	Method    string `json:"method,omitempty"` // HEAD: only a check of existence
	UserAgent string `json:"user_agent,omitempty"`
}

// Source is the registry process that sent an event.
type Source struct {
	Address  string `json:"address,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Bad is an element of an envelope that is not an event. It does not affect the other elements.
type Bad struct {
	Index  int    `json:"index"`  // index in the envelope, from 0
	Reason string `json:"reason"` // a sentence
	Text   []byte `json:"text"`   // the original element, at most 4 KiB of it
}
