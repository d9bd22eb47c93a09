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

	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The test kills a process (SIGKILL) during each kind of write. Each acknowledged write must be
// stored with its journal entry. The write in progress must be stored with its entry, or not at
// all. The tables must agree with the journal.
func TestKilledProcessLeavesWholeWrites(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		acknowledged := make(storetest.Acknowledged)
		for life, n := range rand.Perm(len(kinds)) {
			acknowledged.Kill(t, url, kinds[n], life)
			harness := newHarness(t, url) // fails if the stored rules do not compile
			// The database may still be working for the killed process. All writes wait for the
			// lock on the journal's head, so this write runs after the last write of the killed
			// process.
			must[rulebook.Role](t)(harness.AddRole(t.Context(), operator, "", rulebook.Role{Name: fmt.Sprintf("after%d", life), Actions: scope.Pull}))
			harness.checkTables(fmt.Sprintf("life %d, killed during %s", life, kinds[n]), acknowledged)
			if t.Failed() {
				return
			}
		}
	})
}

// checkTables compares the acknowledged writes with the journal, and the journal with the tables.
func (d *harness) checkTables(when string, acknowledged storetest.Acknowledged) {
	d.t.Helper()
	p := projection{rules: map[string]*storedContent{}, roles: map[string]*storedContent{}, namespaces: map[string]*namespaceRow{}, users: map[string]bool{}}
	accountstest.Check{
		Journal: d.journal, Acknowledged: acknowledged, WorkerOf: accountstest.WorkerOf, Apply: p.apply, Want: p.lines, Tables: d.lines,
	}.Run(d.t, when)
}

// lines returns the contents of the tables in the form of projection.lines.
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

// projection is the content of the rulebook that follows from the journal.
type projection struct {
	rules, roles map[string]*storedContent // by id
	namespaces   map[string]*namespaceRow  // by name
	users        map[string]bool
	ids          []string // ids of all objects so far, also of deleted objects
}

type storedContent struct {
	version    int
	text, more string
}

type namespaceRow struct {
	storedContent
	id      string
	members map[string]string // roles of the members, by subject
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

// apply applies a change of the journal.
func (s *projection) apply(t testing.TB, c *journal.Change) {
	t.Helper()
	to := func(field string) string { return text(c.To[field]) }
	from := func(field string) string { return text(c.From[field]) }
	newID := func(id string) string {
		if id == "" || slices.Contains(s.ids, id) {
			t.Fatalf("%s of %s: the id %q was used before", c.Action, c.Target, id)
		}
		s.ids = append(s.ids, id)
		return id
	}
	n, action := new(namespaceRow), c.Action
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
		s.rules[newID(to("id"))] = &storedContent{1, canonical(t, c.To["rule"]), ""}
	case "rule.set":
		r := s.rules[to("id")]
		r.version, r.text = r.version+1, canonical(t, c.To["rule"])
	case "rule.delete":
		delete(s.rules, from("id"))
	case "role.add":
		r := &storedContent{version: 1}
		r.text, r.more = role()
		s.roles[newID(to("id"))] = r
	case "role.set":
		r := s.roles[to("id")]
		r.version++
		r.text, r.more = role()
	case "role.delete":
		delete(s.roles, from("id"))
	case "namespace.add":
		n = &namespaceRow{storedContent{1, c.Target, to("visibility")}, newID(to("id")), make(map[string]string), nil}
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
		t.Fatalf("the journal has the action %q, which this test does not know", c.Action)
	}
}

// removeMember removes the memberships of a deleted subject.
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
