package tidewaiter

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tidewaiter/tidewaiter"

// mayImport lists the packages that each package may import. Every package must be listed.
var mayImport = map[string][]string{
	".":                               nil,
	"scope":                           {"internal/text"},
	"policy":                          {"internal/dn", "internal/text", "policy/internal/claim", "policy/internal/match", "scope"},
	"policy/ask":                      {"internal/text", "policy", "policy/internal/match", "scope"},
	"policy/when":                     {"internal/dn", "internal/text", "policy", "policy/ask"},
	"policy/internal/claim":           nil,
	"policy/internal/match":           {"internal/dn", "internal/text", "policy/internal/claim", "scope"},
	"policy/internal/policygen":       {"policy", "scope"},
	"rules":                           {"internal/policyfile", "internal/ruleset", "internal/strictyaml", "policy"},
	"token":                           {"internal/strictjson", "internal/text", "policy", "scope"},
	"tokenserver":                     {"internal/secret", "internal/text", "policy", "scope", "token"},
	"notification":                    {"internal/text"},
	"internal/dn":                     nil,
	"internal/text":                   nil,
	"internal/text/texttest":          nil,
	"internal/strictjson":             nil,
	"internal/loglimit":               nil,
	"internal/await":                  nil,
	"internal/loopback":               nil,
	"internal/manual":                 nil,
	"internal/secret":                 nil,
	"internal/clock":                  nil,
	"internal/clock/clocktest":        nil,
	"internal/store":                  {"internal/endpoint"},
	"internal/fairqueue":              nil,
	"internal/cache":                  nil,
	"internal/endpoint":               nil,
	"internal/password":               {"internal/cache", "internal/fairqueue"},
	"internal/ratelimit":              nil,
	"internal/ratelimit/ratestore":    {"internal/ratelimit", "internal/store"},
	"internal/identity":               {"internal/ratelimit", "internal/secret", "policy"},
	"internal/identity/anyone":        {"internal/identity", "internal/identity/username", "policy"},
	"internal/identity/chain":         {"internal/identity", "internal/identity/anyone", "internal/identity/sourcename", "internal/identity/username", "internal/ratelimit", "internal/secret", "policy"},
	"internal/identity/setting":       nil,
	"internal/identity/sourcename":    nil,
	"internal/identity/username":      {"policy"},
	"internal/identity/htpasswd":      {"internal/identity", "internal/identity/username", "internal/password", "policy"},
	"internal/admin":                  {"internal/identity/sourcename", "internal/journal", "internal/store", "policy", "scope"},
	"internal/credentials":            {"internal/admin", "internal/cache", "internal/identity", "internal/identity/sourcename", "internal/journal", "internal/password", "internal/secret", "internal/store", "policy", "scope"},
	"internal/accounts":               {"internal/admin", "internal/credentials", "internal/identity", "internal/identity/chain", "internal/identity/username", "internal/journal", "internal/password", "internal/ratelimit", "internal/ratelimit/ratestore", "internal/rulebook", "internal/ruleset", "internal/secret", "internal/store", "policy", "scope"},
	"internal/identity/hook":          {"internal/endpoint", "internal/identity", "internal/identity/setting", "internal/identity/sourcename", "internal/identity/username", "policy", "scope"},
	"internal/identity/ldap":          {"internal/cache", "internal/dn", "internal/endpoint", "internal/fairqueue", "internal/identity", "internal/identity/setting", "internal/identity/username", "internal/ratelimit", "policy"},
	"internal/identity/oidc":          {"internal/cache", "internal/endpoint", "internal/identity", "internal/identity/setting", "internal/identity/username", "internal/strictjson", "policy"},
	"internal/keyring":                {"token"},
	"internal/journal/tree":           nil,
	"internal/journal/export":         {"internal/journal", "policy", "scope"},
	"internal/durable":                nil,
	"internal/notekey":                {"internal/durable"},
	"internal/notekey/notekeytest":    {"internal/notekey"},
	"internal/journal/checkpoint":     {"internal/journal/tree", "internal/store"},
	"internal/witness":                {"internal/durable", "internal/journal/tree"},
	"internal/journal/retention":      nil,
	"internal/journal/index":          nil,
	"internal/journal/sentence":       nil,
	"internal/journal/dedup":          {"internal/store"},
	"internal/journal":                {"internal/journal/checkpoint", "internal/journal/dedup", "internal/journal/index", "internal/journal/retention", "internal/journal/sentence", "internal/journal/tree", "internal/secret", "internal/store", "notification", "policy", "scope"},
	"internal/projection":             {"internal/journal", "internal/store"},
	"internal/catalog":                {"internal/admin", "internal/journal", "internal/projection", "internal/store", "notification", "policy"},
	"internal/delivery/signature":     nil,
	"internal/delivery":               {"internal/admin", "internal/delivery/signature", "internal/endpoint", "internal/journal", "internal/store", "policy", "scope"},
	"internal/reconcile":              {"internal/admin", "internal/catalog", "internal/journal", "internal/registryapi"},
	"internal/manifests":              {"internal/admin", "internal/catalog", "internal/journal", "internal/registryapi"},
	"internal/registryapi":            {"internal/endpoint", "internal/keyring", "scope", "token"},
	"internal/search":                 {"internal/journal", "internal/journal/index", "internal/projection", "internal/store", "policy"},
	"internal/rulebook":               {"internal/admin", "internal/dn", "internal/journal", "internal/ruleset", "internal/store", "policy", "policy/when", "scope"},
	"internal/advice":                 {"internal/journal", "policy", "policy/ask", "scope"},
	"internal/replay":                 {"internal/identity/sourcename", "internal/journal", "internal/secret", "policy", "policy/ask", "scope"},
	"internal/issuer":                 {"internal/identity", "internal/identity/chain", "internal/identity/username", "internal/journal", "internal/keyring", "internal/ratelimit", "internal/secret", "policy", "policy/ask", "scope", "token"},
	"internal/ruleset":                {"internal/secret", "policy", "policy/when", "scope"},
	"internal/strictyaml":             nil,
	"internal/policyfile":             {"internal/ruleset", "internal/strictyaml", "policy", "policy/ask", "policy/when", "scope"},
	"internal/config":                 {"internal/delivery/signature", "internal/endpoint", "internal/identity", "internal/journal/retention", "internal/manual", "internal/policyfile", "internal/ruleset", "internal/strictyaml", "policy", "policy/when", "scope", "token"},
	"internal/dockerauth":             {"internal/config", "internal/dn", "internal/endpoint", "internal/ruleset", "internal/strictyaml", "policy", "policy/when", "scope", "token"},
	"internal/setup":                  {"internal/durable", "internal/endpoint", "internal/identity", "internal/identity/htpasswd", "internal/password", "token"},
	"internal/server":                 {"internal/endpoint", "internal/identity", "internal/issuer", "internal/journal", "internal/journal/checkpoint", "internal/keyring", "internal/ratelimit", "internal/secret", "internal/store", "notification", "policy", "scope", "token", "tokenserver"},
	"internal/explain":                {"internal/accounts", "internal/admin", "internal/identity", "internal/identity/chain", "internal/identity/username", "internal/issuer", "internal/journal", "internal/rulebook", "policy", "policy/ask", "scope"},
	"internal/leak":                   {"internal/admin", "internal/credentials", "internal/explain", "internal/identity", "internal/journal", "internal/secret", "scope", "token"},
	"internal/policydiff":             {"internal/explain", "internal/rulebook", "internal/ruleset", "policy"},
	"internal/api":                    {"internal/accounts", "internal/admin", "internal/catalog", "internal/credentials", "internal/delivery", "internal/explain", "internal/identity", "internal/identity/sourcename", "internal/identity/username", "internal/issuer", "internal/journal", "internal/journal/tree", "internal/journal/export", "internal/leak", "internal/policydiff", "internal/ratelimit", "internal/rulebook", "internal/ruleset", "internal/secret", "internal/server", "internal/strictjson", "notification", "policy", "policy/ask", "scope"},
	"internal/logging":                {"internal/journal", "internal/secret"},
	"internal/marker":                 {"internal/config", "internal/durable", "internal/store"},
	"internal/sources":                {"internal/accounts", "internal/admin", "internal/config", "internal/dn", "internal/identity", "internal/identity/anyone", "internal/identity/chain", "internal/identity/hook", "internal/identity/htpasswd", "internal/identity/ldap", "internal/identity/oidc", "internal/identity/setting", "internal/password", "internal/ratelimit", "internal/strictyaml", "policy", "policy/when"},
	"internal/offline":                {"internal/config", "internal/policyfile", "internal/accounts", "internal/admin", "internal/credentials", "internal/journal", "internal/marker", "internal/password", "internal/rulebook", "internal/sources", "internal/store", "policy", "policy/when"},
	"internal/doctor":                 {"internal/config", "internal/policyfile", "internal/strictyaml", "internal/dn", "internal/accounts", "internal/admin", "internal/identity/htpasswd", "internal/identity/ldap", "internal/keyring", "internal/marker", "internal/notekey", "internal/offline", "internal/rulebook", "internal/sources", "internal/store", "policy", "token"},
	"internal/memory":                 nil,
	"internal/policytest":             {"internal/explain", "internal/policyfile", "policy/ask"},
	"internal/app":                    allPackages,
	"cmd/tidewaiter":                  allPackages,
	"internal/store/storetest":        {"internal/store"},
	"internal/identity/identitytest":  {"internal/identity", "internal/identity/chain", "policy"},
	"internal/accounts/accountstest":  allPackages,
	"internal/identity/ldap/ldaptest": {"internal/loopback"},
}

