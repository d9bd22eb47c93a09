package rulebook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/scope"
)

// kill -9 during each write of the rulebook: all or nothing. A process makes every kind of write
// there is, and is killed during each of them in turn. Each write that it saw acknowledged is
// there with its entry in the journal; the one under way is there with its entry, or there is
// nothing of it; and the tables are what the journal tells.
func TestAKilledProcessLeavesWholeWrites(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		acknowledged := make(storetest.Acknowledged)
		for life, n := range rand.Perm(len(kinds)) {
			acknowledged.Kill(t, kinds[n], "RULEBOOK_TEST_URL="+url, fmt.Sprintf("RULEBOOK_TEST_LIFE=%d", life))
			harness := newHarness(t, url) // what is there is a policy
			// Behind whatever a database still does for who is dead: all writes of the rulebook
			// stand in line for the journal's head.
			ok[rulebook.Role](t)(harness.AddRole(t.Context(), operator, "", rulebook.Role{Name: fmt.Sprintf("after%d", life), Actions: scope.Pull}))
			harness.settled(fmt.Sprintf("life %d, killed during %s", life, kinds[n]), acknowledged)
			if t.Failed() {
				return
			}
		}
	})
}

// settled compares what was acknowledged with the journal, and the journal with the tables.
func (d *harness) settled(when string, acknowledged storetest.Acknowledged) {
	d.t.Helper()
	kept := make(map[string][]string)
	told := projection{rules: map[string]*said{}, roles: map[string]*said{}, namespaces: map[string]*area{}, users: map[string]bool{}}
	for entry, err := range d.journal.Read(d.t.Context(), 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		if who := storetest.WorkerOf(entry.Change.Actor, entry.Change.Target); who != "" {
			kept[who] = append(kept[who], entry.Change.Action)
		}
		told.tell(d.t, entry.Change)
	}
	acknowledged.Compare(d.t, when, kept)
	if diff := cmp.Diff(told.lines(), d.lines()); diff != "" {
		d.t.Errorf("%s: what is there (-as the journal tells +as the tables say):\n%s", when, diff)
	}
	if _, err := d.journal.Verify(d.t.Context(), 0); err != nil {
		d.t.Errorf("%s: %v", when, err)
	}
}

