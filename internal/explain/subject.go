package explain

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Subject is the principal that a query is about.
type Subject struct {
	Principal *policy.Principal
	Known     bool   // an identity source knows the name
	Blocked   string // why no token is issued, independent of the policy; "": not blocked
}

// AnonymousBlocked is the reason why anonymous clients are blocked.
const AnonymousBlocked = "anonymous clients get no token and have to sign in (token.anonymous is false)"

// ResolvePrincipal looks up a principal by its kind and name. The given groups and claims are
// added to those that the identity source knows. Unknown users and robots, and all workloads, have
// only the given groups and claims. If allowAnonymous is false, anonymous clients get no token.
// The function find returns identity.ErrUnknown for an unknown login. If a principal cannot sign
// in, find returns an identity.DisabledError, and the principal is blocked.
func ResolvePrincipal(ctx context.Context, given *policy.Principal, allowAnonymous bool, find func(ctx context.Context, login string) (*policy.Principal, error)) (Subject, error) {
	switch {
	case given.Kind == policy.Anonymous && allowAnonymous:
		return Subject{given, true, ""}, nil
	case given.Kind == policy.Anonymous:
		return Subject{given, true, AnonymousBlocked}, nil
	case given.Kind == policy.Workload:
		return Subject{given, false, ""}, nil
	}
	found, err := find(ctx, username.Login(given))
	if disabled, ok := errors.AsType[*identity.DisabledError](err); ok {
		return Subject{given, true, given.String() + " cannot sign in: " + disabled.Why}, nil
	}
	if errors.Is(err, identity.ErrUnknown) {
		return Subject{given, false, ""}, nil
	}
	if err != nil {
		return Subject{}, err
	}
	merged := *found // principals are shared and must not be changed
	if len(given.Claims) > 0 {
		merged.Claims = make(map[string]any)
		maps.Copy(merged.Claims, found.Claims)
		maps.Copy(merged.Claims, given.Claims)
	}
	merged.Groups = slices.Clone(found.Groups)
	for _, g := range given.Groups {
		if !slices.Contains(merged.Groups, g) {
			merged.Groups = append(merged.Groups, g)
		}
	}
	return Subject{&merged, true, ""}, nil
}

// Note returns a remark about the subject for readers of an answer, such as why the subject is
// blocked. It returns "" if there is no remark.
func (s *Subject) Note() string {
	if s.Blocked == "" && !s.Known && s.Principal != nil && s.Principal.Kind != policy.Workload {
		return "no identity source knows this name: only the name and the given groups were considered"
	}
	return s.Blocked
}
