package api

import (
	"context"
	"strconv"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// response is the response with one object.
type response[T any] struct {
	ETag string `header:"ETag" doc:"The version of the object, for If-Match"`
	Body T
}

func respond[T object](body T, err error) (*response[T], error) {
	if err != nil {
		return nil, err
	}
	return &response[T]{etag(body), body}, nil
}

// etag returns the entity tag of an object. It contains the id, because another object that is
// created later under the same name can have the same version.
func etag(o object) string {
	_, id, version := o.version()
	return `"` + id + "." + strconv.FormatInt(version, 10) + `"`
}

// Conditional is part of the input of changes that can be conditional.
type Conditional struct {
	IfMatch string `header:"If-Match" maxLength:"200" doc:"The ETag of the version that the caller has read. If the object has changed since, nothing is changed and the status is 412. Without If-Match, the request changes any version"`
}

func (c Conditional) expected() string { return c.IfMatch }

// ifMatch returns the id and the version that the header If-Match expects. The id is in the field
// Seen of the returned caller. The version 0 means any version. The transaction of the change
// compares the id and the version again.
func ifMatch[K, S any, T object](ctx context.Context, r resource[K, S, T], caller admin.Actor, in target[K]) (admin.Actor, int64, error) {
	if in.expected() == "" {
		return caller, 0, nil
	}
	s, err := r.get(ctx, caller, in.key())
	if err != nil {
		return caller, 0, err
	}
	current := r.response(&s)
	for tag := range strings.SplitSeq(in.expected(), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(current) {
			_, id, version := current.version()
			caller.Seen = id
			return caller, version, nil
		}
	}
	return caller, 0, admin.ErrChanged
}
