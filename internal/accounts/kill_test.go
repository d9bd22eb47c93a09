package accounts_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// killCount returns the number of times that the test kills a process. Set ACCOUNTS_TEST_KILLS=200
// for a long run.
func killCount(t *testing.T) int {
	n, err := strconv.Atoi(cmpOr(os.Getenv("ACCOUNTS_TEST_KILLS"), "4"))
	if err != nil || n < 1 {
		t.Fatalf("ACCOUNTS_TEST_KILLS: %v", err)
	}
	return n
}

func cmpOr(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// A process makes all kinds of writes, and kill -9 kills it during a write. Each acknowledged
// write must be stored with its journal entry. The write in progress must be stored with its
// entry, or not at all. The tables must agree with the journal.
func TestKilledProcessLeavesWholeWrites(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		acknowledged := make(storetest.Acknowledged)
		lives := killCount(t)
		order := rand.Perm(len(kinds))
		for life := range lives {
			during := kinds[order[life%len(kinds)]]
			acknowledged.Kill(t, url, during, life)
			h := newHarness(t, url)
			// The database server can still be executing a statement of the killed process. All
			// writes of accounts wait for the lock on the journal's head, so this write runs
			// after that statement.
			if _, err := h.AddGroup(t.Context(), operator, fmt.Sprintf("after%d", life)); err != nil {
				t.Fatal(err)
			}
			h.checkTables(fmt.Sprintf("life %d, killed during %s", life, during), acknowledged)
			if t.Failed() {
				return
			}
		}
	})
}

// checkTables compares the acknowledged writes with the journal, and the journal with the tables.
func (h *harness) checkTables(when string, acknowledged storetest.Acknowledged) {
	h.T.Helper()
	p := projection{accounts: map[string]*accountRow{}, groups: map[string]*groupRow{}, tokens: map[string]*tokenRow{}}
	// In each process, only the first worker issues setup secrets. The journal entries of these
	// writes do not name the worker. The worker adds a group first, so the entry of the group
	// names the worker.
	setter := "l0w0"
	workerOf := func(c *journal.Change) string {
		who := accountstest.WorkerOf(c)
		if strings.HasSuffix(who, "w0") {
			setter = who
		}
		if c.Action == "setup.offer" {
			return setter
		}
		return who
	}
	accountstest.Check{
		Journal: h.Journal, Acknowledged: acknowledged, WorkerOf: workerOf, Apply: p.apply, Want: p.lines, Tables: h.lines,
	}.Run(h.T, when)
}

