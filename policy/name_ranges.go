package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// NameRange is a range of names. It contains the name From, and all names between From and To in
// the order of their bytes, but not To. If To is empty, the range has no end.
type NameRange struct {
	From string `json:"from"`
	To   string `json:"to,omitempty"`
}

// NameRanges returns ranges of repository names. If Decide could grant one of the actions on a
// repository to the principal, the name of the repository is in one of the ranges. So a program
// that lists repositories need not call Decide for all names. It must still call Decide for each
// name in a range, because the ranges depend only on the literal beginnings of patterns, and
// ignore deny rules and conditions.
//
// The ranges are in order and do not overlap. Each rule of the policy is compared with the
// principal, which takes some milliseconds for 100,000 rules.
func (p *Policy) NameRanges(who *Principal, registry string, actions scope.Actions) []NameRange {
	who = match.OrZero(who)
	facts := who.properties()
	held := make(map[match.Subject]bool, facts.Count())
	for i := range facts.Count() {
		held[facts.Subject(i)] = true
	}
	var ranges []NameRange
	rules := match.OrZero(p).compiled
	for i := range rules {
		r := &rules[i]
		if r.deny || r.actions&(actions|scope.All) == 0 || !slices.ContainsFunc(r.subjects, func(s match.Subject) bool { return held[s] }) ||
			match.TypeOf(r.source.Type) != scope.TypeRepository ||
			len(r.source.Registries) > 0 && !slices.Contains(r.source.Registries, registry) {
			continue
		}
		ranges = appendRanges(ranges, r.source.Names, &facts)
	}
	ranges = mergeRanges(ranges)
	if len(who.Limits) == 0 {
		return ranges
	}
	var limits []NameRange
	for _, l := range who.Limits {
		if match.TypeOf(l.Type) == scope.TypeRepository && l.Actions&(actions|scope.All) != 0 {
			limits = appendRanges(limits, l.Names, &facts)
		}
	}
	return intersectRanges(ranges, mergeRanges(limits))
}

// ClipNames returns the parts of the ranges that can have names with a prefix. The ranges must be
// in order and must not overlap.
func ClipNames(ranges []NameRange, prefix string) []NameRange {
	return intersectRanges(ranges, []NameRange{namesWith(prefix)})
}

// maxBeginnings is the maximum number of literal beginnings of one pattern. A pattern has a
// beginning for each combination of the principal's groups and claims.
const maxBeginnings = 4096

func appendRanges(ranges []NameRange, patterns []string, who *match.Who) []NameRange {
	var buf [match.MaxParts]match.Part
	for _, text := range patterns {
		if parsed, bad := match.Parse(buf[:0], text); bad == nil {
			ranges = appendPatternRanges(ranges, parsed, who)
		}
	}
	return ranges
}

// appendPatternRanges appends the ranges of the names that a pattern matches.
func appendPatternRanges(ranges []NameRange, pattern match.Pattern, who *match.Who) []NameRange {
	beginnings := []string{""}
	for i, part := range pattern {
		values, literal := literals(part, who)
		if !literal || len(values)*len(beginnings) > maxBeginnings {
			before := ""
			if part.Kind == match.Glob {
				before, _, _ = match.CutGlob(part.Text)
			}
			for _, b := range beginnings {
				ranges = append(ranges, namesWith(b+before))
			}
			return ranges
		}
		var next []string
		for _, b := range beginnings {
			for _, value := range values {
				if b += value; i < len(pattern)-1 {
					next = append(next, b+"/")
				} else {
					next = append(next, b)
				}
				b = b[:len(b)-len(value)]
			}
		}
		beginnings = next
	}
	for _, name := range beginnings {
		// no character of a name sorts before "!"
		ranges = append(ranges, NameRange{name, name + "!"})
	}
	return ranges
}

// literals returns the texts that a part of a pattern matches for a principal. It returns false
// if the part can match other texts, too.
func literals(part match.Part, who *match.Who) (values []string, literal bool) {
	switch part.Kind {
	case match.Literal:
		return []string{part.Text}, true
	case match.UserPlaceholder:
		if name, ok := who.UserValue(); ok {
			values = []string{name}
		}
	case match.GroupPlaceholder:
		for i := range who.Count() {
			if s := who.Subject(i); s.Kind == match.Group && match.ValidPart(s.Name) {
				values = append(values, s.Name)
			}
		}
	case match.ClaimPlaceholder:
		for value := range who.Claim(part.Text) {
			if match.ValidPath(value) {
				values = append(values, value)
			}
		}
	default:
		return nil, false
	}
	return values, true
}

// namesWith returns the range of the names that begin with a prefix. If the prefix ends with a
// character that is not ASCII, the range also has other names.
func namesWith(prefix string) NameRange {
	end := strings.TrimRightFunc(prefix, func(c rune) bool { return c >= 0x7f })
	if end == "" {
		return NameRange{}
	}
	last := len(end) - 1
	return NameRange{end, end[:last] + string(rune(end[last]+1))}
}

// mergeRanges returns the ranges in order, without overlaps. It changes the elements of its
// argument.
func mergeRanges(ranges []NameRange) []NameRange {
	slices.SortFunc(ranges, func(a, b NameRange) int { return cmp.Compare(a.From, b.From) })
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && (merged[n-1].To == "" || r.From <= merged[n-1].To) {
			merged[n-1].To = laterEnd(merged[n-1].To, r.To)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// intersectRanges returns the names that are in both lists of ranges. Both lists must be in order,
// without overlaps.
func intersectRanges(a, b []NameRange) (both []NameRange) {
	for len(a) > 0 && len(b) > 0 {
		end := earlierEnd(a[0].To, b[0].To)
		if from := max(a[0].From, b[0].From); end == "" || from < end {
			both = append(both, NameRange{from, end})
		}
		if a[0].To == end {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

func laterEnd(a, b string) string {
	if a == "" || b == "" {
		return ""
	}
	return max(a, b)
}

func earlierEnd(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return min(a, b)
}
