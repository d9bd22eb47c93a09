package when

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/internal/dn"
)

// checker finds what CEL takes and a rule must not have.
type checker struct {
	*language
	text   string
	ast    *ast.AST
	errors Errors

	groups []string // the names that stand for one group of who asks, in what is being looked at
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
		if loop := e.AsComprehension(); c.areGroups(loop.IterRange()) {
			c.groups = append(c.groups, loop.IterVar())
			defer func() { c.groups = c.groups[:len(c.groups)-1] }()
		}
	case ast.CallKind:
		c.call(e.AsCall())
		c.compared(e)
		c.spelled(e.AsCall())
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

// spelled finds distinguished names that are compared with groups and are in another spelling than the canonical one, which
// groups have: no group ever is what they say, so that a deny would be skipped in silence. Only in "…" in groups any will do.
func (c *checker) spelled(call ast.CallExpr) {
	args := call.Args()
	if len(args) != 2 {
		return
	}
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals:
		for i, arg := range args {
			if other := args[1-i]; c.isGroup(arg) {
				c.spelling(other)
			} else if c.areGroups(arg) && other.Kind() == ast.ListKind {
				c.spelling(other.AsList().Elements()...)
			}
		}
	case operators.In:
		switch {
		case c.isGroup(args[0]) && (args[1].Kind() == ast.ListKind || args[1].Kind() == ast.MapKind):
			c.spelling(children(args[1])...)
		case c.areGroups(args[1]) && !isGroups(args[1]):
			c.spelling(args[0])
		}
	}
}

func (c *checker) spelling(texts ...ast.Expr) {
	for _, e := range texts {
		if text, ok := textOf(e); ok && dn.Canonical(text) != text {
			c.problem(e.ID(), strconv.Quote(dn.Canonical(text)), "no group is called %.80q here: distinguished names have one spelling in groups", text)
		}
	}
}

// isGroups reports whether an expression is groups itself, in which any spelling is found.
func isGroups(e ast.Expr) bool {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == overloads.TypeConvertDyn && len(e.AsCall().Args()) == 1 {
		return isGroups(e.AsCall().Args()[0])
	}
	return e.Kind() == ast.IdentKind && e.AsIdent() == varGroups
}

// areGroups reports whether an expression is a list with groups of who asks.
func (c *checker) areGroups(e ast.Expr) bool {
	switch e.Kind() {
	case ast.ComprehensionKind:
		return c.areGroups(e.AsComprehension().IterRange())
	case ast.CallKind:
		if e.AsCall().FunctionName() == operators.Add {
			return slices.ContainsFunc(e.AsCall().Args(), c.areGroups)
		}
	}
	return isGroups(e)
}

// isGroup reports whether an expression is one group of who asks.
func (c *checker) isGroup(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		return slices.Contains(c.groups, e.AsIdent())
	case ast.CallKind:
		call := e.AsCall()
		return call.FunctionName() == operators.Index && len(call.Args()) == 2 && c.areGroups(call.Args()[0])
	}
	return false
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
