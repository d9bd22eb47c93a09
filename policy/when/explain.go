package when

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// maxParts is the maximum number of parts that Explain returns.
const maxParts = 20

// Explain returns the values of the parts of the condition, in the order of the text. The parts
// are the operands of && and ||, and the inputs that the operands read. Explain evaluates all
// parts, including parts that Holds skips.
func (c *condition) Explain(r *policy.Request) []policy.Value {
	if r == nil {
		r = new(policy.Request)
	}
	program, err := c.traced()
	if err != nil {
		return nil
	}
	_, details, err := program.Eval(&request{Request: r})
	if details == nil || details.State() == nil {
		return []policy.Value{{Expression: c.text, Value: "an error: " + c.errorText(err)}}
	}
	p := parts{condition: c, details: details}
	p.addOperands(c.ast.Expr(), true)
	return p.values
}

// parts collects the values of the parts of a condition.
type parts struct {
	*condition
	details *cel.EvalDetails
	values  []policy.Value
}

// addOperands adds the operands of logical operators. If isWhole is true, e is the whole
// condition. The caller already knows the value of the whole condition, so e is then added
// only if it has no parts.
func (p *parts) addOperands(e ast.Expr, isWhole bool) {
	if e.Kind() == ast.CallKind {
		switch call := e.AsCall(); call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			for _, arg := range call.Args() {
				p.addOperands(arg, false)
			}
			return
		}
	}
	before := len(p.values)
	if !isWhole {
		p.add(e)
	}
	p.addInputs(e, false)
	if isWhole && len(p.values) == before {
		p.add(e)
	}
}

// addInputs adds the parts of the request that the expression reads, and the results of
// functions.
func (p *parts) addInputs(e ast.Expr, show bool) {
	switch e.Kind() {
	case ast.IdentKind:
		if p.readsRequest(e) {
			p.add(e)
		}
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			if show {
				p.add(e)
			}
			return
		}
		if _, path := pathNames(e); path {
			p.add(e)
			return
		}
		p.addInputs(e.AsSelect().Operand(), true)
	case ast.CallKind:
		if _, path := pathNames(e); path {
			p.add(e)
			return
		}
		if show && p.readsRequest(e) {
			p.add(e)
		}
		for _, child := range children(e) {
			p.addInputs(child, true)
		}
	case ast.ComprehensionKind:
		if show {
			p.add(e)
		}
		// the other parts have one value for each item
		p.addInputs(e.AsComprehension().IterRange(), true)
	case ast.ListKind, ast.MapKind:
		for _, child := range children(e) {
			p.addInputs(child, true)
		}
	}
}

// readsRequest reports whether the expression reads the request.
func (p *parts) readsRequest(e ast.Expr) bool {
	if e.Kind() == ast.IdentKind {
		r, ok := p.ast.ReferenceMap()[e.ID()]
		return !ok || r.Value == nil
	}
	return slices.ContainsFunc(children(e), p.readsRequest)
}

// add adds the expression and its value. It does nothing if the expression is already in the list
// or has no value. The list has at most maxParts parts.
func (p *parts) add(e ast.Expr) {
	text := p.textOf(e)
	if len(p.values) >= maxParts || slices.ContainsFunc(p.values, func(v policy.Value) bool { return v.Expression == text }) {
		return
	}
	value, ok := p.details.State().Value(e.ID())
	switch {
	case !ok || value == nil:
		return
	case types.IsError(value):
		p.values = append(p.values, policy.Value{Expression: text, Value: p.describeError(e, value.(*types.Err))})
	default:
		p.values = append(p.values, policy.Value{Expression: text, Value: formatValue(value)})
	}
}

// testsOnly reports whether the expression is the macro has(…).
func testsOnly(e ast.Expr) bool { return e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() }

// describeError returns a text to show in place of the value of a part that has no value.
func (p *parts) describeError(e ast.Expr, err *types.Err) string {
	switch text := err.Error(); {
	case text == errNoAddress || text == errNoTime || text == errNoRegistry:
		return "not known"
	case err.NodeID() != e.ID():
		return "not known" // because a part of the expression is unknown
	case strings.HasPrefix(text, "no such key: ") && e.Kind() != ast.ComprehensionKind && !testsOnly(e):
		return "missing"
	}
	return "an error: " + p.errorText(err)
}
