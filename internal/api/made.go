package api

import "net/url"

// Repeatable is what creations take that may be tried again after an answer was lost.
type Repeatable struct {
	Key string `header:"Idempotency-Key" maxLength:"200" doc:"Chosen by the client, random: whoever gets no answer sends the same request with the same key again, within a day, and what it makes is made once. A secret is then another one than that of the lost answer; if that was used, the answer is 409"`
}

// by is the caller with the key.
func (r Repeatable) by(by Actor) Actor {
	by.Key = r.Key
	return by
}

// made is an object that was created, as it is answered.
type made[T any] struct {
	Location string `header:"Location" doc:"Where it is"`
	ETag     string `header:"ETag" doc:"Stands for the version that is shown, for If-Match"`
	Body     T
}

// created answers with a new object.
func created[T any](path, id string, version int64, body T, err error) (*made[T], error) {
	if err != nil {
		return nil, err
	}
	return &made[T]{Prefix + path, tag(id, version), body}, nil
}

// segment is a name as one part of a path.
func segment(name string) string { return url.PathEscape(name) }
