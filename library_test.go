package tidewaiter

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	gotoken "go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/rules"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// library lists each exported function of the public packages. The functions of tokenserver are
// left out, because their HTTP requests and writers are never nil.
var library = map[string]map[string]any{
	"scope":        {"Parse": scope.Parse, "ParseAction": scope.ParseAction, "MatchService": scope.MatchService},
	"notification": {"Decode": notification.Decode},
	"policy": {
		"Compile": policy.Compile, "CanonicalClaim": policy.CanonicalClaim, "CanonicalClaims": policy.CanonicalClaims,
		"CanonicalNumber": policy.CanonicalNumber, "ClaimText": policy.ClaimText, "ClipNames": policy.ClipNames,
	},
	"policy/ask": {
		"Depends": ask.Depends, "Explain": ask.Explain, "Shortest": ask.Shortest, "Test": ask.Test, "WhatCan": ask.WhatCan, "WhoCan": ask.WhoCan,
	},
	"policy/when": {"NewCompiler": when.NewCompiler, "Constant": when.Constant, "Uses": when.Uses},
	"rules":       {"Read": rules.Read},
	"token": {
		"Algorithms": token.Algorithms, "AppendGranted": token.AppendGranted, "KeyIDOf": token.KeyIDOf, "KeyIDs": token.KeyIDs,
		"NewRoot": token.NewRoot, "NewSigner": token.NewSigner, "NewVerifier": token.NewVerifier, "ParseRoot": token.ParseRoot,
		"RootOf": token.RootOf, "VerifiedAlgorithms": token.VerifiedAlgorithms,
	},
}

// libraryTypes lists the exported types of the public packages.
var libraryTypes = map[string][]any{
	"scope":        {scope.Actions(0), scope.Scope{}, scope.Ignored{}},
	"notification": {notification.Event{}, notification.Descriptor{}, notification.Request{}, notification.Source{}, notification.Bad{}},
	"policy": {
		policy.Kind(0), policy.Principal{}, policy.Limit{}, policy.Rule{}, policy.Origin{}, policy.Value{}, policy.Source{}, policy.Role{},
		policy.Problem{}, policy.Problems{}, policy.Request{}, policy.Decision{}, policy.Result{}, policy.Reason(0), policy.Cause{},
		policy.NameRange{}, &policy.Policy{},
	},
	"policy/ask": {
		ask.Unknown{}, ask.Dependence{}, ask.Expectation{}, ask.TestFailure{}, ask.Explanation{}, ask.Nearby{}, ask.Near{}, ask.Obstacle{},
		ask.ClaimValue{}, ask.Rights{}, ask.Right{}, ask.DeniedRight{}, ask.IneffectiveRule{}, ask.Answer{}, ask.Grantee{}, ask.DeniedGrantee{},
	},
	"policy/when": {&when.Compiler{}, when.Error{}, when.Errors{}, when.Use{}, when.Kinds(0)},
	"token": {
		token.Algorithm(""), token.Claims{}, token.KeyID(""), token.Problem{}, &token.Root{}, &token.Signer{}, &token.Verifier{}, token.VerifierOptions{},
	},
	"rules": {rules.File{}, rules.Problem{}, rules.Problems{}, rules.Rule{}, rules.Role{}, rules.RuleProblems{}},
}

// interfaces lists the exported interfaces, which have no values.
var interfaces = []string{"policy.Condition", "policy/ask.Partial"}

// Every exported function and type must be in the tables above.
func TestTheTablesOfTheLibraryAreComplete(t *testing.T) {
	known := make(map[string]bool)
	for pkg, types := range libraryTypes {
		for _, v := range types {
			name := strings.TrimPrefix(reflect.TypeOf(v).String(), "*")
			known[pkg+"."+name[strings.IndexByte(name, '.')+1:]] = true
		}
	}
	known["rules.RuleProblems"] = true // an alias of a function that is in the table
	for _, name := range interfaces {
		known[name] = true
	}
	for _, s := range sources(t) {
		if library[s.pkg] == nil {
			continue
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() && library[s.pkg][d.Name.Name] == nil {
					t.Errorf("%s: %s.%s is not in the table", s.name, s.pkg, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if of, ok := spec.(*ast.TypeSpec); ok && d.Tok == gotoken.TYPE && of.Name.IsExported() && !known[s.pkg+"."+of.Name.Name] {
						t.Errorf("%s: the type %s.%s is not in the table", s.name, s.pkg, of.Name.Name)
					}
				}
			}
		}
	}
}

// variants returns incomplete values of a type: the zero value, a value that contains nils, and a
// value that contains zero values.
func variants(t reflect.Type) []reflect.Value {
	values := []reflect.Value{reflect.Zero(t)}
	for _, nils := range []bool{true, false} {
		v := reflect.New(t).Elem()
		fill(v, 4, nils)
		values = append(values, v)
	}
	return values
}

func fill(v reflect.Value, depth int, nils bool) {
	if depth == 0 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !nils || depth == 4 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth-1, nils)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth, nils)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), depth-1, nils)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(1)
	}
}

// call calls f with each variant of its arguments.
func call(t *testing.T, name string, f reflect.Value) {
	t.Helper()
	for n := range 3 {
		args := make([]reflect.Value, f.Type().NumIn())
		for i := range args {
			args[i] = variants(f.Type().In(i))[n]
		}
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s(%v) panics: %v", name, args, r)
				}
			}()
			if f.Type().IsVariadic() {
				f.CallSlice(args)
				return
			}
			f.Call(args)
		}()
	}
}

