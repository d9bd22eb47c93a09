package api

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Known returns who would be judged: as a source knows him, with the groups and claims that are said of him beside. Somebody
// whom no source knows is judged by what is said of him, and known is false. find is identity.ErrUnknown for who is unknown. Who cannot
// sign in is a known one with an identity.DisabledError, see Barred.
func Known(ctx context.Context, said *policy.Principal, find func(ctx context.Context, login string) (*policy.Principal, error)) (who *policy.Principal, known bool, err error) {
	switch said.Kind {
	case policy.Anonymous:
		return said, true, nil
	case policy.Workload:
		return said, false, nil
	}
	found, err := find(ctx, identity.Login(said))
	if disabled, ok := errors.AsType[*identity.DisabledError](err); ok {
		return said, true, disabled
	}
	if errors.Is(err, identity.ErrUnknown) {
		return said, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	more := *found // a principal is shared, and never changed
	if len(said.Claims) > 0 {
		more.Claims = maps.Clone(found.Claims)
		if more.Claims == nil {
			more.Claims = make(map[string]any)
		}
		maps.Copy(more.Claims, said.Claims)
	}
	for _, g := range said.Groups {
		if !slices.Contains(more.Groups, g) {
			more.Groups = append(more.Groups[:len(more.Groups):len(more.Groups)], g)
		}
	}
	return &more, true, nil
}

// Note is what there is to say of somebody whom no source knows; "" of one who needs none.
func Note(who *policy.Principal, known bool) string {
	if known || who.Kind == policy.Workload {
		return ""
	}
	return "no identity source knows this name: only the name and the given groups were considered"
}

// Barred says why somebody gets no token, whatever the policy says: "" of who may get one. err is of Known, and returned unless it
// is that somebody cannot sign in.
func Barred(who *policy.Principal, anonymous bool, err error) (string, error) {
	if disabled, ok := errors.AsType[*identity.DisabledError](err); ok {
		return who.String() + " cannot sign in: " + disabled.Why, nil
	}
	if err == nil && who.Kind == policy.Anonymous && !anonymous {
		return NoteAnonymous, nil
	}
	return "", err
}

// NoteAnonymous is what there is to say of who shows nothing where that gets no token.
const NoteAnonymous = "whoever shows nothing gets no token, but is asked to sign in (token.anonymous is false)"
