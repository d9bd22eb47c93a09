// Package notification answers: what does a registry report?
//
// Registries post envelopes of events: push, pull, mount, delete. [Decode] reads every shape that
// distribution 2.8, 3.0 and 3.1 send, leniently, because a registry repeats whatever is not
// acknowledged forever and holds all later events behind it.
package notification

import (
	"errors"
	"time"
)

// ErrNotEnvelope means that a body is no JSON object with a list "events".
var ErrNotEnvelope = errors.New("not an envelope of events")

// The actions of an event. Registries send only these; Decode keeps others as they come.
const (
	Push   = "push"
	Pull   = "pull"
	Mount  = "mount"
	Delete = "delete"
)

// Event is one thing that happened in a registry. Fields that a registry left out are empty.
type Event struct {
	// Unique within a registry; the key for leaving out repeats.
	ID             string       `json:"id"`
	Time           time.Time    `json:"time"`
	Action         string       `json:"action"`
	Repository     string       `json:"repository"`
	FromRepository string       `json:"from_repository,omitempty"` // of a mount
	MediaType      string       `json:"media_type,omitempty"`
	Digest         string       `json:"digest,omitempty"` // empty when a tag was deleted
	Size           int64        `json:"size,omitempty"`   // bytes
	Tag            string       `json:"tag,omitempty"`    // only if addressed by tag
	URL            string       `json:"url,omitempty"`
	References     []Descriptor `json:"references,omitempty"`
	// References beyond MaxReferences.
	Omitted int `json:"omitted_references,omitempty"`
	// The subject of the token; empty when anonymous.
	Actor   string  `json:"actor,omitempty"`
	Request Request `json:"request,omitzero"`
	Source  Source  `json:"source,omitzero"`
}

// Descriptor is what a manifest refers to.
type Descriptor struct {
	MediaType string `json:"media_type,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes
}

// Request is the client's request that caused an event, as the registry saw it. Address comes from
// headers that anybody may send, if the registry stands behind no proxy: it is a hint.
type Request struct {
	ID        string `json:"id,omitempty"`
	Address   string `json:"address,omitempty"`
	Host      string `json:"host,omitempty"`
	Method    string `json:"method,omitempty"` // HEAD: existence was checked, nothing was pulled
	UserAgent string `json:"user_agent,omitempty"`
}

// Source is the registry's process that sent an event.
type Source struct {
	Address  string `json:"address,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Bad is an element of an envelope that is no event. It never hides the others.
type Bad struct {
	Index int    `json:"index"` // in the envelope, from 0
	Why   string `json:"why"`   // a sentence
	Text  []byte `json:"text"`  // the element as it came, at most 4 KiB of it
}
