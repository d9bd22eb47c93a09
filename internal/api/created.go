package api

import (
	"net/url"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// Idempotent is part of the input of creations that can be repeated after a response was lost.
type Idempotent struct {
	Key string `header:"Idempotency-Key" maxLength:"200" doc:"A random text of the client's choice. If the response is lost, send the same request with the same key again within a day: the object is created only once. The second response has a new secret, and the lost secret is revoked. If the lost secret has been used, the status is 409"`
}

// actorWithKey returns the given caller with the request's idempotency key in the field Key.
func (i Idempotent) actorWithKey(caller admin.Actor) admin.Actor {
	caller.Key = i.Key
	return caller
}

// created is the response with a new object.
type created[T any] struct {
	Location string `header:"Location" doc:"The path of the object"`
	ETag     string `header:"ETag" doc:"The version of the object, for If-Match"`
	Body     T
}

// newCreated returns the response with a new object. The collection of the object is given as a
// path.
func newCreated[T object](collection string, body T, err error) (*created[T], error) {
	if err != nil {
		return nil, err
	}
	path, _, _ := body.version()
	return &created[T]{collection + "/" + url.PathEscape(path), etag(body), body}, nil
}
