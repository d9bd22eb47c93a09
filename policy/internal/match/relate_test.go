package match_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
)

// relate reports whether one pattern contains another, and whether they overlap. If one of the
// patterns is invalid, ok is false.
func relate(outer, inner string) (contains, overlaps, ok bool) {
	p, bad := match.Parse(nil, outer)
	q, worse := match.Parse(nil, inner)
	if bad != nil || worse != nil {
		return false, false, false
	}
	return p.Contains(q), p.Overlaps(q), true
}

func matches(pattern, name string, who *policy.Principal) bool {
	var path match.Path
	return path.Cut(name) && match.Any([]string{pattern}, &path, &match.Who{
		Kind: match.SubjectKind(who.Kind), Name: who.Name, Groups: who.Groups, Claims: who.Claims,
	})
}

// The results of Contains and Overlaps are correct for every name.
func TestPatternsContainAndOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			p, q, name, who := policygen.DrawPattern(t), policygen.DrawPattern(t), policygen.DrawName(t), policygen.DrawPrincipal(t)
			if rapid.Bool().Draw(t, "made") {
				name = policygen.DrawMatch(t, q)
			}
			contains, meets, ok := relate(p, q)
			if !ok {
				continue
			}
			inP := matches(p, name, who)
			inQ := matches(q, name, who)
			if contains && inQ && !inP {
				t.Errorf("%s contains %s, but only the second matches %s", p, q, name)
			}
			if !meets && inP && inQ {
				t.Errorf("%s and %s do not overlap, but both match %s", p, q, name)
			}
		}
	})
}

func TestPatternsContain(t *testing.T) {
	for _, tt := range []struct {
		outer, inner    string
		contains, meets bool
	}{
		{"**", "a/b", true, true},
		{"**", "**", true, true},
		{"a/**", "a", false, true}, // not decided exactly
		{"a/**", "a/b", true, true},
		{"a/**", "a/*/b", true, true},
		{"a/**", "a/**/b", true, true},
		{"a/*", "a/**", false, true},
		{"a/*", "a/${user}", true, true},
		{"*/app", "team-*/app", true, true},
		{"team-*", "team-a*", false, true},
		{"team-*", "dev-*", false, false},
		{"a/**/b", "a/b", true, true},
		{"a/**/b", "a/x/y/b", true, true},
		{"**/b", "a/**", false, true},
		{"${claims.x}/b", "a/c/b", false, true},
		{"*", "${claims.x}", false, true}, // a claim can be several parts
		{"a/*", "a/${claims.x}", false, true},
		{"*/b", "${claims.x}/b", false, true},
		{"**", "${claims.x}", true, true},
		{"a/**", "a/${claims.x}", true, true},
		{"${claims.x}", "${claims.x}", true, true},
		{"${claims.x}", "${claims.y}", false, true},
		{"${user}", "${claims.x}", false, true},
	} {
		contains, meets, ok := relate(tt.outer, tt.inner)
		if !ok || contains != tt.contains || meets != tt.meets {
			t.Errorf("%s and %s: contains %v, want %v; meets %v, want %v", tt.outer, tt.inner, contains, tt.contains, meets, tt.meets)
		}
	}
}
