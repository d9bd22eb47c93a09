package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Test is an expectation of a policy, and where it is written.
type Test struct {
	ask.Expectation
	Name         string // "" if it has none
	File         string
	Line, Column int
	Places       []Place     // of each of Request.Scopes
	Unknown      ask.Unknown // what it does not say of the request
}

// Place is where something is in a file.
type Place struct{ Line, Column int }

// LoadTests reads files of expectations of a policy. What has no time is of the given one. The error is Problems.
func LoadTests(files []string, of *OnlyPolicy, now time.Time) ([]Test, error) {
	return loadTests(osFS{}, files, of, now)
}

func loadTests(disk disk, files []string, of *OnlyPolicy, now time.Time) ([]Test, error) {
	l := newLoader(Options{}, disk)
	var tests []Test
	for d, node := range l.each(files) {
		written, _ := section(testFileKeys()).read(d, node)
		for i := range written.tests {
			if w := &written.tests[i]; w.node != nil {
				tests = append(tests, w.test(d, of, now))
			}
		}
	}
	return tests, l.report.err()
}

// writtenTests is a file of expectations.
type writtenTests struct{ tests []writtenTest }

// writtenTest is an expectation as its file has it.
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
	node            *yaml.Node // nil if it has a problem
}

func checkTest(d *decoder, n *yaml.Node, t *writtenTest) {
	before := d.diagnostics.reported
	kinds := 0
	for _, key := range []string{"repositories", "catalog", "tidewaiter"} {
		if has(n, key) {
			kinds++
		}
	}
	switch {
	case t.may|t.mayNot == 0:
		d.problem(n, "give may or may_not, or both")
	case t.may&t.mayNot != 0:
		d.problem(value(n, "may_not"), "%s is in may as well", t.may&t.mayNot)
	case t.may != 0 && t.mayNot != 0 && t.because != "":
		d.problem(value(n, "because"), "one rule cannot both allow and deny; write two tests")
	}
	switch {
	case kinds == 0:
		d.problem(n, "repositories is missing, or catalog: true, or tidewaiter")
	case kinds > 1:
		d.problem(n, "a test covers repositories, the catalog or Tidewaiter itself; write two tests")
	case t.catalog && t.may|t.mayNot == scope.Repository: // "*"
		t.may, t.mayNot = starOf(t.may), starOf(t.mayNot)
	case t.catalog:
		d.suggest(actionsOf(n), `["*"]`, "the catalog has only the action \"*\"")
	case len(t.rights) > 0 && (t.may|t.mayNot)&^(scope.Read|scope.Write) != 0:
		d.problem(actionsOf(n), "rights over Tidewaiter have the actions read and write")
	case len(t.repositories) > 0 && (t.may|t.mayNot)&^scope.Repository != 0:
		d.problem(actionsOf(n), "repositories have the actions pull, push and delete")
	}
	if t.who.Kind == policy.Anonymous && len(t.groups)+len(t.claims) > 0 {
		d.problem(value(n, "as"), "anonymous has no groups and no claims")
	}
	for i, input := range t.without {
		claim, _ := strings.CutPrefix(input, "claims.")
		_, given := t.claims[claim]
		if (input == "ip" || input == "client") && has(n, input) || input != claim && given {
			d.problem(item(value(n, "without"), i), "the test gives %s and lists it under without", text.QuoteShort(input))
		}
	}
	if d.diagnostics.reported == before {
		t.node = n
	}
}

// actionsOf returns what is written as may, or as may_not.
func actionsOf(n *yaml.Node) *yaml.Node {
	if has(n, "may") {
		return value(n, "may")
	}
	return value(n, "may_not")
}

// starOf returns the catalog's one action, where all of a repository's were written as "*".
func starOf(a scope.Actions) scope.Actions {
	if a == 0 {
		return 0
	}
	return scope.All
}

