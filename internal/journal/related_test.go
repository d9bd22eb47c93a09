package journal_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestDecisionsAndEventsAreRelated(t *testing.T) {
	storetest.Each(t, testDecisionsAndEventsAreRelated)
}

func testDecisionsAndEventsAreRelated(t *testing.T, d storetest.Database) {
	login := func(p *policy.Principal) string {
		if p.Kind == policy.Robot {
			return "robot+" + p.Name
		}
		return p.Name
	}
	j, _ := open(t, d.Ready(t), journal.Options{Login: login})
	names := map[journal.ID]string{}
	decision := func(name string, at time.Duration, kind policy.Kind, who, remote, repository string, granted scope.Actions) journal.Entry {
		e := journal.Entry{ID: journal.NewID(noon.Add(at)), Time: noon.Add(at), Registry: "r.example.com"}
		names[e.ID] = name
		e.Decision = &journal.Decision{
			Principal: &policy.Principal{Kind: kind, Name: who, Source: "accounts", ID: who}, Credential: "password", Token: e.ID,
			Remote: netip.MustParseAddr(remote), Expires: noon.Add(at + 5*time.Minute),
			Results: []policy.Result{{Asked: scope.Scope{Type: "repository", Name: repository, Actions: granted | scope.Pull}, Granted: granted}},
		}
		return e
	}
	event := func(name string, at time.Duration, action, actor, address, repository string) journal.Entry {
		e := journal.Entry{ID: journal.NewID(noon.Add(at)), Time: noon.Add(at), Registry: "r.example.com", Event: &notification.Event{
			ID: name, Time: noon.Add(at), Action: action, Repository: repository, Actor: actor, Request: notification.Request{Address: address},
		}}
		names[e.ID] = name
		return e
	}
	const here, there = "192.0.2.1", "192.0.2.2"
	entries := []journal.Entry{
		decision("pull only", 0, policy.User, "ann", here, "team/app", scope.Pull),
		decision("from here", time.Minute, policy.User, "ann", here, "team/app", scope.Pull|scope.Push),
		decision("from there", 2*time.Minute, policy.User, "ann", there, "team/app", scope.Pull|scope.Push),
		decision("ci", 2*time.Minute, policy.Robot, "ci", here, "team/app", scope.Pull|scope.Push),
		decision("denied", 3*time.Minute, policy.User, "ann", here, "team/app", 0),
		event("push from here", 3*time.Minute, "push", "ann", here+":4711", "team/app"),
		event("push from there", 3*time.Minute, "push", "ann", there+":4711", "team/app"),
		event("push through a proxy", 3*time.Minute, "push", "ann", "198.51.100.1:80", "team/app"),
		event("push of ci", 3*time.Minute, "push", "robot+ci", here+":1", "team/app"),
		event("push of a user called ci", 3*time.Minute, "push", "ci", here+":1", "team/app"),
		event("push elsewhere", 3*time.Minute, "push", "ann", here+":1", "team/other"),
		event("delete", 3*time.Minute, "delete", "ann", here+":1", "team/app"),
		event("long afterwards", time.Hour, "push", "ann", here+":1", "team/app"),
	}
	other := event("at another registry", 3*time.Minute, "push", "ann", here+":1", "team/app")
	other.Registry = "s.example.com"
	// Any client can cause entries about refused requests for a repository.
	for i := range 1500 {
		e := decision("", 3*time.Minute, policy.Anonymous, "", there, "team/app", 0)
		e.ID = journal.NewID(noon.Add(3*time.Minute + time.Duration(i)*time.Millisecond))
		entries = append(entries, e)
	}
	if err := j.Append(t.Context(), append(entries, other)...); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"from here":            "push from here",
		"from there":           "push through a proxy, push from there",
		"ci":                   "push of ci",
		"push from here":       "from here",
		"push from there":      "from there",
		"push through a proxy": "from there",
		"push of ci":           "ci",
	}
	got := map[string]string{}
	for e, err := range j.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		related, complete, err := j.Related(t.Context(), e)
		if err != nil || !complete {
			t.Fatal(complete, err)
		}
		var list []string
		for _, r := range related {
			list = append(list, names[r.ID])
		}
		if len(list) > 0 {
			got[names[e.ID]] = strings.Join(list, ", ")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
