package when

import (
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// Bounds of a condition. Whoever writes rules may be an owner of one namespace, and what he writes is
// evaluated for everybody.
const (
	maxText    = 4096 // characters
	maxDepth   = 50   // of parentheses, calls and operators within each other
	maxNodes   = 2000 // names, values and operators
	maxNested  = 2    // exists within exists: each level multiplies, and could build a value as large as 2^levels
	maxPattern = 1000 // instructions of an RE2 program
)

// language is CEL as conditions speak it.
type language struct {
	env   *cel.Env
	zones *zones
	words []string // the names that a text may begin with, for suggestions
}

// newLanguage takes about a millisecond.
func newLanguage() (*language, error) {
	l := &language{zones: newZones()}
	options := []cel.EnvOption{
		ext.Network(),
		adapted,
		cel.OptionalTypes(),
		cel.EnableErrorOnBadPresenceTest(true), // a text has no parts: has(claims.text.part) is an error, and not false
		cel.CrossTypeNumericComparisons(true),  // 3 and 3.0 are one number, in claims and in a text
		cel.EnableMacroCallTracking(),          // Explain shows a macro as it was written

		// map and its like are left out: with them a short text builds a value without bounds.
		cel.ClearMacros(),
		cel.Macros(cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.FilterMacro),

		cel.ParserExpressionSizeLimit(maxText),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxPattern),
	}
	options = append(options, variables()...)
	options = append(options, l.times()...)
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

// accessor is a function that tells a part of a time.
type accessor struct {
	name        string
	utc, ofZone string // CEL's ids of its two forms
	of          func(time.Time) int
}

// accessors are CEL's own, with its counting: days of the week, of the year and getDayOfMonth from 0, months
// from 0, getDate from 1.
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

// isAccessor reports whether a function tells a part of a time.
func isAccessor(name string) bool {
	for _, a := range accessors {
		if a.name == name {
			return true
		}
	}
	return false
}

// times binds the functions of times to our zones, since CEL's own look zones up on the disk at each call, and names
// days and months.
func (l *language) times() []cel.EnvOption {
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

// compile makes a condition of its text. The error is Errors.
func (l *language) compile(text string) (*condition, error) {
	if strings.TrimSpace(text) == "" {
		return nil, Errors{{Line: 1, Column: 1, Text: "the condition is empty"}}
	}
	if n := utf8.RuneCountInString(text); n > maxText {
		return nil, tooMuch("the condition has %d characters; the limit is %d", n, maxText)
	}
	if !utf8.ValidString(text) {
		return nil, tooMuch("the condition is not UTF-8")
	}
	checked, issues := l.env.Compile(text)
	if issues.Err() != nil {
		return nil, l.mistakes(text, issues.Errors())
	}
	names, errs := l.check(text, checked)
	if len(errs) > 0 {
		return nil, errs
	}
	return l.program(text, checked, names)
}
