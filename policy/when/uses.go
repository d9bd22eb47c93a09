package when

import (
	"cmp"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// allTypes is the set of all types.
const allTypes = anyClaim | otherKinds

// Use is a place in a condition that requires a claim to have certain types. If the claim has
// another type, the condition fails.
type Use struct {
	Claim  string `json:"claim"`  // the top-level claim
	Kinds  Kinds  `json:"kinds"`  // the types that the claim may have there
	Line   int    `json:"line"`   // of the claim in the text, from 1
	Column int    `json:"column"` // from 1, in characters
	Text   string `json:"text"`   // the part of the condition at this place: `claims.attempt == 2`
}

// Uses returns the places in a condition that require a claim to have certain types. A caller
// that knows the types of the claims can check these places. Comparisons with null or with values
// of unknown type are not included.
func Uses(of policy.Condition) []Use {
	c, ok := of.(*condition)
	if !ok {
		return nil
	}
	u := useFinder{condition: c}
	u.visit(c.ast.Expr(), true)
	slices.SortStableFunc(u.found, func(a, b Use) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return u.found
}

type useFinder struct {
	*condition
	found []Use
}

// require records a requirement: the whole expression can be evaluated only if the claim has
// one of the given types.
func (u *useFinder) require(claim ast.Expr, kinds Kinds, whole ast.Expr) {
	path, ok := pathNames(claim)
	if !ok || len(path) != 2 || path[0] != varClaims || kinds&anyClaim == anyClaim || testsOnly(claim) || isOptional(claim) {
		return
	}
	at := u.ast.SourceInfo().GetStartLocation(leftmostPart(claim).ID())
	u.found = append(u.found, Use{Claim: path[1], Kinds: kinds, Line: max(1, at.Line()), Column: at.Column() + 1, Text: u.textOf(whole)})
}

func isOptional(e ast.Expr) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() != operators.Index
}

// leftmostPart returns the part at the beginning of an expression. The function is needed because
// CEL reports the position of an operator, and not the position at which the left operand begins.
func leftmostPart(e ast.Expr) ast.Expr {
	for {
		switch e.Kind() {
		case ast.CallKind:
			call := e.AsCall()
			if call.IsMemberFunction() {
				e = call.Target()
				continue
			}
			if _, binary := operators.FindReverseBinaryOperator(call.FunctionName()); binary || call.FunctionName() == operators.Index {
				e = call.Args()[0]
				continue
			}
		case ast.SelectKind:
			if !e.AsSelect().IsTestOnly() {
				e = e.AsSelect().Operand()
				continue
			}
		}
		return e
	}
}

// visit finds the requirements of an expression.
func (u *useFinder) visit(e ast.Expr, mustBeBool bool) {
	if mustBeBool {
		u.require(e, Bool, e)
	}
	switch e.Kind() {
	case ast.CallKind:
		u.call(e, e.AsCall())
		return
	case ast.ComprehensionKind:
		u.require(e.AsComprehension().IterRange(), List|Object, e.AsComprehension().IterRange())
	}
	for _, child := range children(e) {
		u.visit(child, false)
	}
}

func (u *useFinder) call(e ast.Expr, call ast.CallExpr) {
	args, name := call.Args(), call.FunctionName()
	joins := name == operators.LogicalAnd || name == operators.LogicalOr || name == operators.LogicalNot
	for i, child := range args {
		u.visit(child, joins || name == operators.Conditional && i == 0)
	}
	switch {
	case call.IsMemberFunction():
		u.visit(call.Target(), false)
		switch name {
		case overloads.StartsWith, overloads.EndsWith, overloads.Contains, overloads.Matches:
			u.require(call.Target(), Text, e)
		case overloads.Size:
			u.require(call.Target(), Text|List|Object, e)
		}
	case len(args) == 1 && name == overloads.Size:
		u.require(args[0], Text|List|Object, e)
	case len(args) != 2:
	case name == operators.In:
		u.require(args[0], itemKinds(u.ast, args[1]), e)
		u.require(args[1], List|Object, e)
	case isComparison(name) && !isNullLiteral(args[0]) && !isNullLiteral(args[1]):
		u.require(args[0], kindsOf(u.ast, args[1]), e)
		u.require(args[1], kindsOf(u.ast, args[0]), e)
	}
}

var comparisons = []string{operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals}

func isComparison(function string) bool { return slices.Contains(comparisons, function) }

func isNullLiteral(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// kindsOf returns the types that the value of an expression can have.
func kindsOf(a *ast.AST, e ast.Expr) Kinds {
	switch e.Kind() {
	case ast.LiteralKind:
		return kindOf(e.AsLiteral())
	case ast.ListKind:
		return List
	case ast.MapKind:
		return Object
	}
	if path, ok := pathNames(e); ok && path[0] == varClaims && len(path) > 1 && !isOptionalPath(e) {
		return anyClaim
	}
	return kindsOfType(a.GetType(e.ID()))
}

func isOptionalPath(e ast.Expr) bool {
	switch e.Kind() {
	case ast.SelectKind:
		return isOptionalPath(e.AsSelect().Operand())
	case ast.CallKind:
		return isOptional(e) || isOptionalPath(e.AsCall().Args()[0])
	}
	return false
}

func kindsOfType(t *cel.Type) Kinds {
	switch t.Kind() {
	case types.StringKind:
		return Text
	case types.IntKind, types.UintKind, types.DoubleKind:
		return Number
	case types.BoolKind:
		return Bool
	case types.NullTypeKind:
		return Null
	case types.ListKind:
		return List
	case types.MapKind:
		return Object
	case types.DynKind, types.AnyKind, types.TypeParamKind, types.ErrorKind:
		return allTypes
	}
	return otherKinds
}

// itemKinds returns the types that the items of a list or the keys of a map can have.
func itemKinds(a *ast.AST, e ast.Expr) (kinds Kinds) {
	switch e.Kind() {
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			kinds |= kindsOf(a, item)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			kinds |= kindsOf(a, entry.AsMapEntry().Key())
		}
	default:
		if t := a.GetType(e.ID()); (t.Kind() == types.ListKind || t.Kind() == types.MapKind) && len(t.Parameters()) > 0 {
			return kindsOfType(t.Parameters()[0])
		}
		return allTypes
	}
	if kinds == 0 {
		return allTypes // the list is empty
	}
	return kinds
}

// checkTypes finds comparisons of values that can never have the same type.
func (c *checker) checkTypes(e ast.Expr) {
	call := e.AsCall()
	args := call.Args()
	if len(args) != 2 {
		return
	}
	left, right := kindsOf(c.ast, args[0]), allTypes
	with := "the items of the list"
	switch name := call.FunctionName(); {
	case isComparison(name):
		right, with = kindsOf(c.ast, args[1]), c.nameOf(args[1])
	case name == operators.In:
		right = itemKinds(c.ast, args[1])
	}
	if left&right == 0 {
		c.addProblem(leftmostPart(e).ID(), "", "%s and %s never have the same type, so comparing them is an error for every request", c.nameOf(args[0]), with)
	}
}

// nameOf returns a name of an expression for error texts. The name is the expression's path, such
// as claims.ref, or its type if it has no path.
func (c *checker) nameOf(e ast.Expr) string {
	if path, ok := pathOf(e); ok {
		return path
	}
	return typeInWords(c.ast.GetType(e.ID()))
}