// test looks at what only the policy knows to be wrong.
func (w *writtenTest) test(d *decoder, of *OnlyPolicy, now time.Time) Test {
	if w.registry == "" && len(of.Services) == 1 {
		w.registry = of.Services[0]
	}
	switch {
	case of.Services == nil:
	case w.registry == "":
		d.problem(w.node, "registry is missing: there are %s", strings.Join(of.Services, ", "))
	case !slices.Contains(of.Services, w.registry):
		d.suggest(value(w.node, "registry"), d.nearest(w.registry, of.Services), "no registry has the service %s", text.QuoteShort(w.registry))
	}
	if w.because != "" && !slices.ContainsFunc(of.Rules.Rules, func(r policy.Rule) bool { return r.Name == w.because }) {
		names := make([]string, len(of.Rules.Rules))
		for i, r := range of.Rules.Rules {
			names[i] = r.Name
		}
		d.suggest(value(w.node, "because"), d.nearest(w.because, names), "there is no rule %s", text.QuoteShort(w.because))
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
	t := Test{Name: w.name, File: d.file, Line: w.node.Line, Column: w.node.Column, Unknown: unknown}
	t.May, t.MayNot, t.Because = w.may, w.mayNot, w.because
	t.Request = &policy.Request{Principal: &who, Registry: w.registry, IP: w.ip, Client: w.client, Now: w.at}
	about := func(kind, key string, names []string) {
		for i, name := range names {
			at := item(value(w.node, key), i)
			t.Request.Scopes = append(t.Request.Scopes, scope.Scope{Type: kind, Name: name})
			t.Places = append(t.Places, Place{at.Line, at.Column})
		}
	}
	about(scope.TypeRepository, "repositories", w.repositories)
	about(scope.TypeTidewaiter, "tidewaiter", w.rights)
	if w.catalog {
		about(scope.TypeRegistry, "catalog", []string{"catalog"})
	}
	return t
}

// ParseWho reads who asks, as rules name somebody: user:NAME, robot:NAME, workload:NAME or anonymous.
func ParseWho(written string) (policy.Principal, error) {
	var who policy.Principal
	kind, name, named := strings.Cut(written, ":")
	switch {
	case written == "anonymous":
		return who, nil
	case kind == "group" && named:
		return who, fmt.Errorf("a group is not a principal: write user:NAME, and %s as a group", name)
	case kind == "anyone" || kind == "signed-in":
		return who, fmt.Errorf("%s is more than one principal: name one, as in user:NAME", kind)
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

// MeantWho returns who was most likely meant by a text that ParseWho does not take; "" if nobody is near.
func MeantWho(who string) string {
	if kind, name, _ := strings.Cut(who, ":"); name != "" {
		if meant := text.Nearest(kind, []string{"user", "robot", "workload"}); meant != "" && meant != kind {
			return meant + ":" + name
		}
	}
	return text.Nearest(who, []string{"anonymous"})
}

// who is somebody who asks.
func who() valueType[policy.Principal] {
	return scalar("who", func(d *decoder, n *yaml.Node, s string) (policy.Principal, bool) {
		p, err := ParseWho(s)
		if err != nil {
			meant := ""
			if !d.diagnostics.full() {
				meant = MeantWho(s)
			}
			d.suggest(n, meant, "%v", err)
			return p, false
		}
		return p, true
	})
}

// moment is a time. Without a zone it is UTC, so that it is the same on each machine.
func moment() valueType[time.Time] {
	return scalar("time", func(d *decoder, n *yaml.Node, s string) (time.Time, bool) {
		t, err := ParseTime(s, time.UTC)
		if err != nil {
			d.problem(n, "%v", err)
			return t, false
		}
		return t, true
	})
}

// ipAddress is an IP address.
func ipAddress() valueType[netip.Addr] {
	return scalar("IP address", func(d *decoder, n *yaml.Node, s string) (netip.Addr, bool) {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			d.problem(n, "%s is no IP address", text.QuoteShort(s))
		}
		return ip, err == nil
	})
}

// input is what a request may be without: ip, client, claims.NAME, or all claims but those that are written.
func input() valueType[string] {
	return scalar("input", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		claim, ok := strings.CutPrefix(s, "claims.")
		if ok && claim != "" || s == "ip" || s == "client" || s == "claims" {
			return s, true
		}
		meant := ""
		if !d.diagnostics.full() {
			meant = text.Nearest(s, []string{"ip", "client", "claims"})
		}
		d.suggest(n, meant, "%s cannot be left out of a request: use ip, client, claims.NAME or claims", text.QuoteShort(s))
		return "", false
	})
}

// repository is the name of one repository. It is no pattern.
func repository() valueType[string] {
	return scalar("repository", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		if strings.ContainsAny(s, "*$") {
			d.problem(n, "%s is a pattern; give the name of one repository", text.QuoteShort(s))
			return "", false
		}
		asked, ignored, err := scope.Parse([]string{scope.TypeRepository + ":" + s + ":pull"})
		switch {
		case err != nil:
			d.problem(n, "%s is not a repository name: %v", text.QuoteShort(s), err)
		case len(ignored) > 0:
			d.problem(n, "%s is not a repository name: %s", text.QuoteShort(s), ignored[0].Reason)
		case len(asked) != 1 || asked[0].Name != s:
			d.problem(n, "%s is not a repository name", text.QuoteShort(s))
		default:
			return s, true
		}
		return "", false
	})
}

