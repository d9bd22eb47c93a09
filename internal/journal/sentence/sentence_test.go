package sentence_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/sentence"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

type side = map[string]any

func TestSummariesOfChangesNameWhatHappened(t *testing.T) {
	rule := func(fields side) side { return side{"id": "1", "rule": fields} }
	before := side{"name": "devs", "subjects": []any{"group:devs", "user:ann"}, "repositories": []any{"team/**"}, "actions": []any{"pull"}, "lifetime": 300_000_000_000}
	for _, tt := range []struct {
		action, target string
		from, to       side
		want           string
	}{
		{"user.add", "bob", nil, side{"id": "1", "password": "argon2id", "groups": []string{"devs", "ops"}, "via": "password"}, "user bob added, in groups devs, ops"},
		{"user.add", "bob", nil, side{"id": "1", "expires": "2026-12-24T00:00:00Z"}, "user bob added, until 2026-12-24T00:00:00Z"},
		{"user.disable", "bob", side{"disabled": false}, side{"disabled": true, "refresh_revoked": 0, "sessions_ended": 2}, "user bob disabled, sessions ended: 2"},
		{"user.expiry", "bob", side{"expires": "never"}, side{"expires": "2026-12-24T00:00:00Z"}, "expiry of user bob changed from never to 2026-12-24T00:00:00Z"},
		{"user.allow", "bob", nil, side{"from": "192.0.2.0/24"}, "user bob may sign in from 192.0.2.0/24 while sign-ins are rate limited"},
		{"user.delete", "bob", side{"id": "1", "groups": nil, "tokens": 0}, nil, "user bob deleted"},
		{"user.delete", "bob", side{"id": "1", "groups": []string{"ops"}, "tokens": 3}, nil, "user bob deleted, was in groups ops, tokens revoked: 3"},
		{"robot.rotate", "robot+ci", side{"secret": "1"}, side{"secret": "2", "until": "2026-11-24T12:00:00Z"}, "secret of robot+ci replaced, the previous one is valid until 2026-11-24T12:00:00Z"},
		{"group.join", "ops", nil, side{"member": "bob", "id": "1"}, "bob joined group ops"},
		{"group.leave", "ops", nil, side{"member": "robot+ci", "id": "1"}, "robot+ci left group ops"},
		{"group.delete", "ops", side{"id": "1", "members": 4}, nil, "group ops deleted, with members: 4"},
		{"token.add", "user:bob", nil, side{"id": "1", "name": "laptop", "expires": "2026-12-24T00:00:00Z", "limits": []string{"pull on team/**"}},
			`access token laptop issued for user:bob, until 2026-12-24T00:00:00Z, restricted to "pull on team/**"`},
		{"token.revoke-all", "user:bob of ldap", side{"use": "refresh", "revoked": 2}, nil, `tokens of "user:bob of ldap" revoked: 2, of the kind refresh`},
		{"refresh.add", "user:bob", nil, side{"registry": "r", "client": "docker/28"}, "refresh token issued for user:bob at r, for the client docker/28"},
		{"role.add", "cleaner", nil, side{"role": "cleaner", "actions": "pull,delete"}, "role cleaner added with pull,delete"},
		{"role.set", "cleaner", side{"role": "cleaner", "actions": "pull"}, side{"role": "cleaner", "actions": "pull,delete", "lifetime": "5m0s"},
			"role cleaner changed: actions from pull to pull,delete; lifetime from none to 5m0s"},
		{"namespace.role.set", "team", side{"role": "cleaner", "actions": "pull"}, side{"role": "cleaner", "actions": "delete"},
			"role cleaner of namespace team changed: actions from pull to delete"},
		{"namespace.add", "team", nil, side{"visibility": "private", "owners": []string{"user:ann"}}, "namespace team added, private, with owners user:ann"},
		{"namespace.set", "team", side{"visibility": "private"}, side{"visibility": "public"}, "visibility of namespace team changed from private to public"},
		{"namespace.member.set", "team", nil, side{"member": "user:bob", "role": "writer"}, "user:bob joined namespace team as writer"},
		{"namespace.member.set", "team", side{"role": "reader"}, side{"member": "user:bob", "role": "writer"}, "role of user:bob in namespace team changed from reader to writer"},
		{"namespace.member.remove", "team", side{"member": "user:bob", "role": "writer"}, nil, "user:bob left namespace team, was writer"},
		{"rule.add", "freeze", nil, rule(side{"effect": "deny", "repositories": []any{"prod/**"}, "actions": []any{"push", "delete"}, "when": `now.hour() > 18`}),
			`rule freeze added: deny push, delete on prod/** for anyone if "now.hour() > 18"`},
		{"rule.add", "list", nil, rule(side{"catalog": true, "subjects": []any{"group:ops"}, "actions": []any{"*"}, "registries": []any{"r"}, "lifetime": 60_000_000_000}),
			`rule list added: allow * on the catalog for group:ops at r, tokens for at most 1m`},
		{"rule.add", "audit", nil, rule(side{"tidewaiter": []any{"journal"}, "subjects": []any{"robot:siem"}, "actions": []any{"read"}}),
			`rule audit added: allow read on tidewaiter:journal for robot:siem`},
		{"rule.set", "devs", rule(before), rule(side{"name": "team", "effect": "deny", "subjects": []any{"group:devs", "user:bob"}, "repositories": []any{"team/**"}, "role": "writer"}),
			"rule devs changed: name from devs to team; effect from allow to deny; subjects: added user:bob, removed user:ann; role from none to writer; " +
				"actions from pull to none; lifetime from 5m to none"},
		{"rule.set", "devs", rule(side{"effect": "allow", "subjects": []any{"b", "a"}, "actions": []any{"pull"}}), rule(side{"subjects": []any{"a", "b"}, "actions": []any{"pull"}}),
			"rule devs changed: subjects: another order"},
		{"rule.delete", "devs", rule(before), nil, "rule devs deleted: allow pull on team/** for group:devs, user:ann, tokens for at most 5m"},
		{"policy.load", "policy/one.yaml", side{"policy": "1"}, side{"rules": 12, "added": []string{"a", "b", "c", "d", "e", "f", "g"}, "removed": []string{"z"}, "policy": "2", "in_force": "2"},
			"rules of policy/one.yaml came into force, 12 in all, added a, b, c, d, e and 2 more, removed z"},
		{"policy.load", "files", side{"policy": "1"}, side{"rules": 12, "reordered": true}, "rules of files came into force, 12 in all, in another order"},
		{"journal.lost", "journal", nil, side{"entries": int64(7)}, "entries lost: 7"},
		{"journal.remove", "journal", nil, side{"event": side{"entries": 7, "before": "2026-11-01T00:00:00Z"}, "decision": side{"entries": 5, "before": "2026-10-01T00:00:00Z"}},
			"entries removed by retention: 5 decision before 2026-10-01T00:00:00Z, 7 event before 2026-11-01T00:00:00Z"},
		{"user.password", "bob", nil, nil, "password of user bob set"},
		{"group.join", "ops", nil, nil, `"" joined group ops`},
	} {
		want := "change " + tt.action + " by user:ann: " + tt.want
		written := journal.Change{Actor: "user:ann", Action: tt.action, Target: tt.target, From: tt.from, To: tt.to}
		stored := written
		stored.From, stored.To = storeAndRead(t, tt.from), storeAndRead(t, tt.to)
		for _, c := range []*journal.Change{&written, &stored} {
			if got := (journal.Entry{Change: c}).Summary(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	}
	unknown := journal.Entry{Change: &journal.Change{Actor: "user:ann", Action: "moon.land", Target: "x"}}
	if got := unknown.Summary(); got != "change moon.land of x by user:ann" {
		t.Error(got)
	}
}

// storeAndRead returns a map in the form that it has after it was written to a block and read
// back.
func storeAndRead(t *testing.T, m side) (read side) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestSummariesOfChangesAreOneShortHarmlessLine(t *testing.T) {
	for action, template := range sentence.Sentences {
		for _, h := range texttest.All {
			all, rule := side{}, side{}
			for _, part := range strings.Split(template, "{")[1:] {
				key, _, _ := strings.Cut(part, "}")
				all[strings.TrimPrefix(key, "from.")] = slices.Repeat([]string{h.Text}, 9)
			}
			all["rule"] = rule
			other := side{}
			for _, field := range []string{"name", "effect", "subjects", "repositories", "tidewaiter", "role", "actions", "when", "lifetime", "comment"} {
				rule[field], other[field] = slices.Repeat([]any{h.Text}, 9), h.Text
			}
			for _, maps := range [][2]side{{all, all}, {all, {"rule": other}}, {{"rule": other}, all}} {
				e := journal.Entry{Change: &journal.Change{Action: action, Actor: h.Text, Target: h.Text, From: maps[0], To: maps[1]}}
				if s := e.Summary(); !text.Printable(s) || len(s) > 4000 {
					t.Errorf("%s, %s: %d bytes: %q", action, h.Harm, len(s), s)
				}
			}
		}
	}
}

// Every change that a package writes has a sentence, and every sentence belongs to such a change.
func TestEveryActionHasASentence(t *testing.T) {
	// The possible values of the computed parts of actions.
	computed := map[string][]string{
		"r.Kind.String()":   {"user", "robot"},
		"string(t.Purpose)": {"access", "robot", "refresh", "session"},
	}
	never := []string{
		"access.add", "robot.add", // string(t.Purpose) + ".add", for tokens of a sign-in
		"user.rotate", "robot.password",
		"policy.refuse", // only in old journals
	}
	actions := map[string]string{} // with the place where each is written
	for _, f := range repository(t) {
		constants := map[string]string{}
		ast.Inspect(f.file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
				if text, ok := v.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
					constants[v.Names[0].Name], _ = strconv.Unquote(text.Value)
				}
			}
			return true
		})
		ast.Inspect(f.file, func(n ast.Node) bool {
			value := actionOf(n)
			if value == nil {
				return true
			}
			at := f.set.Position(value.Pos()).String()
			switch v := value.(type) {
			case *ast.BasicLit:
				name, _ := strconv.Unquote(v.Value)
				if strings.Contains(name, ".") {
					actions[name] = at
				}
				switch f.pkg {
				case "accounts", "credentials": // accounts.alter adds the kind
					if !strings.Contains(name, ".") {
						for _, kind := range computed["r.Kind.String()"] {
							actions[kind+"."+name] = at
						}
					}
				case "rulebook": // changeRole adds "namespace."
					if strings.HasPrefix(name, "role.") {
						actions["namespace."+name] = at
					}
				}
			case *ast.Ident:
				if constants[v.Name] == "" {
					t.Errorf("%s: the action %s is not a constant of the file", at, v.Name)
				}
				actions[constants[v.Name]] = at
			case *ast.BinaryExpr:
				left, right := printed(f.set, v.X), printed(f.set, v.Y)
				suffix, err := strconv.Unquote(right)
				switch {
				case err == nil && computed[left] != nil:
					for _, kind := range computed[left] {
						actions[kind+suffix] = at
					}
				case left == `"namespace."`, left == `r.Kind.String()+"."`, left == `r.Kind.String() + "."`:
				default:
					t.Errorf("%s: add the possible values of %s + %s to this test", at, left, right)
				}
			default:
				t.Errorf("%s: this test cannot compute the action %s", at, printed(f.set, value))
			}
			return true
		})
	}
	for _, name := range slices.Sorted(maps.Keys(actions)) {
		if sentence.Sentences[name] == "" && !slices.Contains(never, name) {
			t.Errorf("%s: the action %s has no sentence", actions[name], name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sentence.Sentences)) {
		if actions[name] == "" && !slices.Contains(never, name) {
			t.Errorf("no package writes the action %s: remove its sentence, or list it here if old journals have it", name)
		}
	}
	if len(actions) < 40 {
		t.Errorf("%d actions: the test may be wrong", len(actions))
	}
}