// lines is what the tables say, in the words of a story.
func (d *harness) lines() []string {
	var all []string
	for _, query := range []string{
		"SELECT 'rule', id, version, content, '' FROM rulebook_rules",
		"SELECT 'role', id, version, namespace_id || ' ' || name || ' ' || actions, lifetime FROM rulebook_roles",
		"SELECT 'namespace', id, version, name, visibility FROM namespaces",
		"SELECT 'member', namespace_id, 0, subject, role FROM namespace_members",
		"SELECT 'robot', namespace, 0, name, '' FROM accounts WHERE kind = 'robot'",
		"SELECT 'user', '', 0, name, '' FROM accounts WHERE kind = 'user'",
	} {
		rows, err := d.db.Read().QueryContext(d.t.Context(), query)
		if err != nil {
			d.t.Fatal(err)
		}
		for rows.Next() {
			var kind, id, text, more string
			var version int
			if err := rows.Scan(&kind, &id, &version, &text, &more); err != nil {
				d.t.Fatalf("%s: %v", query, err)
			}
			if kind == "rule" {
				var words map[string]any
				if err := json.Unmarshal([]byte(text), &words); err != nil {
					d.t.Fatal(err)
				}
				text = canonical(d.t, words)
			}
			all = append(all, line(kind, id, version, text, more))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			d.t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

func line(kind, id string, version int, text, more string) string {
	return fmt.Sprint(kind, " ", id, " v", version, " ", text, " ", more)
}

func canonical(t testing.TB, words any) string {
	text, err := json.Marshal(words)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// story is what the journal tells of the rulebook: every table could be written anew from it.
type projection struct {
	rules, roles map[string]*said // by id
	namespaces   map[string]*area // by name
	users        map[string]bool
	ids          []string // given so far
}

type said struct {
	version    int
	text, more string
}

type area struct {
	said
	id      string
	members map[string]string // their roles, by subject
	robots  []string
}

func (s *projection) lines() []string {
	var all []string
	for id, r := range s.rules {
		all = append(all, line("rule", id, r.version, r.text, r.more))
	}
	for id, r := range s.roles {
		all = append(all, line("role", id, r.version, r.text, r.more))
	}
	for _, n := range s.namespaces {
		all = append(all, line("namespace", n.id, n.version, n.text, n.more))
		for subject, role := range n.members {
			all = append(all, line("member", n.id, 0, subject, role))
		}
		for _, name := range n.robots {
			all = append(all, line("robot", n.id, 0, name, ""))
		}
	}
	for name := range s.users {
		all = append(all, line("user", "", 0, name, ""))
	}
	slices.Sort(all)
	return all
}

// tell takes one change into the story.
func (s *projection) tell(t testing.TB, c *journal.Change) {
	t.Helper()
	to := func(field string) string { return text(c.To[field]) }
	from := func(field string) string { return text(c.From[field]) }
	given := func(id string) string {
		if id == "" || slices.Contains(s.ids, id) {
			t.Fatalf("%s of %s: the id %q was given before", c.Action, c.Target, id)
		}
		s.ids = append(s.ids, id)
		return id
	}
	n, action := new(area), c.Action
	if s.namespaces[c.Target] != nil {
		n = s.namespaces[c.Target]
	}
	if rest, ok := strings.CutPrefix(action, "namespace."); ok && rest != "add" && rest != "delete" {
		n.version++
		if strings.HasPrefix(rest, "role.") {
			action = rest
		}
	}
	role := func() (text, more string) {
		lifetime, _ := time.ParseDuration(to("lifetime"))
		return n.id + " " + to("role") + " " + to("actions"), fmt.Sprint(lifetime.Milliseconds())
	}
	switch action {
	case "rule.add":
		s.rules[given(to("id"))] = &said{1, canonical(t, c.To["rule"]), ""}
	case "rule.set":
		r := s.rules[to("id")]
		r.version, r.text = r.version+1, canonical(t, c.To["rule"])
	case "rule.delete":
		delete(s.rules, from("id"))
	case "role.add":
		r := &said{version: 1}
		r.text, r.more = role()
		s.roles[given(to("id"))] = r
	case "role.set":
		r := s.roles[to("id")]
		r.version++
		r.text, r.more = role()
	case "role.delete":
		delete(s.roles, from("id"))
	case "namespace.add":
		n = &area{said{1, c.Target, to("visibility")}, given(to("id")), make(map[string]string), nil}
		owners, _ := c.To["owners"].([]any)
		for _, subject := range owners {
			n.members[text(subject)] = rulebook.Owner
		}
		s.namespaces[c.Target] = n
	case "namespace.set":
		n.more = to("visibility")
	case "namespace.member.set":
		n.members[to("member")] = to("role")
	case "namespace.member.remove":
		delete(n.members, from("member"))
	case "namespace.delete":
		delete(s.namespaces, c.Target)
		for id, r := range s.roles {
			if strings.HasPrefix(r.text, n.id+" ") {
				delete(s.roles, id)
			}
		}
		for _, robot := range n.robots {
			s.removeMember("robot:" + robot)
		}
	case "robot.add":
		robot := strings.TrimPrefix(c.Target, "robot+")
		in, _, _ := rulebook.RobotIn(robot)
		s.namespaces[in].robots = append(s.namespaces[in].robots, robot)
	case "user.add":
		s.users[c.Target] = true
	case "user.delete":
		delete(s.users, c.Target)
		s.removeMember("user:" + c.Target)
	default:
		t.Fatalf("the journal tells of %q, which this test does not know", c.Action)
	}
}

// forget ends the memberships of who is no more.
func (s *projection) removeMember(subject string) {
	for _, n := range s.namespaces {
		delete(n.members, subject)
	}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
