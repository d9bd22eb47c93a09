package when

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// In CEL, values of different types can be compared and are not equal: claims.attempt == 2 is
// false if the claim is the text "2". A deny rule with that condition would never match, and
// nobody would notice. An allow rule with claims.attempt != 2 would match. Compile rejects such
// comparisons if it knows both types. But the type of a claim is not known before a request. So
// this package replaces the operators ==, != and in. The replacements return an error if the types
// differ, like the operator < of CEL.

// Kinds is a set of types of values. All numbers are one type.
type Kinds uint16

// The types of claims are the types of JSON.
const (
	Text Kinds = 1 << iota
	Number
	Bool
	Null
	List
	Object

	otherKinds // types that claims cannot have: addresses, times
)

// anyClaim is the set of all types of claims.
const anyClaim = Text | Number | Bool | Null | List | Object

// String returns the names of the types: "a text or a number".
func (k Kinds) String() string {
	var names []string
	for i, name := range []string{"a text", "a number", "true or false", "null", "a list", "an object"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "something else"
	}
	return text.List(names, "or")
}

// kindOf returns the type of a value. The result otherKinds stands for several types, so the
// caller must compare the names of the types, too.
func kindOf(v ref.Val) Kinds {
	switch v.(type) {
	case types.String:
		return Text
	case types.Int, types.Uint, types.Double:
		return Number
	case types.Bool:
		return Bool
	case types.Null:
		return Null
	case traits.Lister:
		return List
	case traits.Mapper:
		return Object
	}
	return otherKinds
}

// errTypes is the prefix of the error for a comparison of different types.
const errTypes = "different types: "

func differentTypes(id int64, a, b ref.Val) ref.Val {
	return types.NewErrWithNodeID(id, "%s%s and %s", errTypes, typeNamed(a.Type().TypeName()), typeNamed(b.Type().TypeName()))
}

// equalValues reports whether two values are equal. Two lists or maps are different if one of
// their parts is different. If no part is different, but some part cannot be compared, the result
// is an error.
func equalValues(id int64, a, b ref.Val) ref.Val {
	for _, v := range [...]ref.Val{a, b} {
		if types.IsUnknownOrError(v) {
			return v
		}
	}
	kind := kindOf(a)
	if kind != kindOf(b) || kind == otherKinds && a.Type().TypeName() != b.Type().TypeName() {
		return differentTypes(id, a, b)
	}
	switch a := a.(type) {
	case types.String, types.Bool, types.Null:
		return types.Bool(a == b)
	case types.Int:
		if d, ok := b.(types.Double); ok {
			return types.Bool(sameNumber(a, d))
		}
	case types.Double:
		if i, ok := b.(types.Int); ok {
			return types.Bool(sameNumber(i, a))
		}
	case *types.Optional:
		other, ok := b.(*types.Optional)
		if !ok {
			return differentTypes(id, a, b)
		}
		if !a.HasValue() || !other.HasValue() {
			return types.Bool(a.HasValue() == other.HasValue())
		}
		return equalValues(id, a.GetValue(), other.GetValue())
	case traits.Mapper:
		return equalMaps(id, a, b.(traits.Mapper))
	case traits.Lister:
		return equalLists(id, a, b.(traits.Lister))
	}
	return a.Equal(b)
}

// sameNumber compares an integer with a float exactly. Converting the integer to a float would
// round it.
func sameNumber(i types.Int, d types.Double) bool {
	return d >= -(1<<63) && d < 1<<63 && types.Double(int64(d)) == d && int64(d) == int64(i)
}

func equalLists(id int64, a, b traits.Lister) ref.Val {
	j := b.Iterator()
	return equalParts(id, a, b, func(item ref.Val) (_, _ ref.Val, found bool) { return item, j.Next(), true })
}

func equalMaps(id int64, a, b traits.Mapper) ref.Val {
	return equalParts(id, a, b, func(key ref.Val) (_, _ ref.Val, found bool) {
		other, found := b.Find(key)
		return a.Get(key), other, found
	})
}

