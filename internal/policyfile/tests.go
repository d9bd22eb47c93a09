package policyfile

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Test is an expectation of a policy, with its position.
type Test struct {
	ask.Expectation
	Name         string // "": the test has no name
	File         string
	Line, Column int
	Places       []Place     // positions of Request.Scopes
	Unknown      ask.Unknown // the inputs that the test leaves out
}

// LoadTests reads files of tests. A test without a time is evaluated at the given time. The error
// is strictyaml.Problems.
func LoadTests(files []string, of *Compiled, now time.Time) ([]Test, error) {
	return loadTests(strictyaml.NewReader(), files, of, now)
}

func loadTests(r *strictyaml.Reader, files []string, of *Compiled, now time.Time) ([]Test, error) {
	var tests []Test
	read := strictyaml.Section(testFileKeys()).Read
	for d, node := range r.Open(files, nil) {
		written, _ := read(d, node)
		for i := range written.tests {
			if w := &written.tests[i]; w.node != nil {
				tests = append(tests, w.test(d, of, now))
			}
		}
	}
	return tests, r.Err()
}

// writtenTests is a file of tests.
type writtenTests struct{ tests []writtenTest }

// writtenTest is the test in the form of the file.
type writtenTest struct {
	name            string
	who             policy.Principal
	claims          map[string]any
	groups          []string
	registry        string
	ip              netip.Addr
	at              time.Time
	client, because string
	without         []string
	may, mayNot     scope.Actions
	repositories    []string
	catalog         bool
	rights          []string
	node            *yaml.Node // nil if the test has a problem
}

func checkTest(d *strictyaml.Decoder, n *yaml.Node, t *writtenTest) {
	before := d.Reported
	kinds := 0
	for _, key := range []string{"repositories", "catalog", "tidewaiter"} {
		if strictyaml.Has(n, key) {
			kinds++
		}
	}
	switch {
	case t.may|t.mayNot == 0:
		d.Problem(n, "give may or may_not, or both")
	case t.may&t.mayNot != 0:
		d.Problem(strictyaml.At(n, "may_not"), "%s is also in the list may", t.may&t.mayNot)
	case t.may != 0 && t.mayNot != 0 && t.because != "":
		d.Problem(strictyaml.At(n, "because"), "one rule cannot both allow and deny; write two tests")
	}
	switch {
	case kinds == 0:
		d.Problem(n, "repositories is missing, or catalog: true, or tidewaiter")
	case kinds > 1:
		d.Problem(n, "a test covers repositories, the catalog or Tidewaiter itself; write two tests")
	case t.catalog && t.may|t.mayNot == scope.Repository: // "*"
		t.may, t.mayNot = starOf(t.may), starOf(t.mayNot)
	case t.catalog:
		d.Suggest(actionsOf(n), `["*"]`, "the catalog has only the action \"*\"")
	case len(t.rights) > 0 && (t.may|t.mayNot)&^(scope.Read|scope.Write) != 0:
		d.Problem(actionsOf(n), "rights over Tidewaiter have the actions read and write")
	case len(t.repositories) > 0 && (t.may|t.mayNot)&^scope.Repository != 0:
		d.Problem(actionsOf(n), "repositories have the actions pull, push and delete")
	}
	if t.who.Kind == policy.Anonymous && len(t.groups)+len(t.claims) > 0 {
		d.Problem(strictyaml.At(n, "as"), "anonymous has no groups and no claims")
	}
	for i, input := range t.without {
		claim, _ := strings.CutPrefix(input, "claims.")
		_, given := t.claims[claim]
		if (input == "ip" || input == "client") && strictyaml.Has(n, input) || input != claim && given {
			d.Problem(strictyaml.At(n, "without", i), "the test gives %s and lists it under without", text.QuoteShort(input))
		}
	}
	if d.Reported == before {
		t.node = n
	}
}

// actionsOf returns the node of the test's key may, or of the key may_not if there is no may.
func actionsOf(n *yaml.Node) *yaml.Node {
	if strictyaml.Has(n, "may") {
		return strictyaml.At(n, "may")
	}
	return strictyaml.At(n, "may_not")
}

// starOf returns the only action of the catalog, "*", if the test names any action. Otherwise
// it returns 0. This is needed for tests of the catalog, because the reader of actions converts
// "*" to pull, push and delete, the actions of repositories.
func starOf(a scope.Actions) scope.Actions {
	if a == 0 {
		return 0
	}
	return scope.All
}

