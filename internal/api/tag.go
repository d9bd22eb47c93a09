package api

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// one is an object as it is answered, with what stands for its version.
type one[T any] struct {
	ETag string `header:"ETag" doc:"Stands for the version that is shown, for If-Match"`
	Body T
}

// tagged answers with an object.
func tagged[T any](id string, version int64, body T, err error) (*one[T], error) {
	if err != nil {
		return nil, err
	}
	return &one[T]{tag(id, version), body}, nil
}

// tag is an entity tag. The id is a part of it: a namesake that was added after the one that was seen is another.
func tag(id string, version int64) string { return `"` + id + "." + itoa(version) + `"` }

// Conditional is what changes take that are to be made only if nothing was changed since it was looked at.
type Conditional struct {
	IfMatch string `header:"If-Match" maxLength:"200" doc:"The ETag of what was seen: if it is another by now, nothing is changed, and the answer is 412. Without it, what there is is changed"`
}

// based returns the caller with the id of what a change is to be made of, and its version; 0: any. seen looks at what there is. What takes its place
// between this look and the change is another, also with the same version.
func (c Conditional) based(by Actor, seen func() (id string, version int64, err error)) (Actor, int64, error) {
	if c.IfMatch == "" {
		return by, 0, nil
	}
	id, version, err := seen()
	if err != nil {
		return by, 0, err
	}
	for tried := range strings.SplitSeq(c.IfMatch, ",") {
		if tried = strings.TrimSpace(tried); tried == "*" || tried == tag(id, version) {
			by.Seen = id
			return by, version, nil
		}
	}
	return by, 0, rulebook.ErrChanged
}
