package when

import (
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

// DependsOn implements ask.Partial. In CEL, the value of an expression can be unknown: false &&
// unknown is false, and true && unknown is unknown. If the value of the whole condition is
// unknown, CEL names the unknown inputs that caused this. DependsOn returns these inputs.
func (c *condition) DependsOn(r *policy.Request, u *ask.Unknown) []string {
	if r == nil {
		r = new(policy.Request)
	}
	if u == nil {
		u = new(ask.Unknown)
	}
	program, err := c.counted()
	if err != nil {
		return nil // the condition fails for all values of the unknown inputs
	}
	seen := &partialRequest{request: request{Request: r}, unknown: u}
	value, _, err := program.Eval(seen)
	var on []string
	if left, ok := value.(*types.Unknown); ok && err == nil {
		for _, id := range left.IDs() {
			on = append(on, seen.names[id-1])
		}
	}
	if seen.whole {
		on = append(on, varClaims)
	}
	slices.Sort(on)
	return slices.Compact(on)
}

// partialRequest is a partly unknown request. A value of this type is used for only one
// evaluation.
type partialRequest struct {
	request
	unknown *ask.Unknown

	// unknown inputs that were read; the id of a types.Unknown is 1 + its index in names
	names []string
	whole bool // all claims were read
}

// ResolveName is part of cel.Activation.
func (p *partialRequest) ResolveName(name string) (any, bool) {
	u := p.unknown
	if name == varIP && u.IP || name == varNow && u.Now || name == varClient && u.Client || name == varRegistry && u.Registry {
		return p.unknownInput(name), true
	}
	value, ok := p.request.ResolveName(name)
	if name == varClaims && u.Claims && p.claimsUnknown() {
		if claims, ok := claimsAdapter.NativeToValue(value).(traits.Mapper); ok {
			return &partialClaims{claims, p}, true
		}
	}
	return value, ok
}

// claimsAdapter converts claims to CEL values in the same way as the adapter that evaluates
// conditions for a known request.
var claimsAdapter = &adapter{types.DefaultTypeAdapter}

func (p *partialRequest) claimsUnknown() bool {
	return p.Principal != nil && p.Principal.Kind != policy.Anonymous
}

// unknownInput returns CEL's value for an unknown input. The value refers to the input's name.
func (p *partialRequest) unknownInput(name string) *types.Unknown {
	at := slices.Index(p.names, name)
	if at < 0 {
		at, p.names = len(p.names), append(p.names, name)
	}
	return types.NewUnknown(int64(at+1), types.NewAttributeTrail(name))
}

// partialClaims are the known claims of a principal that might have more claims. An operation that
// reads more than one claim at a time sets the field whole of partialRequest.
type partialClaims struct {
	traits.Mapper
	of *partialRequest
}

// Find is part of traits.Mapper.
func (c *partialClaims) Find(key ref.Val) (ref.Val, bool) {
	if value, found := c.Mapper.Find(key); found {
		return value, true
	}
	if name, ok := key.(types.String); ok && c.of.unknown.Claim(c.of.Principal, string(name)) {
		return c.of.unknownInput(varClaims + "." + string(name)), true
	}
	return c.Mapper.Find(key)
}

// Get is part of traits.Indexer.
func (c *partialClaims) Get(key ref.Val) ref.Val {
	if value, found := c.Find(key); found {
		return value
	}
	return c.Mapper.Get(key)
}

// Contains is part of traits.Container.
func (c *partialClaims) Contains(key ref.Val) ref.Val {
	if value, found := c.Find(key); found && types.IsUnknown(value) {
		return value
	}
	return c.Mapper.Contains(key)
}

// Iterator is part of traits.Iterable.
func (c *partialClaims) Iterator() traits.Iterator { return c.all().Iterator() }

// Size is part of traits.Sizer.
func (c *partialClaims) Size() ref.Val { return c.all().Size() }

// Equal is part of ref.Val.
func (c *partialClaims) Equal(other ref.Val) ref.Val { return c.all().Equal(other) }

// Value is part of ref.Val.
func (c *partialClaims) Value() any { return c.all().Value() }

func (c *partialClaims) all() traits.Mapper {
	c.of.whole = true
	return c.Mapper
}