// test converts a written test to a Test. It reports a problem if the test names a registry or
// a rule that the policy does not have.
func (w *writtenTest) test(d *strictyaml.Decoder, of *Compiled, now time.Time) Test {
	if w.registry == "" && len(of.Services) == 1 {
		w.registry = of.Services[0]
	}
	switch {
	case of.Services == nil:
	case w.registry == "":
		d.Problem(w.node, "registry is missing: there are %s", strings.Join(of.Services, ", "))
	case !slices.Contains(of.Services, w.registry):
		d.Suggest(strictyaml.At(w.node, "registry"), d.Nearest(w.registry, of.Services), "no registry has the service %s", text.QuoteShort(w.registry))
	}
	if w.because != "" && !slices.ContainsFunc(of.Rules.Rules, func(r policy.Rule) bool { return r.Name == w.because }) {
		names := make([]string, len(of.Rules.Rules))
		for i, r := range of.Rules.Rules {
			names[i] = r.Name
		}
		d.Suggest(strictyaml.At(w.node, "because"), d.Nearest(w.because, names), "there is no rule %s", text.QuoteShort(w.because))
	}
	missing := func(input string) bool { return slices.Contains(w.without, input) }
	unknown := ask.Unknown{
		Now: w.at.IsZero(), IP: !w.ip.IsValid() && !missing("ip"), Client: w.client == "" && !missing("client"), Registry: w.registry == "",
		Claims: !missing("claims"),
	}
	for _, input := range w.without {
		if claim, ok := strings.CutPrefix(input, "claims."); ok {
			unknown.Except = append(unknown.Except, claim)
		}
	}
	if w.at.IsZero() {
		w.at = now
	}
	who := w.who
	who.Groups, who.Claims = w.groups, w.claims
	t := Test{Name: w.name, File: d.File, Line: w.node.Line, Column: w.node.Column, Unknown: unknown}
	t.May, t.MayNot, t.Because = w.may, w.mayNot, w.because
	t.Request = &policy.Request{Principal: &who, Registry: w.registry, IP: w.ip, Client: w.client, Now: w.at}
	add := func(kind, key string, names []string) {
		for i, name := range names {
			at := strictyaml.At(w.node, key, i)
			t.Request.Scopes = append(t.Request.Scopes, scope.Scope{Type: kind, Name: name})
			t.Places = append(t.Places, Place{at.Line, at.Column})
		}
	}
	add(scope.TypeRepository, "repositories", w.repositories)
	add(scope.TypeTidewaiter, "tidewaiter", w.rights)
	if w.catalog {
		add(scope.TypeRegistry, "catalog", []string{"catalog"})
	}
	return t
}

// ParseWho parses a principal as rules name it: user:NAME, robot:NAME, workload:NAME or anonymous.
func ParseWho(written string) (policy.Principal, error) {
	var who policy.Principal
	kind, name, named := strings.Cut(written, ":")
	switch {
	case written == "anonymous":
		return who, nil
	case kind == "group" && named:
		return who, fmt.Errorf("a group is not a principal: write user:NAME, and list %s among the user's groups", name)
	case kind == "anyone" || kind == "signed-in":
		return who, fmt.Errorf("%s is more than one principal: name a single principal, such as user:NAME", kind)
	case !named:
		return who, fmt.Errorf("is %s a user, a robot or a workload? Write user:%s, robot:%s or workload:%s; or anonymous", text.QuoteShort(written), written, written, written)
	case who.Kind.UnmarshalText([]byte(kind)) != nil || who.Kind == policy.Anonymous:
		return policy.Principal{}, fmt.Errorf("%s is not a principal: use user:NAME, robot:NAME, workload:NAME or anonymous", text.QuoteShort(written))
	case name == "":
		return policy.Principal{}, fmt.Errorf("%s has no name", text.QuoteShort(written))
	}
	who.Name = name
	return who, nil
}

// MeantWho returns the principal that a user probably meant by a text that ParseWho rejects, or
// "".
func MeantWho(who string) string {
	if kind, name, _ := strings.Cut(who, ":"); name != "" {
		if meant := text.Nearest(kind, []string{"user", "robot", "workload"}); meant != "" && meant != kind {
			return meant + ":" + name
		}
	}
	return text.Nearest(who, []string{"anonymous"})
}