// allPackages stands for every package. It is for packages that connect the other packages.
var allPackages = []string{"*"}

// importableByAll lists the packages that every other package may import.
var importableByAll = []string{"internal/clock", "internal/loglimit", "internal/text"}

// publicPackages lists the packages for other programs. They use only the standard library, and no
// I/O, goroutines or clocks.
var publicPackages = []string{"scope", "policy", "policy/ask", "policy/internal/claim", "policy/internal/match", "token", "notification"}

// endpointImports lists the packages of the standard library that a public package may import in
// addition, because it serves HTTP.
var endpointImports = map[string][]string{"tokenserver": {"context", "log/slog", "net/http", "sync"}}

// mayImportConfig lists the packages that may import internal/config.
var mayImportConfig = []string{"internal/app", "internal/doctor", "internal/dockerauth", "internal/marker", "internal/offline", "internal/sources", "cmd/tidewaiter"}

// mayServeHTTP lists the packages that may serve HTTP.
var mayServeHTTP = []string{"internal/server", "internal/api", "internal/witness", "tokenserver"}

// forTests lists the packages that only tests may import.
var forTests = []string{"internal/await", "internal/clock/clocktest", "internal/loopback", "internal/store/storetest", "internal/identity/identitytest", "internal/accounts/accountstest", "internal/identity/ldap/ldaptest", "internal/notekey/notekeytest", "internal/text/texttest", "policy/internal/policygen"}

