package when

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// Limits of a condition. They are needed because the owners of a namespace can write rules, and
// each rule can slow down requests of other users.
const (
	maxText    = 4096 // characters
	maxDepth   = 50   // nested parentheses, calls and operators
	maxNodes   = 2000 // names, values and operators
	maxNested  = 2    // levels of exists inside exists: each level multiplies the time
	maxPattern = 1000 // instructions of an RE2 program
)

// language is the CEL environment of conditions.
type language struct {
	env   *cel.Env
	zones *zones
	words []string // variables, for suggestions
}

// newLanguage creates the environment. This takes about a millisecond.
func newLanguage() (*language, error) {
	l := &language{zones: newZones()}
	options := []cel.EnvOption{
		ext.Network(),
		withAdapter,
		cel.OptionalTypes(),
		cel.EnableErrorOnBadPresenceTest(true), // for has(claims.text.part)
		cel.CrossTypeNumericComparisons(true),  // 3 equals 3.0, in claims and in conditions
		cel.EnableMacroCallTracking(),          // Explain prints macros in their original form

		// The macro map and similar macros are not available, because they can build values of
		// unlimited size.
		cel.ClearMacros(),
		cel.Macros(cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.FilterMacro),

		cel.ParserExpressionSizeLimit(maxText),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxPattern),
	}
	options = append(options, variables()...)
	options = append(options, l.timeFunctions()...)
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	l.env = env
	for _, v := range env.Variables() {
		if !strings.Contains(v.Name(), ".") || v.Name() == varIP {
			l.words = append(l.words, v.Name())
		}
	}
	return l, nil
}

// accessor is a function that returns a field of a time.
type accessor struct {
	name        string
	utc, ofZone string // CEL's ids of its two overloads
	of          func(time.Time) int
}

// accessors lists the accessors of CEL's standard library. They number days and months as CEL
// does. Days of the week, days of the year, getDayOfMonth and months count from 0; getDate counts
// from 1.
var accessors = []accessor{
	{overloads.TimeGetFullYear, overloads.TimestampToYear, overloads.TimestampToYearWithTz, time.Time.Year},
	{overloads.TimeGetMonth, overloads.TimestampToMonth, overloads.TimestampToMonthWithTz, func(t time.Time) int { return int(t.Month()) - 1 }},
	{overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYear, overloads.TimestampToDayOfYearWithTz, func(t time.Time) int { return t.YearDay() - 1 }},
	{overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBased, overloads.TimestampToDayOfMonthZeroBasedWithTz, func(t time.Time) int { return t.Day() - 1 }},
	{overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBased, overloads.TimestampToDayOfMonthOneBasedWithTz, time.Time.Day},
	{overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeek, overloads.TimestampToDayOfWeekWithTz, func(t time.Time) int { return int(t.Weekday()) }},
	{overloads.TimeGetHours, overloads.TimestampToHours, overloads.TimestampToHoursWithTz, time.Time.Hour},
	{overloads.TimeGetMinutes, overloads.TimestampToMinutes, overloads.TimestampToMinutesWithTz, time.Time.Minute},
	{overloads.TimeGetSeconds, overloads.TimestampToSeconds, overloads.TimestampToSecondsWithTz, time.Time.Second},
	{overloads.TimeGetMilliseconds, overloads.TimestampToMilliseconds, overloads.TimestampToMillisecondsWithTz, func(t time.Time) int { return t.Nanosecond() / 1e6 }},
}

// isAccessor reports whether a function returns a field of a time.
func isAccessor(name string) bool {
	return slices.ContainsFunc(accessors, func(a accessor) bool { return a.name == name })
}

// timeFunctions replaces CEL's time functions by functions that find zones in l.zones, because
// CEL's own functions read zones from disk at each call. It also declares the names of days and
// months.
func (l *language) timeFunctions() []cel.EnvOption {
	var options []cel.EnvOption
	for _, a := range accessors {
		options = append(options, cel.Function(a.name,
			cel.MemberOverload(a.utc, []*cel.Type{cel.TimestampType}, cel.IntType, cel.UnaryBinding(func(t ref.Val) ref.Val {
				at, ok := t.(types.Timestamp)
				if !ok {
					return types.MaybeNoSuchOverloadErr(t)
				}
				return types.Int(a.of(at.UTC()))
			})),
			cel.MemberOverload(a.ofZone, []*cel.Type{cel.TimestampType, cel.StringType}, cel.IntType, cel.BinaryBinding(func(t, zone ref.Val) ref.Val {
				at, ok := t.(types.Timestamp)
				if !ok {
					return types.MaybeNoSuchOverloadErr(t)
				}
				name, ok := zone.(types.String)
				if !ok {
					return types.MaybeNoSuchOverloadErr(zone)
				}
				location, ok := l.zones.find(string(name))
				if !ok {
					return types.NewErr("unknown time zone %.40q", string(name))
				}
				return types.Int(a.of(at.In(location)))
			})),
		))
	}
	for day := time.Sunday; day <= time.Saturday; day++ {
		options = append(options, cel.Constant(strings.ToUpper(day.String()), cel.IntType, types.Int(day)))
	}
	for month := time.January; month <= time.December; month++ {
		options = append(options, cel.Constant(strings.ToUpper(month.String()), cel.IntType, types.Int(month-1)))
	}
	return options
}

// compile compiles a condition. An error has the type Errors.
func (l *language) compile(text string) (*condition, error) {
	if strings.TrimSpace(text) == "" {
		return nil, Errors{{Line: 1, Column: 1, Text: "the condition is empty"}}
	}
	if n := utf8.RuneCountInString(text); n > maxText {
		return nil, textError("the condition has %d characters; the limit is %d", n, maxText)
	}
	if !utf8.ValidString(text) {
		return nil, textError("the condition is not UTF-8")
	}
	checked, issues := l.env.Compile(text)
	if issues.Err() != nil {
		return nil, l.translate(text, issues.Errors())
	}
	names, errs := l.check(text, checked)
	if len(errs) > 0 {
		return nil, errs
	}
	return l.newCondition(text, checked, names)
}