// lines returns the contents of the tables in the same form as projection.lines. Times have a
// precision of one second.
func (h *harness) lines() []string {
	var all []string
	expiry := func(ms int64) string {
		if ms == 0 {
			return "never"
		}
		return time.UnixMilli(ms).UTC().Format(time.RFC3339)
	}
	for query, line := range map[string]func(*sql.Rows) (string, error){
		"SELECT id, kind, name, disabled, expires, hash FROM accounts": func(r *sql.Rows) (string, error) {
			var id, kind, name, hash string
			var disabled, expires int64
			err := r.Scan(&id, &kind, &name, &disabled, &expires, &hash)
			switch {
			case strings.HasPrefix(hash, "$argon2id$"):
				hash = "argon2id"
			case hash != "":
				hash = "bcrypt"
			}
			if kind == "robot" {
				name = "robot+" + name
			}
			return fmt.Sprintf("account %s %s disabled:%t expires:%s %s", id, name, disabled != 0, expiry(expires), hash), err
		},
		"SELECT g.name FROM account_groups g": func(r *sql.Rows) (name string, err error) {
			err = r.Scan(&name)
			return "group " + name, err
		},
		"SELECT g.name, m.account_id FROM account_members m LEFT JOIN account_groups g ON g.id = m.group_id": func(r *sql.Rows) (string, error) {
			var group, id string // scanning fails for a member whose group does not exist
			err := r.Scan(&group, &id)
			return fmt.Sprintf("member %s %s", group, id), err
		},
		"SELECT id, purpose, owner_id, parent, expires FROM account_tokens": func(r *sql.Rows) (string, error) {
			var id, use, owner, parent string
			var expires int64
			err := r.Scan(&id, &use, &owner, &parent, &expires)
			return fmt.Sprintf("token %s %s of:%s with:%s expires:%s", id, use, owner, parent, expiry(expires)), err
		},
		"SELECT expires FROM account_setup": func(r *sql.Rows) (string, error) {
			var expires int64
			err := r.Scan(&expires)
			return "setup secret expires:" + expiry(expires), err
		},
	} {
		rows, err := h.DB.Read().QueryContext(context.Background(), query)
		if err != nil {
			h.T.Fatal(err)
		}
		for rows.Next() {
			text, err := line(rows)
			if err != nil {
				h.T.Fatalf("%s: %v", query, err)
			}
			all = append(all, text)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			h.T.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

// projection is the content of the tables that follows from the journal.
type projection struct {
	accounts     map[string]*accountRow // by id
	groups       map[string]*groupRow   // by name
	tokens       map[string]*tokenRow   // by id
	setupSecrets []string
	ids          []string // ids assigned so far
}

type accountRow struct {
	login, hash, expires string
	disabled             bool
}

type groupRow struct{ members []string }

type tokenRow struct{ use, owner, parent, expires string }

func (s *projection) lines() []string {
	var all []string
	for id, p := range s.accounts {
		all = append(all, fmt.Sprintf("account %s %s disabled:%t expires:%s %s", id, p.login, p.disabled, p.expires, p.hash))
	}
	for name, g := range s.groups {
		all = append(all, "group "+name)
		for _, id := range g.members {
			all = append(all, fmt.Sprintf("member %s %s", name, id))
		}
	}
	for id, p := range s.tokens {
		all = append(all, fmt.Sprintf("token %s %s of:%s with:%s expires:%s", id, p.use, p.owner, p.parent, p.expires))
	}
	for _, expires := range s.setupSecrets {
		all = append(all, "setup secret expires:"+expires)
	}
	slices.Sort(all)
	return all
}

// apply applies one change.
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
	id, who := s.find(c.Target)
	switch kind, action, _ := strings.Cut(c.Action, "."); {
	case action == "add" && (kind == "user" || kind == "robot"):
		id := newID(to("id"))
		s.accounts[id] = &accountRow{login: c.Target, hash: to("password"), expires: cmpOr(to("expires"), "never")}
		groups, _ := c.To["groups"].([]any)
		for _, name := range groups {
			s.join(text(name), id)
		}
		if kind == "robot" {
			s.tokens[newID(to("secret"))] = &tokenRow{use: "robot", owner: id, expires: "never"}
		}
		if strings.HasPrefix(c.Actor, "operator:setup") {
			s.setupSecrets = nil
		}
	case c.Action == "setup.offer":
		s.setupSecrets = append(s.setupSecrets, to("expires"))
	case c.Action == "group.add":
		newID(to("id"))
		s.groups[c.Target] = &groupRow{}
	case c.Action == "group.join":
		s.join(c.Target, to("id"))
	case c.Action == "group.leave":
		g := s.groups[c.Target]
		g.members = slices.DeleteFunc(g.members, func(id string) bool { return id == to("id") })
	case c.Action == "group.delete":
		if n := len(s.groups[c.Target].members); text(c.From["members"]) != strconv.Itoa(n) {
			t.Errorf("deleting %s: %v members, want %d", c.Target, c.From["members"], n)
		}
		delete(s.groups, c.Target)
	case action == "rehash":
		who.hash = to("password")
	case action == "password":
		who.hash = to("password")
		s.removeTokens(id, "refresh")
		s.removeTokens(id, "session")
	case action == "expiry":
		who.expires = to("expires")
	case action == "disable":
		who.disabled = true
		s.removeTokens(id, "refresh")
		s.removeTokens(id, "session")
	case action == "enable":
		who.disabled = false
	case action == "delete":
		delete(s.accounts, id)
		s.removeTokens(id, "")
		for _, g := range s.groups {
			g.members = slices.DeleteFunc(g.members, func(member string) bool { return member == id })
		}
	case action == "rotate":
		for secret, p := range s.tokens {
			switch {
			case p.use != "robot" || p.owner != id:
			case secret == from("secret"):
				s.expire(secret, to("until"))
			default:
				s.revoke(secret)
			}
		}
		s.tokens[newID(to("secret"))] = &tokenRow{use: "robot", owner: id, expires: "never"}
	case action == "add": // token, refresh, session
		use := kind
		if kind == "token" {
			use = "access"
		}
		s.tokens[newID(to("id"))] = &tokenRow{use: use, owner: to("owner_id"), parent: to("parent"), expires: cmpOr(to("expires"), "never")}
	case action == "revoke":
		s.revoke(from("id"))
	case action == "revoke-all":
		id, _ := s.find(strings.TrimPrefix(c.Target, "user:"))
		s.removeTokens(id, from("use"))
	default:
		t.Fatalf("the journal has the action %q, which this test does not know", c.Action)
	}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (s *projection) find(login string) (string, *accountRow) {
	for id, p := range s.accounts {
		if p.login == login {
			return id, p
		}
	}
	return "", nil
}

// join adds a member. Administrators and Auditors may be missing in s.groups, because setup and
// the first join create these groups.
func (s *projection) join(group, id string) {
	g := s.groups[group]
	if g == nil {
		g = &groupRow{}
		s.groups[group] = g
	}
	g.members = append(g.members, id)
}

// removeTokens removes an owner's tokens that have the given purpose. If the purpose is "", it
// removes all tokens of the owner.
func (s *projection) removeTokens(owner, use string) {
	for id, p := range s.tokens {
		if p.owner == owner && (use == "" || p.use == use) {
			delete(s.tokens, id)
		}
	}
}

// revoke removes a token and its descendants.
func (s *projection) revoke(id string) {
	delete(s.tokens, id)
	for child, p := range s.tokens {
		if p.parent == id {
			s.revoke(child)
		}
	}
}

// expire limits the expiry of a token and its descendants to the given time.
func (s *projection) expire(id, expiry string) {
	if p := s.tokens[id]; p.expires == "never" || p.expires > expiry {
		p.expires = expiry
	}
	for child, p := range s.tokens {
		if p.parent == id {
			s.expire(child, expiry)
		}
	}
}