// equalParts compares two lists or maps part by part. The function pair gets an item of a list or
// a key of a map, and returns the two values to compare.
func equalParts(id int64, a, b traits.Sizer, pair func(ref.Val) (_, _ ref.Val, found bool)) ref.Val {
	if a.Size() != b.Size() {
		return types.False
	}
	var result ref.Val = types.True
	for it := a.(traits.Iterable).Iterator(); it.HasNext() == types.True; {
		part, other, found := pair(it.Next())
		if !found {
			return types.False
		}
		switch same := equalValues(id, part, other); {
		case same == types.False:
			return types.False
		case same != types.True:
			result = same
		}
	}
	return result
}

// contains reports whether a list has the value, or a map has the key. If no item equals the
// value, but an item cannot be compared with the value, the result is an error.
func contains(id int64, value, all ref.Val) ref.Val {
	switch all := all.(type) {
	case traits.Mapper:
		if item, found := all.Find(value); found {
			if types.IsUnknown(item) {
				return item // it is unknown whether the map has the key
			}
			return types.True
		}
		if known, ok := all.(*partialClaims); ok {
			all = known.Mapper
		}
		// one key is enough: usually, all keys have the same type
		if it := all.Iterator(); it.HasNext() == types.True {
			if key := it.Next(); kindOf(key) != kindOf(value) {
				return differentTypes(id, value, key)
			}
		}
		return types.False
	case traits.Lister:
		var result ref.Val = types.False
		for it := all.Iterator(); it.HasNext() == types.True; {
			switch same := equalValues(id, value, it.Next()); {
			case same == types.True:
				return types.True
			case same != types.False && result == types.False:
				result = same
			}
		}
		return result
	}
	return types.NewErrWithNodeID(id, "no such overload")
}

// comparison is an operator ==, != or in of a condition. It replaces CEL's own operator, which
// treats values of different types as unequal instead of returning an error.
type comparison struct {
	call        interpreter.InterpretableCall // CEL's implementation
	left, right interpreter.InterpretableV2
	compare     func(id int64, left, right ref.Val) ref.Val
	not         bool

	canonicalLeft, canonicalRight bool // convert the operand to the canonical spelling first
}

// ID is part of interpreter.Interpretable.
func (c *comparison) ID() int64 { return c.call.ID() }

// Eval is part of interpreter.Interpretable.
func (c *comparison) Eval(a interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(a, c.Exec)
}

// Exec is part of interpreter.InterpretableV2.
func (c *comparison) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	left := c.left.Exec(frame)
	if types.IsUnknownOrError(left) {
		return left
	}
	right := c.right.Exec(frame)
	if types.IsUnknownOrError(right) {
		return right
	}
	if c.canonicalLeft {
		left = canonicalOperand(frame, left)
	}
	if c.canonicalRight {
		right = canonicalOperand(frame, right)
	}
	result := c.compare(c.call.ID(), left, right)
	if same, ok := result.(types.Bool); ok && c.not {
		result = !same
	}
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalBinary(frame, c.call.ID(), c.call, left, right, result)
	}
	return result
}

// canonicalOperand returns an operand in canonical spelling. It reads the whole operand, so it
// counts the cost of reading. The comparison itself costs little if the other operand is short.
func canonicalOperand(frame *interpreter.ExecutionFrame, operand ref.Val) ref.Val {
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalBinary(frame, 0, readCost{}, operand, operand, nil)
	}
	value, _ := canonicalValue(operand)
	return value
}

// readCost is the call whose cost canonicalOperand adds. It stands for the comparison of a
// value with itself, which reads the whole value.
type readCost struct{}

// Function is part of cost.Call.
func (readCost) Function() string { return operators.Equals }

// OverloadID is part of cost.Call.
func (readCost) OverloadID() string { return "" }

