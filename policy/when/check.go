package when

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// comparedNames are the comparisons with names, by id: whether the left and the right operand may
// be in another spelling than the canonical one; nil: there are none.
type comparedNames map[int64][2]bool

// checker finds what CEL takes and a rule must not have.
type checker struct {
	*language
	text   string
	ast    *ast.AST
	errors Errors

	locals []local // the variables of the macros around the expression that is visited
	names  comparedNames
}

// check looks at a condition whose syntax and types are right, and returns the comparisons with
// names in it.
func (l *language) check(text string, checked *cel.Ast) (comparedNames, Errors) {
	c := checker{language: l, text: text, ast: checked.NativeRep()}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		c.errors = append(c.errors, wrongResult(c.ast, out))
	}
	c.visit(c.ast.Expr(), 0)
	slices.SortStableFunc(c.errors, byPlace)
	return c.names, c.errors
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
		loop := e.AsComprehension()
		c.visit(loop.IterRange(), nested)
		c.locals = append(c.locals, local{loop.IterVar(), c.areGroups(loop.IterRange())})
		defer func() { c.locals = c.locals[:len(c.locals)-1] }()
	case ast.CallKind:
		c.call(e.AsCall())
		c.compared(e)
		c.spelled(e)
		c.comparison(e)
	}
	for i, child := range children(e) {
		if i > 0 || e.Kind() != ast.ComprehensionKind { // the range was looked at
			c.visit(child, nested)
		}
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

// spelled finds texts that are looked for in groups, and that no group has: parts of distinguished
// names in another spelling than the canonical one, which groups have in conditions. A deny with
// one would be skipped in silence. ==, != and in take any spelling (see comparison), but for the
// keys of a map.
func (c *checker) spelled(e ast.Expr) {
	call := e.AsCall()
	parts := children(e)
	if len(parts) != 2 {
		return
	}
	switch call.FunctionName() {
	case overloads.StartsWith, overloads.EndsWith, overloads.Contains:
		for i, part := range parts {
			if c.isGroup(part) {
				c.spelling(parts[1-i])
			}
		}
	case overloads.Matches:
		if c.isGroup(parts[0]) {
			c.patternSpelling(parts[1])
		}
	case operators.In:
		if !c.isName(parts[0]) || parts[1].Kind() != ast.MapKind {
			return
		}
		for _, entry := range parts[1].AsMap().Entries() {
			key := entry.AsMapEntry().Key()
			text, _ := textOf(key)
			if _, sure := dn.CanonicalPart(text); sure {
				c.problem(key.ID(), "", "keys of a map are compared as they are written, and %.80q has other spellings: write a list", text)
			}
		}
	}
}

func (c *checker) spelling(e ast.Expr) {
	name, _ := textOf(e)
	if canonical, sure := dn.CanonicalPart(name); sure && canonical != name {
		c.problem(e.ID(), text.Quote(canonical), neverFound, name)
	}
}

const neverFound = "%.80q is in no group here: distinguished names have one spelling in groups, in lower case and without spaces beside commas"

// patternSpelling is spelling for a pattern, of what it has as plain text.
func (c *checker) patternSpelling(e ast.Expr) {
	pattern, _ := textOf(e)
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return // call reports it
	}
	suggestion := "(?i)" + pattern
	var wrong []string
	var visit func(*syntax.Regexp)
	visit = func(r *syntax.Regexp) {
		if text := string(r.Rune); r.Op == syntax.OpLiteral {
			canonical, sure := dn.CanonicalPart(text)
			switch same := strings.EqualFold(canonical, text); {
			case !sure || canonical == text || same && r.Flags&syntax.FoldCase != 0:
			case same:
				wrong = append(wrong, text)
			default:
				wrong, suggestion = append(wrong, text), ""
			}
		}
		for _, sub := range r.Sub {
			visit(sub)
		}
	}
	visit(parsed)
	if len(wrong) == 0 {
		return
	}
	if suggestion != "" {
		suggestion = text.Quote(suggestion)
	}
	c.problem(e.ID(), suggestion, neverFound, wrong[0])
}

// local is the variable of a macro like exists.
type local struct {
	name  string
	group bool // it is one group of the principal
}

// find returns the innermost variable of a macro that has a name.
func (c *checker) find(name string) (local, bool) {
	for i := len(c.locals) - 1; i >= 0; i-- {
		if c.locals[i].name == name {
			return c.locals[i], true
		}
	}
	return local{}, false
}

// isGlobal reports whether an expression is a variable of the request, which no macro's hides.
func (c *checker) isGlobal(e ast.Expr, variable string) bool {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == overloads.TypeConvertDyn && len(e.AsCall().Args()) == 1 {
		return c.isGlobal(e.AsCall().Args()[0], variable)
	}
	if e.Kind() != ast.IdentKind || e.AsIdent() != variable {
		return false
	}
	_, hidden := c.find(variable)
	return !hidden
}

// areGroups reports whether an expression is a list with groups of the principal.
func (c *checker) areGroups(e ast.Expr) bool {
	switch e.Kind() {
	case ast.ComprehensionKind:
		return c.areGroups(e.AsComprehension().IterRange())
	case ast.CallKind:
		if e.AsCall().FunctionName() == operators.Add {
			return slices.ContainsFunc(e.AsCall().Args(), c.areGroups)
		}
	}
	return c.isGlobal(e, varGroups)
}

// isName reports whether an expression is the name of the principal, or of one of its groups.
func (c *checker) isName(e ast.Expr) bool { return c.isGlobal(e, varUser) || c.isGroup(e) }

// isGroup reports whether an expression is one group of the principal.
func (c *checker) isGroup(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		l, ok := c.find(e.AsIdent())
		return ok && l.group
	case ast.CallKind:
		call := e.AsCall()
		switch {
		case call.FunctionName() == operators.Index && len(call.Args()) == 2:
			return c.areGroups(call.Args()[0])
		case call.FunctionName() == overloads.TypeConvertDyn && len(call.Args()) == 1:
			return c.isGroup(call.Args()[0])
		}
	}
	return false
}

// comparison notes whether ==, != or in compares names. Distinguished names are equal there
// however they are spelled, as in the subjects of rules.
func (c *checker) comparison(e ast.Expr) {
	call := e.AsCall()
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals, operators.In:
		if !slices.ContainsFunc(call.Args(), func(arg ast.Expr) bool { return c.isName(arg) || c.areGroups(arg) }) {
			return
		}
		var other [2]bool
		for i, arg := range call.Args() {
			other[i] = !c.isGroup(arg) && !c.isGlobal(arg, varGroups)
		}
		if c.names == nil {
			c.names = make(comparedNames)
		}
		c.names[e.ID()] = other
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