// principalType is the type of a principal, such as user:ann.
func principalType() strictyaml.Type[policy.Principal] {
	return strictyaml.Scalar("principal", func(d *strictyaml.Decoder, n *yaml.Node, s string) (policy.Principal, bool) {
		p, err := ParseWho(s)
		if err != nil {
			d.Suggest(n, MeantWho(s), "%v", err)
			return p, false
		}
		return p, true
	})
}

// instant is a time. A time without a zone is in UTC, so that a test has the same result on each
// machine.
func instant() strictyaml.Type[time.Time] {
	return strictyaml.Scalar("time", func(d *strictyaml.Decoder, n *yaml.Node, s string) (time.Time, bool) {
		t, err := ParseTime(s, time.UTC)
		if err != nil {
			d.Problem(n, "%v", err)
			return t, false
		}
		return t, true
	})
}

// ipAddress is the type of an IP address.
func ipAddress() strictyaml.Type[netip.Addr] {
	return strictyaml.Scalar("IP address", func(d *strictyaml.Decoder, n *yaml.Node, s string) (netip.Addr, bool) {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			d.Problem(n, "%s is not an IP address", text.QuoteShort(s))
		}
		return ip, err == nil
	})
}

// input is the type of an input that a request can lack: ip, client, claims.NAME, or claims. The
// input named "claims" stands for all claims that the test does not set.
func input() strictyaml.Type[string] {
	return strictyaml.Scalar("input", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		claim, ok := strings.CutPrefix(s, "claims.")
		if ok && claim != "" || s == "ip" || s == "client" || s == "claims" {
			return s, true
		}
		d.Suggest(n, d.Nearest(s, []string{"ip", "client", "claims"}), "%s cannot be left out of a request: use ip, client, claims.NAME or claims", text.QuoteShort(s))
		return "", false
	})
}

// repository is the type of the name of one repository. A pattern is an error.
func repository() strictyaml.Type[string] {
	return strictyaml.Scalar("repository", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		if strings.ContainsAny(s, "*$") {
			d.Problem(n, "%s is a pattern; give the name of one repository", text.QuoteShort(s))
			return "", false
		}
		if host, name, sure := text.WithoutRegistry(s); host != "" && sure {
			d.Suggest(n, name, "%s", text.NamedWithoutRegistry(name))
			return "", false
		}
		asked, ignored, err := scope.Parse([]string{scope.TypeRepository + ":" + s + ":pull"})
		switch {
		case err != nil:
			d.Problem(n, "%s is not a repository name: %v", text.QuoteShort(s), err)
		case len(ignored) > 0:
			d.Problem(n, "%s is not a repository name: %s", text.QuoteShort(s), ignored[0].Reason)
		case len(asked) != 1 || asked[0].Name != s:
			d.Problem(n, "%s is not a repository name", text.QuoteShort(s))
		default:
			return s, true
		}
		return "", false
	})
}

// jsonValue is the type of any value that a claim of a token can have. Quoted text is never a
// number, true or false.
func jsonValue() strictyaml.Type[any] {
	var read func(d *strictyaml.Decoder, n *yaml.Node) (any, bool)
	read = func(d *strictyaml.Decoder, n *yaml.Node) (any, bool) {
		switch n.Kind {
		case yaml.SequenceNode:
			if !d.Is(n, yaml.SequenceNode, "a list") {
				return nil, false
			}
			values, ok := make([]any, len(n.Content)), true
			for i, item := range n.Content {
				v, good := read(d, item)
				values[i], ok = v, ok && good
			}
			return values, ok
		case yaml.MappingNode:
			if !d.Is(n, yaml.MappingNode, "a section") {
				return nil, false
			}
			values, ok := make(map[string]any, len(n.Content)/2), true
			for i := 0; i+1 < len(n.Content); i += 2 {
				name := n.Content[i]
				if !d.Is(name, yaml.ScalarNode, "a key") {
					return nil, false
				}
				if _, twice := values[name.Value]; twice {
					d.Problem(name, "the key %s is written twice", text.QuoteShort(name.Value))
					ok = false
				}
				v, good := read(d, n.Content[i+1])
				values[name.Value], ok = v, ok && good
			}
			return values, ok
		}
		if !d.Is(n, yaml.ScalarNode, "a value") {
			return nil, false
		}
		if n.Style == 0 {
			switch n.Value {
			case "true", "false":
				return n.Value == "true", true
			}
			if number, ok := policy.CanonicalNumber(n.Value); ok {
				return number, true // claims of tokens have this type, too
			}
			if f, err := strconv.ParseFloat(n.Value, 64); err == nil && strings.Trim(n.Value, "-.0123456789eE+") == "" {
				meant, _ := policy.CanonicalClaim(f)
				number, _ := meant.(json.Number)
				d.Suggest(n, string(number), "%s is not a JSON number; put text in quotes", text.QuoteShort(n.Value))
				return nil, false
			}
		}
		return n.Value, true
	}
	return strictyaml.Type[any]{Kind: "value", Read: read}
}