// strictComparisons replaces two kinds of comparisons in an evaluation plan: comparisons of
// names of users or groups, and comparisons whose operands could have different types.
func strictComparisons(a *ast.AST, names comparedNames) cel.ProgramOption {
	return cel.CustomDecoratorV2(func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		call, ok := i.(interpreter.InterpretableCall)
		if !ok || len(call.Args()) != 2 {
			return i, nil
		}
		c := &comparison{call: call, left: call.Args()[0], right: call.Args()[1], compare: equalValues}
		switch call.Function() {
		case operators.Equals:
		case operators.NotEquals:
			c.not = true
		case operators.In:
			c.compare = contains
		default:
			return i, nil
		}
		named := names[call.ID()]
		leftChanged, rightChanged := false, false
		c.left, c.canonicalLeft, leftChanged = canonicalConstant(c.left, named[0])
		c.right, c.canonicalRight, rightChanged = canonicalConstant(c.right, named[1])
		needsCanonical := c.canonicalLeft || c.canonicalRight || leftChanged || rightChanged
		if isNull(c.left) || isNull(c.right) || !needsCanonical && fullyTyped(a.GetType(c.left.ID())) && fullyTyped(a.GetType(c.right.ID())) {
			return i, nil // anything may be compared with null
		}
		return c, nil
	})
}

// canonicalConstant converts an operand to canonical spelling when the condition is compiled, if
// the operand is a constant. If mayDiffer is true, the operand's spelling might not be canonical.
// In this case, an operand that is not a constant must be converted at each request, and
// canonicalConstant returns true as its second result.
func canonicalConstant(operand interpreter.InterpretableV2, mayDiffer bool) (_ interpreter.InterpretableV2, later, changed bool) {
	constant, ok := operand.(interpreter.InterpretableConst)
	if !mayDiffer || !ok {
		return operand, mayDiffer, false
	}
	value, changed := canonicalValue(constant.Value())
	if changed {
		operand = interpreter.NewConstValue(operand.ID(), value)
	}
	return operand, false, changed
}

func isNull(i interpreter.Interpretable) bool {
	constant, ok := i.(interpreter.InterpretableConst)
	return ok && constant.Value() == types.NullValue
}

// fullyTyped reports whether a type is completely known at compile time. CEL has already
// checked that two operands with such types have the same type.
func fullyTyped(t *cel.Type) bool {
	if t.Kind() == types.DynKind || t.Kind() == types.AnyKind || t.Kind() == types.TypeParamKind {
		return false
	}
	return !slices.ContainsFunc(t.Parameters(), func(p *cel.Type) bool { return !fullyTyped(p) })
}

// adapter converts Go values to CEL values. Numbers in claims have the type json.Number. Whole
// numbers stay exact.
type adapter struct{ types.Adapter }

// withAdapter replaces the environment's adapter by the type adapter of this package. The new
// adapter converts numbers, lists and objects of claims, and calls the environment's adapter
// for other types.
func withAdapter(env *cel.Env) (*cel.Env, error) {
	return cel.CustomTypeAdapter(&adapter{env.CELTypeAdapter()})(env)
}

// NativeToValue is part of types.Adapter.
func (a *adapter) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case json.Number:
		return numberValue(string(v))
	case []any:
		return types.NewDynamicList(a, v)
	case map[string]any:
		return types.NewStringInterfaceMap(a, v)
	}
	return a.Adapter.NativeToValue(value)
}

func numberValue(text string) ref.Val {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return types.Int(i)
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return types.Uint(u)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return types.NewErr("the number %.80s cannot be read", text)
	}
	if strings.Trim(text, "-0123456789") == "" {
		exact, ok := new(big.Float).SetPrec(300).SetString(text)
		if !ok || exact.Cmp(big.NewFloat(f)) != 0 {
			return types.NewErr("the number %.80s is too large to be compared", text)
		}
	}
	return types.Double(f)
}
