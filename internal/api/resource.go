package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// resource is a kind of object with routes to get, create, change and delete objects. K is the
// type of the key in paths, S is the type in the package that manages the objects, and T is the
// type in responses.
type resource[K, S any, T object] struct {
	*API
	tag      *huma.Tag
	get      func(context.Context, admin.Actor, K) (S, error)
	response func(*S) T
}

// object is the response for one object.
type object interface {
	// version returns the last part of the object's path, its id, and its version. The id is
	// never reused.
	version() (path, id string, version int64)
}

// keyed is an input with the key of an object in the path.
type keyed[K any] interface{ key() K }

// target is an input that selects an object to change or delete.
type target[K any] interface {
	keyed[K]
	expected() string // If-Match
}

// show adds a route that returns an object.
func show[I keyed[K], K, S any, T object](r resource[K, S, T], op huma.Operation) {
	route(r.API, r.tag, op, func(ctx context.Context, caller admin.Actor, in *I) (*response[T], error) {
		s, err := r.get(ctx, caller, (*in).key())
		return respond(r.response(&s), err)
	})
}

// create adds a route that creates an object. The path of the route is the path of the collection.
func create[I, K, S any, T object](r resource[K, S, T], op huma.Operation, do func(context.Context, admin.Actor, *I) (T, error)) {
	op.DefaultStatus = http.StatusCreated
	route(r.API, r.tag, op, func(ctx context.Context, caller admin.Actor, in *I) (*created[T], error) {
		t, err := do(ctx, caller, in)
		return newCreated(callOf(ctx).request.URL.EscapedPath(), t, err)
	})
}

// change adds a route that changes an object. The change fails if the object does not have the
// version that the request expects.
func change[I target[K], K, S any, T object](r resource[K, S, T], op huma.Operation, do func(ctx context.Context, caller admin.Actor, in *I, version int64) (S, error)) {
	route(r.API, r.tag, op, func(ctx context.Context, caller admin.Actor, in *I) (*response[T], error) {
		caller, version, err := ifMatch(ctx, r, caller, *in)
		if err != nil {
			return nil, err
		}
		s, err := do(ctx, caller, in, version)
		return respond(r.response(&s), err)
	})
}

// remove adds a route that deletes an object. The deletion fails if the object does not have
// the version that the request expects.
func remove[I target[K], K, S any, T object](r resource[K, S, T], op huma.Operation, do func(ctx context.Context, caller admin.Actor, key K, version int64) error) {
	op.DefaultStatus = http.StatusNoContent
	route(r.API, r.tag, op, func(ctx context.Context, caller admin.Actor, in *I) (*struct{}, error) {
		caller, version, err := ifMatch(ctx, r, caller, *in)
		if err != nil {
			return nil, err
		}
		return nil, do(ctx, caller, (*in).key(), version)
	})
}
