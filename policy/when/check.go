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
	"cel.dev/cel-go/common/types/ref"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// comparedNames has the comparisons with names of users or groups. The key is the id of the
// comparison. The two values are for its left and its right operand. A value is true if the
// operand's spelling might not be canonical.
type comparedNames map[int64][2]bool

// checker finds errors that CEL does not report.
type checker struct {
	*language
	text   string
	ast    *ast.AST
	errors Errors

	locals []macroVariable // the variables of the macros around the current expression
	names  comparedNames
}

// check checks a condition whose syntax and types are valid. It returns the comparisons with
// names of users or groups.
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
		e.Text = fmt.Sprintf("%s can have any type, and a condition must be true or false: compare it", chain)
		e.Suggestion = chain + ` == "…"`
	}
	return e
}

func (c *checker) visit(e ast.Expr, nested int) {
	switch e.Kind() {
	case ast.ComprehensionKind:
		nested++
		if nested > maxNested {
			c.addProblem(e.ID(), "", "all, exists, exists_one and filter are nested %d times; the limit is %d", nested, maxNested)
			return
		}
		loop := e.AsComprehension()
		c.visit(loop.IterRange(), nested)
		c.locals = append(c.locals, macroVariable{loop.IterVar(), c.areGroups(loop.IterRange())})
		defer func() { c.locals = c.locals[:len(c.locals)-1] }()
	case ast.CallKind:
		c.checkCall(e.AsCall())
		c.checkTypes(e)
		c.checkSpelling(e)
		c.recordComparison(e)
	}
	for i, child := range children(e) {
		if i > 0 || e.Kind() != ast.ComprehensionKind { // the range was visited above
			c.visit(child, nested)
		}
	}
}