// source is a parsed Go file that is not a test.
type source struct {
	pkg, name string
	file      *ast.File
	set       *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); path != "." && err == nil {
				return filepath.SkipDir // another module
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
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

// longAPI lists the packages that may exceed maxAPI, each with its own maximum number of lines
// in go doc -short.
var longAPI = map[string]int{"policy": 35, "internal/api": 35}

// maxAPI is the maximum number of lines that go doc -short prints for a package.
const maxAPI = 24

// If the API of a package needs more than a screen, the package probably has more than one
// purpose.
func TestAPIsFitOnAScreen(t *testing.T) {
	files, set := map[string][]*ast.File{}, new(token.FileSet)
	for _, s := range sources(t) {
		files[s.pkg], set = append(files[s.pkg], s.file), s.set
	}
	for pkg, of := range files {
		d, err := doc.NewFromFiles(set, of, module+"/"+pkg)
		if err != nil {
			t.Fatal(err)
		}
		lines := len(d.Consts) + len(d.Vars) + len(d.Funcs) + len(d.Types)
		for _, declared := range d.Types {
			lines += len(declared.Consts) + len(declared.Vars) + len(declared.Funcs)
		}
		if limit := max(maxAPI, longAPI[pkg]); lines > limit {
			t.Errorf("go doc -short prints %d lines for %s, the limit is %d", lines, pkg, limit)
		}
	}
}

// scripts/test must use the race detector for every package that has locks or starts goroutines.
func TestPackagesWithGoroutinesRunUnderTheRaceDetector(t *testing.T) {
	script, err := os.ReadFile("scripts/test")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^concurrent='(.*)'$`).FindSubmatch(script)
	if found == nil {
		t.Fatal("scripts/test has no line concurrent='…'")
	}
	concurrent := regexp.MustCompile(string(found[1]))
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.pkg, "internal/") || concurrent.MatchString("/"+s.pkg) || slices.Contains(forTests, s.pkg) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine: add %s to concurrent in scripts/test", s.set.Position(n.Pos()), s.pkg)
			case *ast.SelectorExpr:
				from, ok := n.X.(*ast.Ident)
				if ok && (from.Name == "sync" && !strings.HasPrefix(n.Sel.Name, "Once") || from.Name == "atomic") {
					t.Errorf("%s: %s.%s: add %s to concurrent in scripts/test", s.set.Position(n.Pos()), from.Name, n.Sel.Name, s.pkg)
				}
			}
			return true
		})
	}
}

// scripts/test does not run some tests with the race detector. Each name in its list must be the
// name of a test.
func TestUnracedTestsExist(t *testing.T) {
	script, err := os.ReadFile("scripts/test")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(script), "<<-tests\n")
	list, _, found := strings.Cut(list, "\ntests\n")
	if !found {
		t.Fatal("scripts/test has no list of tests")
	}
	missing := strings.Fields(list)
	err = filepath.WalkDir("internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		missing = slices.DeleteFunc(missing, func(name string) bool {
			return strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)")
		})
		return err
	})
	if err != nil || len(missing) > 0 {
		t.Errorf("scripts/test names tests that do not exist: %v, %v", missing, err)
	}
}

// If a hash takes little memory, its password can be guessed quickly, so only tests compute such
// hashes.
func TestOnlyTestsSetTheMemoryOfAPasswordHash(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(forTests, s.pkg) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if field, ok := n.(*ast.KeyValueExpr); ok {
				if name, ok := field.Key.(*ast.Ident); ok && name.Name == "HashMemory" {
					t.Errorf("%s sets HashMemory", s.set.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.pkg, "examples") {
			continue // separate programs
		}
		may, ok := mayImport[s.pkg]
		if !ok {
			t.Errorf("%s: add package %s to the table in architecture_test.go", s.name, s.pkg)
			continue
		}
		for _, path := range s.imports() {
			pkg, ours := strings.CutPrefix(path, module+"/")
			if !ours || slices.Contains(may, "*") || slices.Contains(may, pkg) || slices.Contains(importableByAll, pkg) && !slices.Contains(publicPackages, s.pkg) {
				continue
			}
			t.Errorf("%s imports %s; the table lets %s import %v", s.name, pkg, s.pkg, may)
		}
	}
}

func TestPackagesForTestsAreOnlyImportedByTests(t *testing.T) {
	for _, s := range sources(t) {
		for _, path := range s.imports() {
			if pkg := strings.TrimPrefix(path, module+"/"); slices.Contains(forTests, pkg) && !slices.Contains(forTests, s.pkg) {
				t.Errorf("%s imports %s, which is for tests", s.name, pkg)
			}
		}
	}
}

func TestConfigIsOnlyImportedByTheWiring(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(s.imports(), module+"/internal/config") && !slices.Contains(mayImportConfig, s.pkg) {
			t.Errorf("%s imports internal/config: a package has its own Options", s.name)
		}
	}
}

func TestOnlyServerPackagesServeHTTP(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(mayServeHTTP, s.pkg) || strings.HasPrefix(s.pkg, "examples") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isIdent(sel.X, "http") && sel.Sel.Name == "ResponseWriter" {
				t.Errorf("%s: http.ResponseWriter outside the server packages", s.set.Position(n.Pos()))
			}
			return true
		})
	}
}

func TestPublicPackagesHaveNoIO(t *testing.T) {
	forbidden := []string{"os", "io/ioutil", "net", "net/http", "log", "log/slog", "context", "sync", "os/exec", "syscall", "database/sql"}
	clocks := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}
	for _, s := range sources(t) {
		if !slices.Contains(publicPackages, s.pkg) && endpointImports[s.pkg] == nil {
			continue
		}
		for _, path := range s.imports() {
			if slices.Contains(forbidden, path) && !slices.Contains(endpointImports[s.pkg], path) || strings.Contains(path, ".") && !strings.HasPrefix(path, module) {
				t.Errorf("%s imports %s: a public package may not use I/O or modules outside the standard library", s.name, path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a public package may not start goroutines", s.set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if isIdent(n.X, "time") && slices.Contains(clocks, n.Sel.Name) {
					t.Errorf("%s: a public package may not use a clock (time.%s)", s.set.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// Programs that embed Tidewaiter start from the examples, so these may only import public
// packages.
func TestExamplesImportOnlyPublicPackages(t *testing.T) {
	programs := 0
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.pkg, "examples/") {
			continue
		}
		programs++
		for _, path := range s.imports() {
			if strings.HasPrefix(path, module+"/internal/") {
				t.Errorf("%s imports %s, which other programs cannot import", s.name, path)
			}
		}
	}
	if programs < 5 {
		t.Errorf("%d programs in examples: the test may be wrong", programs)
	}
}

// clockReaders lists the files and packages that may call time.Now, because they measure
// durations.
var clockReaders = map[string]string{
	"internal/clock/clock.go":             "it defines the wall clock",
	"internal/identity/ldap/sign_in.go":   "how long a bind takes",
	"internal/identity/ldap/failover.go":  "how long a connection is in use",
	"internal/identity/ldap/dummy.go":     "how long a bind would take",
	"internal/identity/hook/hook.go":      "how long an answer takes",
	"internal/identity/ldap/ldaptest":     "certificates for tests",
	"internal/journal/maintain.go":        "how long a step takes",
	"internal/password/password.go":       "how long a hash takes",
	"internal/store/postgres_location.go": "a deadline for the network, relative to now",
	"internal/rulebook/load.go":           "how long compiling a policy takes",
	"internal/rulebook/limiter.go":        "how long compiling a policy takes",
	"internal/rulebook/versions.go":       "a period since the last time, in one process",
	"internal/app/watch.go":               "a period since the last try, in one process",
}

// Times that are stored and compared are wall times. A package uses internal/clock: clock.Wall
// for a clock that is passed in, clock.Now for the current time. time.Now has a monotonic
// reading, which stops while a machine sleeps and takes precedence over the wall time in
// comparisons.
func TestStoredTimesAreWallTimes(t *testing.T) {
	clocks, walls := make(map[string]string), make(map[string]bool)
	for _, s := range sources(t) {
		if strings.HasPrefix(s.pkg, "examples") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if isIdent(n.X, "time") && n.Sel.Name == "Now" && clockReaders[s.name] == "" && clockReaders[s.pkg] == "" {
					t.Errorf("%s: time.Now has a monotonic reading: use clock.Wall for a clock that is passed in, clock.Now for the time", s.set.Position(n.Pos()))
				}
				if isIdent(n.X, "clock") && n.Sel.Name == "Wall" {
					walls[s.pkg] = true
				}
			case *ast.TypeSpec:
				options, ok := n.Type.(*ast.StructType)
				if !ok || !strings.HasSuffix(n.Name.Name, "Options") || clockReaders[s.name] != "" {
					return true
				}
				for _, f := range options.Fields.List {
					if _, isFunc := f.Type.(*ast.FuncType); isFunc && len(f.Names) == 1 && f.Names[0].Name == "Now" {
						clocks[s.pkg] = s.set.Position(f.Pos()).String()
					}
				}
			}
			return true
		})
	}
	for pkg, at := range clocks {
		if !walls[pkg] {
			t.Errorf("%s: %s has a clock option but does not use clock.Wall", at, pkg)
		}
	}
	if len(clocks) < 10 {
		t.Errorf("%d packages have a clock option: the test may be wrong", len(clocks))
	}
}

// mayInspectText lists the files that may inspect characters themselves, and why.
var mayInspectText = map[string]string{
	"internal/strictyaml/problem.go":    "it cuts a line on both sides of its caret",
	"internal/strictyaml/position.go":   "it does not cut a source within a character",
	"policy/when/printed.go":            "it omits deeply nested values",
	"internal/setup/registry.go":        "it shortens a list, but not its texts",
	"internal/identity/oidc/require.go": "it is a placeholder for the rest of a value",
	"notification/summary.go":           "it shortens a digest as container tools do",
	"internal/api/filter.go":            "it accepts such a shortened digest",
}

// Foreign text is made safe to print in one package. In earlier versions, twenty functions did
// this, with different rules. Some of them kept bidirectional control characters, and some cut a
// character into two parts.
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
		if s.pkg == "internal/text" || strings.HasPrefix(s.pkg, "examples") {
			continue
		}
		report := func(n ast.Node, what string) {
			used[s.name] = true
			if mayInspectText[s.name] == "" {
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
	for name := range mayInspectText {
		if !used[name] {
			t.Errorf("%s does not inspect characters: remove it from the list", name)
		}
	}
}

func TestOnlyMainEndsTheProcess(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "cmd/tidewaiter" && strings.HasSuffix(s.name, "main.go") || strings.HasPrefix(s.pkg, "examples") {
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

// Harbor CVE-2023-20902: a secret was compared byte by byte, so the time of the comparison
// revealed how many bytes were right. Secrets must be compared with subtle.ConstantTimeCompare or
// by their hash. A comparison with "" is allowed.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	comparing := map[string][]string{"bytes": {"Equal", "Compare"}, "strings": {"EqualFold", "Compare"}, "slices": {"Equal", "Compare"}}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (isReveal(n.X) && !isEmptyText(n.Y) || isReveal(n.Y) && !isEmptyText(n.X)) {
					t.Errorf("%s: a secret is compared with %s", s.set.Position(n.Pos()), n.Op)
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				for name, funcs := range comparing {
					if isIdent(sel.X, name) && slices.Contains(funcs, sel.Sel.Name) && slices.ContainsFunc(n.Args, isReveal) {
						t.Errorf("%s: a secret is compared with %s.%s", s.set.Position(n.Pos()), name, sel.Sel.Name)
					}
				}
			}
			return true
		})
	}
}

// isReveal reports whether an expression is the text of a secret: x.Reveal(), or its conversion to
// a string or slice.
func isReveal(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return isReveal(e.X)
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok {
			return sel.Sel.Name == "Reveal"
		}
		if _, conversion := e.Fun.(*ast.ArrayType); conversion || isIdent(e.Fun, "string") {
			return len(e.Args) == 1 && isReveal(e.Args[0])
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

// A test that measures time, or waits for a time to pass, fails on a busy machine. Instead,
// count steps, wait with internal/await, or use testing/synctest, where the clock is exact.
// mayTakeTime lists the functions that are exceptions.
var mayTakeTime = map[string]string{
	"internal/keyring/keyring_test.go sleep":          "it is called in synctest bubbles",
	"internal/identity/ldap/ldaptest/ldaptest.go run": "a tick between a bounded number of checks",
	"internal/store/storetest/kill.go Kill":           "it kills a process at a random time",
	"e2e/process/process.go Stop":                     "it kills a program that ignores SIGTERM",
}

func TestTestsDoNotTakeTime(t *testing.T) {
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
					t.Errorf("%s: a test may not measure or wait for time (%s)", set.Position(taken.Pos()), name)
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
			t.Errorf("%s does not take time: remove it from the list", name)
		}
	}
}

// timesTaken returns the expressions of a function that measure time or wait for a time to
// pass, outside of a synctest bubble.
func timesTaken(f *ast.FuncDecl) (found []ast.Expr) {
	passing := []string{"Sleep", "Since", "Until", "After", "AfterFunc", "NewTimer", "Tick"}
	// Methods of time.Time that compare two times. If one of the times is time.Now(), they
	// measure elapsed time.
	comparing := []string{"Sub", "Before", "After", "Compare"}
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
