package catalog_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// fill appends pushes: for each of n repositories, one push for each of the tags.
func fill(b *testing.B, f *fixture, n, tags int) {
	var entries []journal.Entry
	for i := range n * tags {
		name := fmt.Sprintf("team-%d/app-%d", i%n/100, i%n)
		e := notification.Event{
			ID: fmt.Sprint("e", i), Time: noon.Add(time.Duration(i) * time.Millisecond), Action: "push", Repository: name, Tag: fmt.Sprint("v", i/n), Actor: "robot+ci",
			Digest: fmt.Sprintf("sha256:%064x", i), MediaType: imageType, Size: int64(500 + i%1000),
		}
		for k := range 5 {
			e.References = append(e.References, notification.Descriptor{Digest: fmt.Sprintf("sha256:%064x", i*8+k), Size: int64(1000 * k)})
		}
		entries = append(entries, journal.Entry{Time: noon.Add(time.Hour), Registry: registry, Event: &e})
		if len(entries) == 1000 || i == n*tags-1 {
			if err := f.journal.Append(context.Background(), entries...); err != nil {
				b.Fatal(err)
			}
			entries = entries[:0]
		}
	}
}

// BenchmarkApply reads 20,000 pushes.
func BenchmarkApply(b *testing.B) {
	f := open(b, storetest.SQLite().Ready(b), 0)
	fill(b, f, 2000, 10)
	for b.Loop() {
		if err := f.set.Rebuild(context.Background()); err != nil {
			b.Fatal(err)
		}
		f.catchUp()
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	size, err := f.set.Size(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/20_000, "bytes/entry")
}

// allowedFilter is the Filter of a principal.
type allowedFilter struct {
	policy *policy.Policy
	who    *policy.Principal
}

func (a allowedFilter) Ranges(registry string) []policy.NameRange {
	return a.policy.NameRanges(a.who, registry, scope.Pull)
}

func (a allowedFilter) Sees(registry, name string) bool {
	d := a.policy.Decide(&policy.Request{
		Principal: a.who, Registry: registry, Scopes: []scope.Scope{{Type: scope.TypeRepository, Name: name, Actions: scope.Pull}},
	})
	return d.Results[0].Granted.Has(scope.Pull)
}

// BenchmarkPage reads a page of 100 repositories. There are 100,000 repositories and 100,000
// rules. The principals may see all repositories, three repositories, the repositories of 200
// groups, or one repository of each team.
func BenchmarkPage(b *testing.B) {
	f := open(b, storetest.SQLite().Ready(b), 0)
	fill(b, f, 100_000, 1)
	f.catchUp()
	rules := []policy.Rule{
		{Name: "all", Subjects: []string{"user:all"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "three", Subjects: []string{"user:three"}, Names: []string{"team-1/app-123", "team-500/app-50001", "team-999/app-99999"}, Actions: scope.Pull},
		{Name: "sparse", Subjects: []string{"user:sparse"}, Names: []string{"*/app-*77"}, Actions: scope.Pull},
	}
	for i := range 100_000 {
		rules = append(rules, policy.Rule{
			Name: fmt.Sprint("r", i), Subjects: []string{fmt.Sprintf("group:g%d", i)}, Names: []string{fmt.Sprintf("team-%d/**", i)}, Actions: scope.Pull | scope.Push,
		})
	}
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		b.Fatal(err)
	}
	var groups []string
	for i := range 200 {
		groups = append(groups, fmt.Sprintf("g%d", i*5))
	}
	for _, name := range []string{"all", "three", "groups", "sparse", "nothing"} {
		who := &policy.Principal{Kind: policy.User, Name: name}
		if name == "groups" {
			who.Groups = groups
		}
		who = who.Indexed()
		for _, sort := range []catalog.Sort{catalog.ByName, catalog.ByPush, catalog.BySize} {
			b.Run(name+"/"+string(sort), func(b *testing.B) {
				rows := 0
				for b.Loop() {
					r, err := catalog.New(f.set, f.definition).Read(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					page, _, err := r.Repositories(context.Background(), catalog.Query{Sort: sort, Filter: allowedFilter{p, who}, Page: admin.Page{Limit: 100}})
					if err != nil {
						b.Fatal(err)
					}
					rows = len(page)
					r.Close()
				}
				b.ReportMetric(float64(rows), "rows")
			})
		}
	}
}
