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

// maxParts is the most parts of a condition that are shown.
const maxParts = 20

// Explain returns what the parts of the condition come to, in the order of the text: what is joined by && and
// ||, and in it all that is asked about. All of it is evaluated, also what Holds need not look at any more.
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
		return []policy.Value{{Expression: c.text, Value: "an error: " + c.why(err)}}
	}
	p := parts{condition: c, details: details}
	p.joined(c.ast.Expr(), true)
	return p.values
}

// parts gathers the values of the parts of a condition.
type parts struct {
	*condition
	details *cel.EvalDetails
	values  []policy.Value
}

// joined adds what is joined by logical operators. Alone is said of the whole condition, whose value is known.
func (p *parts) joined(e ast.Expr, alone bool) {
	if e.Kind() == ast.CallKind {
		switch call := e.AsCall(); call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			for _, arg := range call.Args() {
				p.joined(arg, false)
			}
			return
		}
	}
	before := len(p.values)
	if !alone {
		p.add(e)
	}
	p.asked(e, false)
	if alone && len(p.values) == before {
		p.add(e)
	}
}

// asked adds all that the expression asks about a request, and what functions make of it.
func (p *parts) asked(e ast.Expr, show bool) {
	switch e.Kind() {
	case ast.IdentKind:
		if r, ok := p.ast.ReferenceMap()[e.ID()]; !ok || r.Value == nil {
			p.add(e)
		}
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			if show {
				p.add(e)
			}
			return
		}
		if _, path := steps(e); path {
			p.add(e)
			return
		}
		p.asked(e.AsSelect().Operand(), true)
	case ast.CallKind:
		if _, path := steps(e); path {
			p.add(e)
			return
		}
		if show && p.asksSomething(e) {
			p.add(e)
		}
		for _, child := range children(e) {
			p.asked(child, true)
		}
	case ast.ComprehensionKind:
		if show {
			p.add(e)
		}
		p.asked(e.AsComprehension().IterRange(), true) // what is within has a value for each round
	case ast.ListKind, ast.MapKind:
		for _, child := range children(e) {
			p.asked(child, true)
		}
	}
}

// asksSomething reports whether the expression is about a request.
func (p *parts) asksSomething(e ast.Expr) bool {
	if e.Kind() == ast.IdentKind {
		r, ok := p.ast.ReferenceMap()[e.ID()]
		return !ok || r.Value == nil
	}
	return slices.ContainsFunc(children(e), p.asksSomething)
}

// add adds a part, once.
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
		p.values = append(p.values, policy.Value{Expression: text, Value: p.failed(e, value.(*types.Err))})
	default:
		p.values = append(p.values, policy.Value{Expression: text, Value: printed(value)})
	}
}

// testsOnly reports whether the expression is has(…).
func testsOnly(e ast.Expr) bool { return e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() }

// failed says what a part is that has no value.
func (p *parts) failed(e ast.Expr, err *types.Err) string {
	switch text := err.Error(); {
	case text == errNoAddress || text == errNoTime || text == errNoRegistry:
		return "not known"
	case err.NodeID() != e.ID():
		return "not known" // since a part of it is not
	case strings.HasPrefix(text, "no such key: ") && e.Kind() != ast.ComprehensionKind && !testsOnly(e):
		return "missing"
	}
	return "an error: " + p.why(err)
}
