package when

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// failure is the error of an evaluation. Its text is created only when somebody reads it. This
// saves time: an allow rule that reads a claim fails for every principal without that claim, and
// most of these errors are never read.
type failure struct {
	condition *condition
	err       error
}

// Error returns a text like `the claim "ref" is missing`.
func (f *failure) Error() string { return f.condition.errorText(f.err) }

// Unwrap returns CEL's error.
func (f *failure) Unwrap() error { return f.err }

// errorText returns the text of an evaluation error for users.
func (c *condition) errorText(err error) string {
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return "it takes too long: the claims or groups are too large for it"
	}
	text := err.Error()
	failed, _ := errors.AsType[*types.Err](err)
	var at ast.Expr
	if failed != nil {
		at = find(c.ast.Expr(), failed.NodeID())
	}
	if key, missing := strings.CutPrefix(text, "no such key: "); missing {
		if chain := claimOf(at, key); chain != "" {
			return fmt.Sprintf("the claim %.100q is missing", chain)
		}
		return fmt.Sprintf("there is no %.100q", key)
	}
	in := ""
	if at != nil {
		in = " in " + c.textOf(at)
	}
	if pair, ok := strings.CutPrefix(text, errTypes); ok {
		return fmt.Sprintf("%s cannot be compared%s", pair, in)
	}
	switch {
	case text == "no such overload" || strings.HasPrefix(text, "no such overload: "):
		return fmt.Sprintf("the values have incompatible types%s", in)
	case strings.HasPrefix(text, "index out of bounds: "):
		return fmt.Sprintf("the list is too short%s", in)
	case strings.HasPrefix(text, "type conversion error"):
		return fmt.Sprintf("the value cannot be converted%s", in)
	case text == "division by zero" || text == "modulus by zero":
		return fmt.Sprintf("a division by zero%s", in)
	}
	return fmt.Sprintf("%.200s", text)
}

// find searches the expression e for the part with the given id. It returns nil if there is no
// such part.
func find(e ast.Expr, id int64) ast.Expr {
	if e.ID() == id {
		return e
	}
	for _, child := range children(e) {
		if found := find(child, id); found != nil {
			return found
		}
	}
	return nil
}

// pathOf returns an expression as a dotted path, such as claims.ref or request.ip. The second
// result is false for an expression that is not a path.
func pathOf(e ast.Expr) (string, bool) {
	names, ok := pathNames(e)
	return strings.Join(names, "."), ok
}

// pathNames returns the names of the path to a value: claims, a, b for claims.a["b"].
func pathNames(e ast.Expr) ([]string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return []string{e.AsIdent()}, true
	case ast.SelectKind:
		before, ok := pathNames(e.AsSelect().Operand())
		return append(before, e.AsSelect().FieldName()), ok
	case ast.CallKind:
		call := e.AsCall()
		if name := call.FunctionName(); (name == operators.Index || name == operators.OptIndex || name == operators.OptSelect) && len(call.Args()) == 2 {
			before, ok := pathNames(call.Args()[0])
			if step := call.Args()[1]; step.Kind() == ast.LiteralKind {
				return append(before, fmt.Sprint(step.AsLiteral().Value())), ok
			}
		}
	}
	return nil, false
}

// claimOf returns the path of a missing claim: "ref", or "deep.ref" for a nested claim.
func claimOf(e ast.Expr, key string) string {
	if e == nil {
		return ""
	}
	names, ok := pathNames(e)
	if !ok || names[0] != varClaims {
		return ""
	}
	return strings.Join(names[1:slices.Index(names[1:], key)+2], ".")
}
