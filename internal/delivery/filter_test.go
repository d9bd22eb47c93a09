package delivery_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestFilters(t *testing.T) {
	push := journal.Entry{Event: &notification.Event{Action: "push", Repository: "team/app"}}
	mount := journal.Entry{Event: &notification.Event{Action: "mount", Repository: "other/app", FromRepository: "team/app"}}
	pull := journal.Entry{Decision: &journal.Decision{Results: []policy.Result{{Asked: scope.Scope{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Pull}}}}}
	catalog := journal.Entry{Decision: &journal.Decision{Results: []policy.Result{{Asked: scope.Scope{Type: scope.TypeRegistry, Name: "catalog", Actions: scope.All}}}}}
	member := journal.Entry{Change: &journal.Change{Action: "namespace.member.set", Target: "team"}}
	user := journal.Entry{Change: &journal.Change{Action: "user.add", Target: "team"}}
	start := journal.Entry{Service: &journal.Service{Action: "service.start"}}
	text := journal.Entry{Text: []byte("x")}
	all := []*journal.Entry{&push, &mount, &pull, &catalog, &member, &user, &start, &text}
	for _, tt := range []struct {
		about   string
		filter  delivery.Filter
		matches []*journal.Entry
	}{
		{"nothing", delivery.Filter{}, all},
		{"a kind", delivery.Filter{Kinds: []journal.Kind{journal.KindEvent}}, []*journal.Entry{&push, &mount}},
		{"kinds", delivery.Filter{Kinds: []journal.Kind{journal.KindChange, journal.KindService}}, []*journal.Entry{&member, &user, &start}},
		{"an action of events", delivery.Filter{Actions: []string{"push"}}, []*journal.Entry{&push}},
		{"an action of decisions", delivery.Filter{Actions: []string{"pull"}}, []*journal.Entry{&pull}},
		{"actions of changes and the service", delivery.Filter{Actions: []string{"user.add", "service.start"}}, []*journal.Entry{&user, &start}},
		{"a pattern", delivery.Filter{Repositories: []string{"team/**"}}, []*journal.Entry{&push, &mount, &pull}},
		{"a name", delivery.Filter{Repositories: []string{"other/app"}}, []*journal.Entry{&mount}},
		{"a longer name", delivery.Filter{Repositories: []string{"team/app2", "eam/app", "team"}}, nil},
		{"a namespace", delivery.Filter{Namespaces: []string{"team"}}, []*journal.Entry{&push, &mount, &pull, &member}},
		{"the beginning of a namespace", delivery.Filter{Namespaces: []string{"tea"}}, nil},
		{"a namespace or a pattern", delivery.Filter{Namespaces: []string{"other"}, Repositories: []string{"team/*"}}, []*journal.Entry{&push, &mount, &pull}},
		{"all fields", delivery.Filter{Kinds: []journal.Kind{journal.KindEvent}, Actions: []string{"push"}, Repositories: []string{"other/**"}}, nil},
	} {
		var got []*journal.Entry
		for _, e := range all {
			if delivery.Matches(tt.filter, e) {
				got = append(got, e)
			}
		}
		if len(got) != len(tt.matches) {
			t.Errorf("%s: %d entries match, want %d", tt.about, len(got), len(tt.matches))
			continue
		}
		for i := range got {
			if got[i] != tt.matches[i] {
				t.Errorf("%s: %s matches, want %s", tt.about, got[i].Summary(), tt.matches[i].Summary())
			}
		}
	}
}