// TestRow describes the only key of a file of tests, for the reference.
func TestRow() strictyaml.Row { return testFileKeys()[0].Row }

func testFileKeys() []*strictyaml.Key[writtenTests] {
	return []*strictyaml.Key[writtenTests]{
		strictyaml.On("tests", strictyaml.List(strictyaml.Section(testKeys(), checkTest)), func(t *writtenTests, v []writtenTest) { t.tests = v }).Must().
			Says("Tests of the policy. Each test is one request."),
	}
}

func testKeys() []*strictyaml.Key[writtenTest] {
	return []*strictyaml.Key[writtenTest]{
		strictyaml.On("name", strictyaml.Line, func(t *writtenTest, v string) { t.name = v }).
			Says("The name of the test in reports."),
		strictyaml.On("as", principalType(), func(t *writtenTest, v policy.Principal) { t.who = v }).Must().
			Says("The principal: `user:NAME`, `robot:NAME`, `workload:NAME` or `anonymous`. The principal has only the groups and claims that the test gives. No identity source is asked."),
		strictyaml.On("groups", strictyaml.List(strictyaml.Line), func(t *writtenTest, v []string) { t.groups = v }).
			Says("The groups of the principal."),
		strictyaml.On("claims", strictyaml.Map(jsonValue()), func(t *writtenTest, v map[string]any) { t.claims = v }).
			Says("The claims of the principal: text, numbers, true, false, and lists and sections of these. A value in quotes is text and never a number."),
		strictyaml.On("registry", strictyaml.Line, func(t *writtenTest, v string) { t.registry = v }).
			Says("The `service` of the registry. If there is only one registry, it is the default."),
		strictyaml.On("ip", ipAddress(), func(t *writtenTest, v netip.Addr) { t.ip = v }).
			Says("The IP address of the client."),
		strictyaml.On("at", instant(), func(t *writtenTest, v time.Time) { t.at = v }).
			Says("The time of the request: `2026-11-28T23:00:00Z`, `2026-11-28 23:00 Europe/Paris` or `2026-11-28`. A time without a zone is in UTC. The default is the time of the test run, so set it if a condition reads `now`."),
		strictyaml.On("client", strictyaml.Line, func(t *writtenTest, v string) { t.client = v }).
			Says("The client's name, from its User-Agent."),
		strictyaml.On("without", strictyaml.List(input()), func(t *writtenTest, v []string) { t.without = v }).
			Says("Inputs that the request does not have although conditions read them: `ip`, `client`, `claims.NAME`, or `claims` for all claims that the test does not give. `policy test` prints no warning about inputs in this list."),
		strictyaml.On("may", actions(), func(t *writtenTest, v scope.Actions) { t.may = v }).
			Says("Actions that must be allowed. Each of them must be allowed on each of the repositories."),
		strictyaml.On("may_not", actions(), func(t *writtenTest, v scope.Actions) { t.mayNot = v }).
			Says("Actions that must be refused. Each of them must be refused on each of the repositories."),
		strictyaml.On("repositories", strictyaml.List(repository()), func(t *writtenTest, v []string) { t.repositories = v }).
			Says("The names of the repositories. Patterns are not allowed."),
		strictyaml.On("catalog", strictyaml.True, func(t *writtenTest, v bool) { t.catalog = v }).
			Says("Instead of `repositories`: the catalog, the list of all repositories. Its only action is `\"*\"`."),
		strictyaml.On("tidewaiter", strictyaml.List(strictyaml.Line), func(t *writtenTest, v []string) { t.rights = v }).
			Says("Instead of `repositories`: rights over Tidewaiter itself, by name. Their actions are `read` and `write`."),
		strictyaml.On("because", strictyaml.Line, func(t *writtenTest, v string) { t.because = v }).
			Says("The name of the rule that must decide."),
		strictyaml.On("comment", strictyaml.Prose, func(*writtenTest, string) {}).
			Says("A comment for readers."),
	}
}
