package tidewaiter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tidewaiter/tidewaiter"

// house says which rooms each room may import. A room that is not listed does not exist.
var house = map[string][]string{
	".":                               nil,
	"scope":                           {"internal/text"},
	"policy":                          {"internal/dn", "internal/text", "scope"},
	"policy/when":                     {"internal/dn", "internal/text", "policy"},
	"rules":                           {"internal/config", "internal/ruleset", "policy"},
	"token":                           {"internal/strictjson", "internal/text", "policy", "scope"},
	"tokenserver":                     {"internal/secret", "internal/text", "policy", "scope", "token"},
	"notification":                    {"internal/text"},
	"internal/dn":                     nil,
	"internal/text":                   nil,
	"internal/text/texttest":          nil,
	"internal/strictjson":             nil,
	"internal/await":                  nil,
	"internal/loopback":               nil,
	"internal/manual":                 nil,
	"internal/secret":                 nil,
	"internal/clock":                  nil,
	"internal/clock/clocktest":        nil,
	"internal/store":                  nil,
	"internal/fairqueue":              nil,
	"internal/cache":                  nil,
	"internal/password":               {"internal/cache", "internal/fairqueue"},
	"internal/ratelimit":              nil,
	"internal/ratelimit/ratestore":    {"internal/ratelimit", "internal/store"},
	"internal/identity":               {"internal/ratelimit", "internal/secret", "policy"},
	"internal/identity/htpasswd":      {"internal/identity", "internal/password", "policy"},
	"internal/identity/accounts":      {"internal/identity", "internal/journal", "internal/password", "internal/ratelimit", "internal/ratelimit/ratestore", "internal/rulebook", "internal/secret", "internal/store", "policy", "scope"},
	"internal/identity/external":      {"internal/identity", "policy", "scope"},
	"internal/identity/ldap":          {"internal/dn", "internal/fairqueue", "internal/identity", "internal/ratelimit", "policy"},
	"internal/identity/oidc":          {"internal/identity", "internal/strictjson", "policy"},
	"internal/keyring":                {"token"},
	"internal/journal":                {"internal/secret", "internal/store", "notification", "policy", "scope"},
	"internal/rulebook":               {"internal/dn", "internal/journal", "internal/ruleset", "internal/store", "policy", "policy/when", "scope"},
	"internal/issuer":                 {"internal/identity", "internal/journal", "internal/keyring", "internal/secret", "policy", "scope", "token"},
	"internal/ruleset":                {"policy", "policy/when", "scope"},
	"internal/config":                 {"internal/manual", "internal/ruleset", "policy", "policy/when", "scope", "token"},
	"internal/dockerauth":             {"internal/config", "internal/dn", "internal/ruleset", "policy", "policy/when", "scope", "token"},
	"internal/setup":                  {"internal/identity/htpasswd", "internal/password", "token"},
	"internal/server":                 {"internal/identity", "internal/issuer", "internal/journal", "internal/keyring", "internal/secret", "internal/store", "notification", "policy", "scope", "token", "tokenserver"},
	"internal/api":                    {"internal/identity", "internal/identity/accounts", "internal/issuer", "internal/journal", "internal/rulebook", "internal/ruleset", "internal/secret", "internal/server", "internal/store", "policy", "scope"},
	"internal/app":                    all,
	"cmd/tidewaiter":                  all,
	"internal/store/storetest":        {"internal/store"},
	"internal/identity/identitytest":  {"internal/identity", "policy"},
	"internal/identity/ldap/ldaptest": {"internal/loopback"},
}

// all is for those who put the house together.
var all = []string{"*"}

// everywhere are the rooms that every other may import.
var everywhere = []string{"internal/clock", "internal/text"}

// public rooms are for other programs, too: standard library only, no I/O, no goroutine, no clock.
var public = []string{"scope", "policy", "token", "notification"}

// endpoint is what a public package may import beside that which answers HTTP.
var endpoint = map[string][]string{"tokenserver": {"context", "log/slog", "net/http", "sync"}}

// seesConfig are the rooms that may know what a configuration looks like.
var seesConfig = []string{"internal/app", "internal/dockerauth", "cmd/tidewaiter", "rules"}

// speaksHTTP are the rooms that may answer HTTP.
var speaksHTTP = []string{"internal/server", "internal/api", "tokenserver"}

// forTests are rooms that only tests may import.
var forTests = []string{"internal/await", "internal/loopback", "internal/store/storetest", "internal/identity/identitytest", "internal/identity/ldap/ldaptest", "internal/text/texttest"}