// checkCall checks constant arguments, so that errors in them are found before any request.
func (c *checker) checkCall(call ast.CallExpr) {
	args := call.Args()
	switch name := call.FunctionName(); {
	case isAccessor(name) && len(args) == 1:
		zone, literal := textOf(args[0])
		if !literal {
			c.zones.loadAll()
		} else if _, ok := parseOffset(zone); !ok && !c.zones.load(zone) {
			c.addProblem(args[0].ID(), c.zones.suggest(zone), "unknown time zone %.40q", zone)
		}
	case name == overloads.Matches && len(args) > 0:
		// If the pattern came from a claim, the client could choose what matches.
		pattern, literal := textOf(args[len(args)-1])
		if !literal {
			c.addProblem(args[len(args)-1].ID(), "", "a pattern must be a literal text; it cannot come from a request")
		} else if _, err := regexp.Compile(pattern); err != nil {
			c.addProblem(args[len(args)-1].ID(), "", "invalid RE2 pattern: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	case name == overloads.TypeConvertDuration && len(args) == 1 && !canConvert(args[0], types.DurationType):
		c.addProblem(args[0].ID(), "", "%.40q is not a duration like 90m or 12h", args[0].AsLiteral().Value())
	case name == overloads.TypeConvertTimestamp && len(args) == 1 && !canConvert(args[0], types.TimestampType):
		c.addProblem(args[0].ID(), "", "%.40q is not a time like 2026-12-24T18:00:00Z", args[0].AsLiteral().Value())
	}
}

// canConvert reports whether the conversion of e to the type can succeed. It returns false only
// for a literal text that cannot be converted.
func canConvert(e ast.Expr, to ref.Type) bool {
	value, literal := textOf(e)
	return !literal || !types.IsError(types.String(value).ConvertToType(to))
}

// checkSpelling checks a literal text that a condition searches for in the names of groups, for
// example with startsWith. It reports an error if no name of a group can contain the text. In
// conditions, the names of groups have the canonical spelling. If a condition searches for a part
// of a distinguished name in another spelling, it finds nothing. A deny rule with such a condition
// would silently never match. The operators ==, != and in accept any spelling (see comparison),
// except where they read the keys of a map.
func (c *checker) checkSpelling(e ast.Expr) {
	call := e.AsCall()
	parts := children(e)
	if len(parts) != 2 {
		return
	}
	switch call.FunctionName() {
	case overloads.StartsWith, overloads.EndsWith, overloads.Contains:
		for i, part := range parts {
			if c.isGroup(part) {
				c.checkText(parts[1-i])
			}
		}
	case overloads.Matches:
		if c.isGroup(parts[0]) {
			c.checkPattern(parts[1])
		}
	case operators.In:
		if !c.isName(parts[0]) || parts[1].Kind() != ast.MapKind {
			return
		}
		for _, entry := range parts[1].AsMap().Entries() {
			key := entry.AsMapEntry().Key()
			text, _ := textOf(key)
			if _, sure := dn.CanonicalPart(text); sure {
				c.addProblem(key.ID(), "", "keys of a map are compared exactly, but %.80q has other spellings: write a list", text)
			}
		}
	}
}

func (c *checker) checkText(e ast.Expr) {
	name, _ := textOf(e)
	if canonical, sure := dn.CanonicalPart(name); sure && canonical != name {
		c.addProblem(e.ID(), text.Quote(canonical), neverFound, name)
	}
}

const neverFound = "%.80q can never match: in groups, distinguished names are in lower case and without spaces after commas"

// checkPattern reports an error if the pattern can never match because it contains a part of a
// distinguished name in a spelling that is not canonical.
func (c *checker) checkPattern(e ast.Expr) {
	pattern, _ := textOf(e)
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return // checkCall reports this error
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
	c.addProblem(e.ID(), suggestion, neverFound, wrong[0])
}

// macroVariable is the variable of a macro, such as the macro exists.
type macroVariable struct {
	name  string
	group bool // the variable's value is one group of the principal
}

// find returns the macro variable of this name from the innermost macro that has one.
func (c *checker) find(name string) (macroVariable, bool) {
	for _, l := range slices.Backward(c.locals) {
		if l.name == name {
			return l, true
		}
	}
	return macroVariable{}, false
}

// isGlobal reports whether an expression is the variable of the request, and not a macro
// variable of the same name.
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

// areGroups reports whether an expression is a list that contains groups of the principal.
func (c *checker) areGroups(e ast.Expr) bool {
	switch e.Kind() {
	case ast.ComprehensionKind:
		return c.areGroups(e.AsComprehension().IterRange())
	case ast.ListKind:
		return slices.ContainsFunc(e.AsList().Elements(), c.isGroup)
	case ast.CallKind:
		switch call := e.AsCall(); call.FunctionName() {
		case operators.Add:
			return slices.ContainsFunc(call.Args(), c.areGroups)
		case operators.Conditional:
			return slices.ContainsFunc(call.Args()[1:], c.areGroups)
		}
	}
	return c.isGlobal(e, varGroups)
}

// isName reports whether an expression is the name of the principal or of one of the
// principal's groups.
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

// recordComparison records an operator ==, != or in that compares names of users or groups. In
// these comparisons all spellings of a distinguished name are equal, as in the subjects of
// rules.
func (c *checker) recordComparison(e ast.Expr) {
	call := e.AsCall()
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals, operators.In:
		if !slices.ContainsFunc(call.Args(), func(arg ast.Expr) bool { return c.isName(arg) || c.areGroups(arg) }) {
			return
		}
		var other [2]bool
		for i, arg := range call.Args() {
			// Only the variable groups is certainly canonical. For example, an item of the list
			// groups + claims.x can come from the claim, in any spelling.
			other[i] = !c.isGlobal(arg, varGroups)
		}
		if c.names == nil {
			c.names = make(comparedNames)
		}
		c.names[e.ID()] = other
	}
}

// addProblem adds an error at the place of an expression.
func (c *checker) addProblem(id int64, suggestion, format string, args ...any) {
	at := c.ast.SourceInfo().GetStartLocation(id)
	c.errors = append(c.errors, &Error{Line: max(1, at.Line()), Column: at.Column() + 1, Text: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// textOf returns the value of a string literal.
func textOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// children returns the parts of an expression in order.
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