// jsonValue is any value as a token has it. Numbers, true, false and null are what they look like; what is in quotes is text.
func jsonValue() valueType[any] {
	var read func(d *decoder, n *yaml.Node) (any, bool)
	read = func(d *decoder, n *yaml.Node) (any, bool) {
		switch n.Kind {
		case yaml.SequenceNode:
			if !d.is(n, yaml.SequenceNode, "a list") {
				return nil, false
			}
			values, ok := make([]any, len(n.Content)), true
			for i, item := range n.Content {
				v, good := read(d, item)
				values[i], ok = v, ok && good
			}
			return values, ok
		case yaml.MappingNode:
			if !d.is(n, yaml.MappingNode, "a section") {
				return nil, false
			}
			values, ok := make(map[string]any, len(n.Content)/2), true
			for i := 0; i+1 < len(n.Content); i += 2 {
				name := n.Content[i]
				if !d.is(name, yaml.ScalarNode, "a key") {
					return nil, false
				}
				if _, twice := values[name.Value]; twice {
					d.problem(name, "the key %s is written twice", text.QuoteShort(name.Value))
					ok = false
				}
				v, good := read(d, n.Content[i+1])
				values[name.Value], ok = v, ok && good
			}
			return values, ok
		}
		if !d.is(n, yaml.ScalarNode, "a value") {
			return nil, false
		}
		if n.Style == 0 {
			switch n.Value {
			case "true", "false":
				return n.Value == "true", true
			}
			if number, ok := policy.CanonicalNumber(n.Value); ok {
				return number, true // as a token's JSON is read
			}
			if f, err := strconv.ParseFloat(n.Value, 64); err == nil && strings.Trim(n.Value, "-.0123456789eE+") == "" {
				meant, _ := policy.CanonicalClaim(f)
				number, _ := meant.(json.Number)
				d.suggest(n, string(number), "%s is not a JSON number; put text in quotes", text.QuoteShort(n.Value))
				return nil, false
			}
		}
		return n.Value, true
	}
	return valueType[any]{kind: "value", read: read}
}

func testFileKeys() []key[writtenTests] {
	return []key[writtenTests]{
		on("tests", list(section(testKeys(), checkTest)), func(t *writtenTests, v []writtenTest) { t.tests = v }).must().
			says("Tests of the policy. Each test is one request."),
	}
}

func testKeys() []key[writtenTest] {
	return []key[writtenTest]{
		on("name", line(), func(t *writtenTest, v string) { t.name = v }).
			says("The name of the test in reports."),
		on("as", who(), func(t *writtenTest, v policy.Principal) { t.who = v }).must().
			says("The principal: `user:NAME`, `robot:NAME`, `workload:NAME` or `anonymous`. It has only the groups and claims that are written here. No identity source is asked."),
		on("groups", list(line()), func(t *writtenTest, v []string) { t.groups = v }).
			says("The groups of the principal."),
		on("claims", dictionary(jsonValue()), func(t *writtenTest, v []named[any]) {
			t.claims = make(map[string]any, len(v))
			for _, claim := range v {
				t.claims[claim.name] = claim.value
			}
		}).says("The claims of the principal: text, numbers, true, false, and lists and sections of these. A value in quotes is text and never a number."),
		on("registry", line(), func(t *writtenTest, v string) { t.registry = v }).
			says("The `service` of the registry. The default is the only one."),
		on("ip", ipAddress(), func(t *writtenTest, v netip.Addr) { t.ip = v }).
			says("The IP address of the client."),
		on("at", moment(), func(t *writtenTest, v time.Time) { t.at = v }).
			says("The time of the request: `2026-11-28T23:00:00Z`, `2026-11-28 23:00 Europe/Paris` or `2026-11-28`. Without a zone it is UTC. The default is the time of the test run, so set it if a condition reads `now`."),
		on("client", line(), func(t *writtenTest, v string) { t.client = v }).
			says("The client's name, from its User-Agent."),
		on("without", list(input()), func(t *writtenTest, v []string) { t.without = v }).
			says("Inputs that the request does not have although conditions read them: `ip`, `client`, `claims.NAME`, or `claims` for all claims that are not written here. `policy test` then does not warn that they are missing."),
		on("may", actions(), func(t *writtenTest, v scope.Actions) { t.may = v }).
			says("Actions that must be allowed, each on each of the repositories."),
		on("may_not", actions(), func(t *writtenTest, v scope.Actions) { t.mayNot = v }).
			says("Actions that must be refused, each on each of the repositories."),
		on("repositories", list(repository()), func(t *writtenTest, v []string) { t.repositories = v }).
			says("The names of the repositories. Patterns are not allowed."),
		on("catalog", set(), func(t *writtenTest, v bool) { t.catalog = v }).
			says("Instead of `repositories`: the catalog, the list of all repositories. Its only action is `\"*\"`."),
		on("tidewaiter", list(line()), func(t *writtenTest, v []string) { t.rights = v }).
			says("Instead of `repositories`: rights over Tidewaiter itself, by name. Their actions are `read` and `write`."),
		on("because", line(), func(t *writtenTest, v string) { t.because = v }).
			says("The name of the rule that must decide."),
		on("comment", prose(), func(*writtenTest, string) {}).
			says("A comment for readers."),
	}
}