// source is a Go file of a room, tests left out.
type source struct {
	room, name string
	file       *ast.File
	set        *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); path != "." && err == nil {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found = append(found, source{filepath.ToSlash(filepath.Dir(path)), path, file, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (s source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func TestRoomsImportOnlyWhatTheTableSays(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.room, "bench") || strings.HasPrefix(s.room, "examples") {
			continue // programs of their own
		}
		may, ok := house[s.room]
		if !ok {
			t.Errorf("%s: the room %s is not in the table of house_test.go", s.name, s.room)
			continue
		}
		for _, path := range s.imports() {
			room, ours := strings.CutPrefix(path, module+"/")
			if !ours || slices.Contains(may, "*") || slices.Contains(may, room) || slices.Contains(everywhere, room) && !slices.Contains(public, s.room) {
				continue
			}
			t.Errorf("%s imports %s; the table lets %s import %v", s.name, room, s.room, may)
		}
	}
}

func TestWhatIsForTestsIsImportedByTests(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.room, "bench") {
			continue // it starts real servers, as tests do
		}
		for _, path := range s.imports() {
			if room := strings.TrimPrefix(path, module+"/"); slices.Contains(forTests, room) && !slices.Contains(forTests, s.room) {
				t.Errorf("%s imports %s, which is for tests", s.name, room)
			}
		}
	}
}

func TestOnlyTheWiringSeesConfig(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(s.imports(), module+"/internal/config") && !slices.Contains(seesConfig, s.room) {
			t.Errorf("%s imports internal/config: a room takes its own Options", s.name)
		}
	}
}

func TestOnlyTheServerAnswersHTTP(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(speaksHTTP, s.room) || strings.HasPrefix(s.room, "bench") || strings.HasPrefix(s.room, "examples") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isIdent(sel.X, "http") && sel.Sel.Name == "ResponseWriter" {
				t.Errorf("%s: http.ResponseWriter outside the server", s.set.Position(n.Pos()))
			}
			return true
		})
	}
}

func TestPublicRoomsAreLibrariesOfPureFunctions(t *testing.T) {
	forbidden := []string{"os", "io/ioutil", "net", "net/http", "log", "log/slog", "context", "sync", "os/exec", "syscall", "database/sql"}
	clocks := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}
	for _, s := range sources(t) {
		if !slices.Contains(public, s.room) && endpoint[s.room] == nil {
			continue
		}
		for _, path := range s.imports() {
			if slices.Contains(forbidden, path) && !slices.Contains(endpoint[s.room], path) || strings.Contains(path, ".") && !strings.HasPrefix(path, module) {
				t.Errorf("%s imports %s: a public room does no I/O and needs the standard library alone", s.name, path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a public room starts no goroutine", s.set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if isIdent(n.X, "time") && slices.Contains(clocks, n.Sel.Name) {
					t.Errorf("%s: a public room reads no clock (time.%s)", s.set.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// Programs that embed Tidewaiter begin from the examples, so each of those needs public packages alone.
func TestExamplesNeedPublicPackagesAlone(t *testing.T) {
	programs := 0
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.room, "examples/") {
			continue
		}
		programs++
		for _, path := range s.imports() {
			if strings.HasPrefix(path, module+"/internal/") {
				t.Errorf("%s imports %s, which other programs cannot", s.name, path)
			}
		}
	}
	if programs < 5 {
		t.Errorf("%d programs are in examples: the test does not look right", programs)
	}
}

// measured are the places that may call time.Now, because they measure how long something takes from one moment to the next.
var measured = map[string]string{
	"internal/clock/clock.go":                "it is where the wall's time comes from",
	"internal/identity/throttle.go":          "its own clock; it compares numbers of the wall's time",
	"internal/identity/ldap/sign_in.go":      "how long a bind takes",
	"internal/identity/ldap/failover.go":     "how long a connection is in use",
	"internal/identity/ldap/dummy.go":        "how long a bind would take",
	"internal/identity/external/external.go": "how long an answer takes",
	"internal/identity/ldap/ldaptest":        "certificates of tests",
	"internal/password/password.go":          "how long a hash takes",
	"internal/store/server.go":               "a deadline for the network, which is a moment from now",
	"internal/rulebook/load.go":              "how long a policy takes to be made",
	"internal/rulebook/turn.go":              "how long a policy takes to be made",
	"internal/rulebook/versions.go":          "a period since the last time, in one process",
	"internal/app/follow.go":                 "a period since the last try, in one process",
}

// Times that are kept and compared mean the wall's time. A package takes it from internal/clock: a clock that is passed in by
// clock.Wall, the time of now by clock.Now. time.Now has a monotonic reading, which stands still while a machine sleeps and counts
// before the wall's time when two times are compared.
func TestTimesAreOfTheWall(t *testing.T) {
	clocks, walls := make(map[string]string), make(map[string]bool)
	for _, s := range sources(t) {
		if strings.HasPrefix(s.room, "bench") || strings.HasPrefix(s.room, "examples") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if isIdent(n.X, "time") && n.Sel.Name == "Now" && measured[s.name] == "" && measured[s.room] == "" {
					t.Errorf("%s: time.Now has a monotonic reading: use clock.Wall for a clock that is passed in, clock.Now for the time", s.set.Position(n.Pos()))
				}
				if isIdent(n.X, "clock") && n.Sel.Name == "Wall" {
					walls[s.room] = true
				}
			case *ast.TypeSpec:
				options, ok := n.Type.(*ast.StructType)
				if !ok || !strings.HasSuffix(n.Name.Name, "Options") || measured[s.name] != "" {
					return true
				}
				for _, f := range options.Fields.List {
					if _, isFunc := f.Type.(*ast.FuncType); isFunc && len(f.Names) == 1 && f.Names[0].Name == "Now" {
						clocks[s.room] = s.set.Position(f.Pos()).String()
					}
				}
			}
			return true
		})
	}
	for room, at := range clocks {
		if !walls[room] {
			t.Errorf("%s: %s takes a clock and does not pass it through clock.Wall", at, room)
		}
	}
	if len(clocks) < 10 {
		t.Errorf("%d packages take a clock: the test does not look right", len(clocks))
	}
}

