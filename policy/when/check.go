package when

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// checker finds what CEL takes and a rule must not have.
type checker struct {
	*language
	text   string
	ast    *ast.AST
	errors Errors
}

// check looks at a condition whose syntax and types are right.
func (l *language) check(text string, checked *cel.Ast) Errors {
	c := checker{language: l, text: text, ast: checked.NativeRep()}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		c.errors = append(c.errors, wrongResult(c.ast, out))
	}
	c.visit(c.ast.Expr(), 0)
	slices.SortStableFunc(c.errors, byPlace)
	return c.errors
}

func wrongResult(a *ast.AST, out *cel.Type) *Error {
	e := &Error{Line: 1, Column: 1, Text: fmt.Sprintf("the condition is %s; it must be true or false", typeInWords(out))}
	if chain, ok := pathOf(a.Expr()); ok && out.Kind() == types.DynKind {
		e.Text = fmt.Sprintf("%s could be anything, and a condition must be true or false: compare it", chain)
		e.Suggestion = chain + ` == "…"`
	}
	return e
}

func (c *checker) visit(e ast.Expr, nested int) {
	switch e.Kind() {
	case ast.ComprehensionKind:
		nested++
		if nested > maxNested {
			c.problem(e.ID(), "", "all, exists, exists_one and filter stand within each other %d times; the limit is %d", nested, maxNested)
			return
		}
	case ast.CallKind:
		c.call(e.AsCall())
		c.compared(e)
	}
	for _, child := range children(e) {
		c.visit(child, nested)
	}
}

// call checks arguments that are better known now than when somebody is waiting.
func (c *checker) call(call ast.CallExpr) {
	args := call.Args()
	switch name := call.FunctionName(); {
	case isAccessor(name) && len(args) == 1:
		zone, literal := textOf(args[0])
		if !literal {
			c.zones.loadAll()
		} else if _, ok := parseOffset(zone); !ok && !c.zones.load(zone) {
			c.problem(args[0].ID(), c.zones.suggest(zone), "unknown time zone %.40q", zone)
		}
	case name == overloads.Matches && len(args) > 0:
		// A pattern out of a claim would let whoever signs in say what matches.
		pattern, literal := textOf(args[len(args)-1])
		if !literal {
			c.problem(args[len(args)-1].ID(), "", "a pattern must be written out, and never comes from a request")
		} else if _, err := regexp.Compile(pattern); err != nil {
			c.problem(args[len(args)-1].ID(), "", "this is no RE2 pattern: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	case (name == overloads.TypeConvertDuration || name == overloads.TypeConvertTimestamp) && len(args) == 1:
		value, literal := textOf(args[0])
		if !literal {
			return
		}
		if name == overloads.TypeConvertDuration && types.IsError(types.String(value).ConvertToType(types.DurationType)) {
			c.problem(args[0].ID(), "", "%.40q is no duration like 90m or 12h", value)
		}
		if name == overloads.TypeConvertTimestamp && types.IsError(types.String(value).ConvertToType(types.TimestampType)) {
			c.problem(args[0].ID(), "", "%.40q is no time like 2026-12-24T18:00:00Z", value)
		}
	}
}

// problem notes a mistake in the part of the text that the expression is.
func (c *checker) problem(id int64, suggestion, format string, args ...any) {
	at := c.ast.SourceInfo().GetStartLocation(id)
	c.errors = append(c.errors, &Error{Line: max(1, at.Line()), Column: at.Column() + 1, Text: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// textOf returns the text that the expression is, if it is written out.
func textOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// children returns the parts of an expression, in their order.
func children(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			return append([]ast.Expr{call.Target()}, call.Args()...)
		}
		return call.Args()
	case ast.SelectKind:
		return []ast.Expr{e.AsSelect().Operand()}
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.MapKind:
		var parts []ast.Expr
		for _, entry := range e.AsMap().Entries() {
			parts = append(parts, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
		return parts
	case ast.ComprehensionKind:
		loop := e.AsComprehension()
		return []ast.Expr{loop.IterRange(), loop.AccuInit(), loop.LoopCondition(), loop.LoopStep(), loop.Result()}
	}
	return nil
}