// actionOf returns the action of a Change that a node of the syntax tree creates, or nil.
func actionOf(n ast.Node) ast.Expr {
	isChange := func(e ast.Expr) bool {
		if s, ok := e.(*ast.SelectorExpr); ok {
			return s.Sel.Name == "Change"
		}
		name, ok := e.(*ast.Ident)
		return ok && name.Name == "Change"
	}
	switch n := n.(type) {
	case *ast.CompositeLit:
		if !isChange(n.Type) {
			return nil
		}
		for _, field := range n.Elts {
			if kv, ok := field.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Action" {
				return kv.Value
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			s, ok := left.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Action" || len(n.Rhs) != len(n.Lhs) {
				continue
			}
			if of, ok := s.X.(*ast.Ident); ok && (of.Name == "change" || of.Name == "note") {
				return n.Rhs[i]
			}
		}
	}
	return nil
}

func printed(set *token.FileSet, e ast.Expr) string {
	var b bytes.Buffer
	_ = printer.Fprint(&b, set, e) // cannot fail
	return b.String()
}

type sourceFile struct {
	pkg  string
	set  *token.FileSet
	file *ast.File
}

// repository returns the files of the repository below internal, without tests.
func repository(t *testing.T) (files []sourceFile) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err == nil {
			files = append(files, sourceFile{file.Name.Name, set, file})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