// showsItself are the places that may look at characters themselves, and why.
var showsItself = map[string]string{
	"internal/config/problem.go":        "a line is cut on both sides of its caret",
	"policy/when/printed.go":            "a value in a value in a value is left out",
	"internal/setup/registry.go":        "a list is shortened, and no text of it",
	"internal/identity/oidc/require.go": "it stands for the rest of a value of a platform",
	"notification/summary.go":           "a digest is shortened as container tools do",
}

// What strangers send is made safe to print in one place. Twenty functions used to do it, each with
// rules of its own. Some let characters pass that turn a line around, or cut a character in two.
func TestOnlyTextMakesTextSafeToPrint(t *testing.T) {
	forbidden := map[string][]string{
		"unicode": {"IsPrint", "IsGraphic", "IsControl"},
		"utf8":    {"RuneStart"},
		"strings": {"ToValidUTF8"},
		"bytes":   {"ToValidUTF8"},
		"strconv": {"IsPrint", "IsGraphic", "Quote", "AppendQuote", "QuoteToASCII", "AppendQuoteToASCII", "QuoteToGraphic", "AppendQuoteToGraphic", "QuoteRune", "AppendQuoteRune"},
	}
	used := map[string]bool{}
	for _, s := range sources(t) {
		if s.room == "internal/text" || strings.HasPrefix(s.room, "bench") || strings.HasPrefix(s.room, "examples") {
			continue
		}
		report := func(n ast.Node, what string) {
			used[s.name] = true
			if showsItself[s.name] == "" {
				t.Errorf("%s: %s: use internal/text", s.set.Position(n.Pos()), what)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				for name, functions := range forbidden {
					if isIdent(n.X, name) && slices.Contains(functions, n.Sel.Name) {
						report(n, name+"."+n.Sel.Name)
					}
				}
			case *ast.BasicLit:
				if n.Value == `"…"` {
					report(n, "text is shortened")
				}
			}
			return true
		})
	}
	for name := range showsItself {
		if !used[name] {
			t.Errorf("%s does not look at characters, and need not be listed", name)
		}
	}
}

func TestNobodyPanicsOrExits(t *testing.T) {
	for _, s := range sources(t) {
		if s.room == "cmd/tidewaiter" && strings.HasSuffix(s.name, "main.go") || strings.HasPrefix(s.room, "bench") || strings.HasPrefix(s.room, "examples") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			bad := isIdent(call.Fun, "panic")
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				bad = isIdent(sel.X, "os") && sel.Sel.Name == "Exit" || isIdent(sel.X, "log") && strings.HasPrefix(sel.Sel.Name, "Fatal")
			}
			if bad {
				t.Errorf("%s: only main may end the process", s.set.Position(n.Pos()))
			}
			return true
		})
	}
}

