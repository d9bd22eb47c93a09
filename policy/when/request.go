package when

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/policy"
)

// The variables of conditions.
const (
	varIP       = "request.ip"
	varNow      = "now"
	varUser     = "user"
	varGroups   = "groups"
	varClaims   = "claims"
	varClient   = "client"
	varRegistry = "registry"
)

// variables declares the variables.
func variables() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable(varIP, ext.IPType),
		cel.Variable(varNow, cel.TimestampType),
		cel.Variable(varUser, cel.StringType),
		cel.Variable(varGroups, cel.ListType(cel.StringType)),
		cel.Variable(varClaims, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(varClient, cel.StringType),
		cel.Variable(varRegistry, cel.StringType),
	}
}

// Errors for unknown values. An unknown value must not become a zero value. For example, a deny
// rule that begins at a certain time would not apply at the zero time.
const (
	errNoAddress  = "the client's address is not known"
	errNoTime     = "the time of the request is not known"
	errNoRegistry = "the registry is not known"
)

// request gives CEL access to a policy.Request. It converts only the fields that the condition
// reads.
type request struct {
	*policy.Request
	list groupList // the value of the variable groups; a field, to save an allocation
}

var requests = sync.Pool{New: func() any { return new(request) }}

// Parent is part of cel.Activation.
func (r *request) Parent() cel.Activation { return nil }

// ResolveName is part of cel.Activation.
func (r *request) ResolveName(name string) (any, bool) {
	switch name {
	case varClaims:
		return r.claims(), true
	case varGroups:
		r.list.Lister = types.NewStringList(types.DefaultTypeAdapter, r.groups())
		return &r.list, true
	case varUser:
		return types.String(r.user()), true
	case varIP:
		if !r.IP.IsValid() {
			return types.NewErr(errNoAddress), true
		}
		return ext.IP{Addr: r.IP.Unmap().WithZone("")}, true
	case varNow:
		if r.Now.IsZero() {
			return types.NewErr(errNoTime), true
		}
		return types.Timestamp{Time: r.Now.UTC()}, true
	case varClient:
		return types.String(r.Client), true
	case varRegistry:
		if r.Registry == "" {
			return types.NewErr(errNoRegistry), true
		}
		return types.String(r.Registry), true
	}
	return nil, false
}

// claims returns the principal's claims. Anonymous principals have none.
func (r *request) claims() map[string]any {
	if r.Principal == nil || r.Principal.Kind == policy.Anonymous {
		return nil
	}
	return r.Principal.Claims
}

// groups returns the principal's groups. Anonymous principals have none.
func (r *request) groups() []string {
	if r.Principal == nil || r.Principal.Kind == policy.Anonymous {
		return nil
	}
	return r.Principal.CanonicalGroups()
}

// groupList is the list of the principal's groups in canonical spelling.
type groupList struct{ traits.Lister }

// canonicalValue converts the distinguished names in a value to canonical spelling. The value
// is a name or a list of names. It also reports whether the returned value differs from the
// given value.
func canonicalValue(value ref.Val) (_ ref.Val, changed bool) {
	switch value := value.(type) {
	case types.String:
		if c := dn.Canonical(string(value)); c != string(value) {
			return types.String(c), true
		}
	case traits.Lister:
		var items []ref.Val // nil until an item changes
		at := 0
		for it := value.Iterator(); it.HasNext() == types.True; at++ {
			item, changed := it.Next(), false
			if text, ok := item.(types.String); ok {
				item, changed = canonicalValue(text)
			}
			if changed && items == nil {
				items = firstOf(value, at)
			}
			if items != nil {
				items = append(items, item)
			}
		}
		if items != nil {
			return types.NewRefValList(claimsAdapter, items), true
		}
	}
	return value, false
}

// firstOf returns the first n items of a list.
func firstOf(list traits.Lister, n int) []ref.Val {
	items := make([]ref.Val, 0, n+1)
	for it := list.Iterator(); len(items) < n; {
		items = append(items, it.Next())
	}
	return items
}

// user returns the principal's name if the principal is a user. For robots and workloads, it
// returns "". The placeholder ${user} has no value for them, either. Otherwise anybody who is
// allowed to create a robot could give it the name of a user, and so get that user's rights.
func (r *request) user() string {
	if r.Principal == nil || r.Principal.Kind != policy.User {
		return ""
	}
	return r.Principal.Name
}
