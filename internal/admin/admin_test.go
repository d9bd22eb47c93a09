package admin_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A caller that follows the cursors gets each item once.
func TestPagesAreTheWholeList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := make([]int, rapid.IntRange(0, 30).Draw(t, "items"))
		for i := range all {
			all[i] = i + 1
		}
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		var got []int
		for page := (admin.Page{Limit: limit}); ; {
			after, _ := strconv.Atoi(page.After)
			items, next := admin.Cut(all[after:], page, func(i *int) string { return strconv.Itoa(*i) })
			if len(items) > limit {
				t.Fatalf("a page of %d has %d items", limit, len(items))
			}
			if got = append(got, items...); next == "" {
				break
			}
			page.After = next
		}
		if !slices.Equal(got, all) {
			t.Errorf("pages of %d: %v", limit, got)
		}
	})
}

func TestPageSizeIsBounded(t *testing.T) {
	for limit, want := range map[int]int{-1: 1, 0: 100, 1: 1, 1000: 1000, 1001: 1000} {
		if got := (admin.Page{Limit: limit}).Size(); got != want {
			t.Errorf("limit %d: %d items", limit, got)
		}
	}
}

func TestForceIsForOperators(t *testing.T) {
	ann := admin.Actor{Principal: &policy.Principal{Kind: policy.User, Name: "ann"}}
	for _, tt := range []struct {
		by     admin.Actor
		name   string
		forces bool
	}{
		{admin.Operator("root"), "operator:root", false},
		{admin.Operator("root").WithForce(), "operator:root", true},
		{ann.WithForce(), "user:ann", false},
		{admin.Actor{}.WithForce(), "nobody", false},
	} {
		if tt.by.String() != tt.name || tt.by.Forces() != tt.forces {
			t.Errorf("%s forces: %t", tt.by, tt.by.Forces())
		}
	}
}

// A comparison of versions is not enough, because an object that is deleted and added again has
// version 1 again.
func TestActorChangesOnlyWhatItHasSeen(t *testing.T) {
	for _, tt := range []struct {
		seenID      string
		seenVersion int64
		want        error
	}{
		{"", 0, nil},
		{"a", 0, nil},
		{"", 3, nil},
		{"a", 3, nil},
		{"b", 3, admin.ErrChanged},
		{"a", 2, admin.ErrChanged},
	} {
		if err := (admin.Actor{Seen: tt.seenID}).CheckSeen("a", 3, tt.seenVersion); !errors.Is(err, tt.want) {
			t.Errorf("seen %q, version %d: %v", tt.seenID, tt.seenVersion, err)
		}
	}
}

func TestChangesOfAccountsRequireUnrestrictedCredentials(t *testing.T) {
	r, err := admin.NewRights(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	user := func(limits []policy.Limit, groups ...string) *policy.Principal {
		return (&policy.Principal{Kind: policy.User, Name: "ann", Source: "accounts", ID: "1", Groups: groups, Limits: limits}).Indexed()
	}
	all := []policy.Limit{{Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read | scope.Write}}
	bob := user(nil)
	for _, tt := range []struct {
		what   string
		by     *policy.Principal
		target *policy.Principal
		want   error
	}{
		{"a user", user(nil), bob, admin.ErrForbidden},
		{"an auditor", user(nil, admin.Auditors), bob, admin.ErrForbidden},
		{"an administrator", user(nil, admin.Administrators), user(nil, admin.Administrators), nil},
		{"an administrator's restricted token", user(all, admin.Administrators), bob, admin.ErrRestricted},
	} {
		by := admin.Actor{Principal: tt.by, Remote: netip.MustParseAddr("192.0.2.1")}
		if err := r.MayChange(by, tt.target); !errors.Is(err, tt.want) {
			t.Errorf("%s changes %v: %v", tt.what, tt.target.Groups, err)
		}
	}
}

func TestErrorsSayWhatWasDone(t *testing.T) {
	do := func(fail error) (err error) {
		defer admin.Wrap(&err, "adding %q", "50%")
		return fail
	}
	if err := do(nil); err != nil {
		t.Error(err)
	}
	err := do(fmt.Errorf("%w, in the files", admin.ErrExists))
	if err == nil || err.Error() != `adding "50%": it exists already, in the files` || !errors.Is(err, admin.ErrExists) {
		t.Errorf("%v", err)
	}
	for _, err := range []error{admin.Requires(admin.RightPolicy, scope.Write), admin.ErrRestricted, admin.Forbidden("no")} {
		if !errors.Is(err, admin.ErrForbidden) || errors.Is(err, admin.ErrExists) {
			t.Errorf("%v matches another error than ErrForbidden", err)
		}
	}
}