func TestNothingPanicsOnNilOrZeroValues(t *testing.T) {
	for pkg, functions := range library {
		for name, f := range functions {
			call(t, pkg+"."+name, reflect.ValueOf(f))
		}
	}
	methods := func(pkg string, v reflect.Value) {
		for i := range v.NumMethod() {
			method := v.Type().Method(i).Name
			if v.IsNil() {
				_, ofValue := v.Type().Elem().MethodByName(method)
				embeds := v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem().NumField() > 0 && v.Type().Elem().Field(0).Anonymous
				if ofValue || embeds || strings.HasPrefix(method, "Unmarshal") {
					continue // Go itself panics, or there is nothing to decode into
				}
			}
			if method == "Each" {
				continue // the argument is the body of a loop
			}
			call(t, fmt.Sprintf("%s: %s(%+v).%s", pkg, v.Type(), v, method), v.Method(i))
		}
	}
	methods("policy", reflect.ValueOf(somePolicy(t)))
	for pkg, types := range libraryTypes {
		for _, v := range types {
			of := reflect.TypeOf(v)
			if of.Kind() == reflect.Pointer {
				of = of.Elem()
			}
			methods(pkg, reflect.Zero(reflect.PointerTo(of)))
			if reflect.TypeOf(v).Kind() == reflect.Pointer {
				methods(pkg, reflect.New(of))
				continue // a program cannot fill in a value of this type
			}
			for _, variant := range variants(of) {
				pointer := reflect.New(of)
				pointer.Elem().Set(variant)
				methods(pkg, pointer)
			}
		}
	}
}

// somePolicy returns a policy with patterns to match and a condition to evaluate.
func somePolicy(t *testing.T) *policy.Policy {
	t.Helper()
	source, _, err := rules.Read(rules.File{Name: "p.yaml", Text: []byte(`rules:
  - { name: a, subjects: [anyone], repositories: ["**"], actions: [pull], when: request.ip == ip("::1") || client == "" }
  - { name: b, effect: deny, registries: [r], repositories: ["a/${user}", "${claims.x}", "${group}/**"], actions: [pull] }
`)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAConditionWithoutARequest(t *testing.T) {
	c, err := new(when.Compiler).Compile(`user == "ann" || registry == "r"`)
	if err != nil {
		t.Fatal(err)
	}
	call(t, "Holds", reflect.ValueOf(c).MethodByName("Holds"))
	call(t, "Explain", reflect.ValueOf(c).MethodByName("Explain"))
	call(t, "DependsOn", reflect.ValueOf(c).MethodByName("DependsOn"))
	if holds, err := c.Holds(nil); holds || err == nil {
		t.Errorf("Holds without a request returned %t, %v", holds, err)
	}
}

// The JSON of exported types has lower-case names.
func TestTheLibraryHasLowerCaseNamesInJSON(t *testing.T) {
	visit := func(path string, of reflect.Type) {
		if strings.HasSuffix(path, "Options") {
			return // Options are not written as JSON
		}
		if of.Implements(reflect.TypeFor[json.Marshaler]()) || of.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || of.Kind() != reflect.Struct {
			return
		}
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.IsExported() && !f.Anonymous && (name == "" || name != strings.ToLower(name)) {
				t.Errorf("%s.%s: its name in JSON is %q", path, f.Name, name)
			}
		}
	}
	for _, types := range libraryTypes {
		for _, v := range types {
			visit(reflect.TypeOf(v).String(), reflect.TypeOf(v))
		}
	}
	c, err := when.NewCompiler().Compile(`user == "ann"`)
	if err != nil {
		t.Fatal(err)
	}
	rule := policy.Rule{Name: "a", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull, When: c}
	const want = `{"name":"a","subjects":["anyone"],"names":["**"],"actions":"pull","when":"user == \"ann\""}`
	if text, err := json.Marshal(rule); err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

// docs/embedding.md lists all public packages.
func TestThePageForLibraryUsersListsEachPackage(t *testing.T) {
	page, err := os.ReadFile("docs/embedding.md")
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range mayImport {
		if pkg == "." || strings.HasPrefix(pkg, "internal/") || strings.Contains(pkg, "/internal/") || strings.HasPrefix(pkg, "cmd/") {
			continue
		}
		if !strings.Contains(string(page), "`"+pkg+"`") {
			t.Errorf("docs/embedding.md does not name %s", pkg)
		}
	}
}

// Each block of Go in docs/embedding.md is part of an example, which the tests run.
func TestTheCodeOnThePageIsFromExamples(t *testing.T) {
	var examples strings.Builder
	for _, pkg := range []string{"policy", "policy/ask", "policy/when", "rules", "token", "tokenserver"} {
		text, err := os.ReadFile(pkg + "/example_test.go")
		if err != nil {
			t.Fatal(err)
		}
		examples.Write(text)
	}
	page, err := os.ReadFile("docs/embedding.md")
	if err != nil {
		t.Fatal(err)
	}
	unindented := func(text string) string {
		return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\t' }), "\n")
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		if !strings.Contains(unindented(examples.String()), unindented(code)) {
			t.Errorf("no example has this code:\n%s", code)
		}
	}
	if len(blocks) == 0 {
		t.Error("the page has no code")
	}
}