// Harbor CVE-2023-20902: a secret was compared byte by byte, and the time told how many were right. Where secrets meet, they are
// compared by subtle.ConstantTimeCompare, or by the password's hash; only whether there is one may be asked.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	comparing := map[string][]string{"bytes": {"Equal", "Compare"}, "strings": {"EqualFold", "Compare"}, "slices": {"Equal", "Compare"}}
	for _, s := range sources(t) {
		if strings.HasPrefix(s.room, "bench") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (reveals(n.X) && !isEmptyText(n.Y) || reveals(n.Y) && !isEmptyText(n.X)) {
					t.Errorf("%s: a secret is compared by %s", s.set.Position(n.Pos()), n.Op)
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				for room, funcs := range comparing {
					if isIdent(sel.X, room) && slices.Contains(funcs, sel.Sel.Name) && slices.ContainsFunc(n.Args, reveals) {
						t.Errorf("%s: a secret is compared by %s.%s", s.set.Position(n.Pos()), room, sel.Sel.Name)
					}
				}
			}
			return true
		})
	}
}

// reveals says whether an expression has the text of a secret for its value.
func reveals(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return reveals(e.X)
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok {
			return sel.Sel.Name == "Reveal"
		}
		if _, conversion := e.Fun.(*ast.ArrayType); conversion || isIdent(e.Fun, "string") {
			return len(e.Args) == 1 && reveals(e.Args[0])
		}
	}
	return false
}

func isEmptyText(e ast.Expr) bool {
	text, ok := e.(*ast.BasicLit)
	return ok && text.Value == `""`
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// A test that measures time, or lets some pass, fails on a busy machine. Instead, count steps, wait with
// internal/await, or use testing/synctest, where the clock is exact. These functions are the exceptions.
var mayTakeTime = map[string]string{
	"internal/keyring/keyring_test.go sleep":          "it is called in bubbles",
	"internal/identity/ldap/ldaptest/ldaptest.go run": "a tick between two looks, whose number is bounded",
	"internal/store/storetest/kill.go Kill":           "when a process is killed is chance",
	"e2e/process/process.go Stop":                           "a program that does not heed SIGTERM is killed",
}

func TestTestsTakeNoTime(t *testing.T) {
	used := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (path != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !slices.Contains((source{file: file}).imports(), "testing") {
			return nil
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := filepath.ToSlash(path) + " " + f.Name.Name
			for _, taken := range timesTaken(f) {
				if mayTakeTime[name] == "" {
					t.Errorf("%s: a test takes time (%s)", set.Position(taken.Pos()), name)
				}
				used[name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range mayTakeTime {
		if !used[name] {
			t.Errorf("%s takes no time, and need not be listed", name)
		}
	}
}

// timesTaken returns the expressions of a function that measure the time or let some pass, outside of a bubble.
func timesTaken(f *ast.FuncDecl) (found []ast.Expr) {
	passing := []string{"Sleep", "Since", "Until", "After", "AfterFunc", "NewTimer", "Tick"}
	comparing := []string{"Sub", "Before", "After", "Compare"} // of a time.Time; with time.Now() it is elapsed time
	ast.Inspect(f, func(n ast.Node) bool {
		if c, ok := n.(*ast.BinaryExpr); ok && slices.Contains([]token.Token{token.LSS, token.LEQ, token.GTR, token.GEQ}, c.Op) && (readsNow(c.X) || readsNow(c.Y)) {
			found = append(found, c)
			return false
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		switch {
		case !ok:
		case isIdent(sel.X, "synctest"):
			return false
		case isIdent(sel.X, "time"):
			if slices.Contains(passing, sel.Sel.Name) {
				found = append(found, call)
			}
		case slices.Contains(comparing, sel.Sel.Name) && (isNow(sel.X) || slices.ContainsFunc(call.Args, isNow)):
			found = append(found, call)
		}
		return true
	})
	return found
}

// readsNow reports whether time.Now() is a part of the expression.
func readsNow(e ast.Expr) (reads bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		part, ok := n.(ast.Expr)
		reads = reads || ok && isNow(part)
		return !reads
	})
	return reads
}

func isNow(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && isIdent(sel.X, "time") && sel.Sel.Name == "Now"
}
