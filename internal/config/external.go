package config

import (
	"regexp"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// External is a service or a program that is asked. Place says where a setting of it is written.
type External struct {
	Name    string   // principals bear it behind "external:"
	URL     string   // of a service …
	Command []string // … or a program and its arguments

	Environment []string // names of variables that the program gets from us

	CA               string // PEM files; "": none
	Certificate, Key string
	BearerFile       string

	Timeout       time.Duration // default 5s
	MaxConcurrent int           // questions at once; default 16
	Find          bool          // of a source: it can be asked for a name without a password
	Groups        bool          // of a source: each answer has a list of groups
	Replace       bool          // of a decider: it may grant what no rule denies

	node *yaml.Node
}

// Place returns line and column of a setting. One that is not written is where it would be.
func (e *External) Place(setting string) (line, column int) {
	if e.node == nil {
		return 0, 0
	}
	n := value(e.node, setting)
	return n.Line, n.Column
}

// variableName is the name of an environment variable. Those by which a loader or a shell runs other code than the
// program's would be an odd thing to pass on, but they are whoever's who writes the config.
func variableName() valueType[string] {
	return scalar("name", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		if !variablePattern.MatchString(s) {
			d.problem(n, "%s is not the name of an environment variable: use letters, digits and _, without a value", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

var variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func externalKeys() []key[External] {
	return []key[External]{
		on("name", sourceName(), func(e *External, v string) { e.Name = v }).must().
			says("The name in the log and the journal, after `external:`."),
		on("url", webAddress(), func(e *External, v string) { e.URL = v }).
			says("The URL of a service. It must be `https://`, unless the service is on this machine."),
		on("command", list(line()), func(e *External, v []string) { e.Command = v }).
			says("Instead of `url`: the absolute path of a program, and its arguments. It is started for each request, without a shell. Its environment has only `PATH`, `LANG` and the variables in `environment`."),
		on("environment", list(variableName()), func(e *External, v []string) { e.Environment = v }).
			says("The names of environment variables of Tidewaiter to pass to the program, such as `HTTPS_PROXY`. Variables that are not set are left out."),
		on("ca", filePath("file"), func(e *External, v string) { e.CA = v }).
			says("A PEM file with the CA certificates to verify the service. The default is the system's CA certificates."),
		on("certificate", filePath("file"), func(e *External, v string) { e.Certificate = v }).
			says("A PEM file with the client certificate for the service."),
		on("key", filePath("file"), func(e *External, v string) { e.Key = v }).
			says("A PEM file with the private key of `certificate`."),
		on("bearer_file", filePath("file"), func(e *External, v string) { e.BearerFile = v }).
			says("A file with a secret that is sent to the service as `Authorization: Bearer`. It is read again for each request."),
		on("timeout", duration(100*time.Millisecond, time.Minute), func(e *External, v time.Duration) { e.Timeout = v }).or("5s").
			says("How long a request may take, including the wait for a free slot. After that the answer is 503."),
		on("max_concurrent", count(1, 1000), func(e *External, v int) { e.MaxConcurrent = v }).or("16").formerly("most").
			says("The maximum number of concurrent requests."),
	}
}

func externalSourceKeys() []key[External] {
	return append(externalKeys(),
		on("find", boolean(), func(e *External, v bool) { e.Find = v }).or("false").
			says("The service can look up a user by name, without a password. Its users can then have refresh tokens and access tokens. [How](external.md#look-people-up)."),
		on("groups", boolean(), func(e *External, v bool) { e.Groups = v }).or("false").
			says("Every successful answer must have a list of groups, which may be empty. A sign-in without the list is refused, because a deny rule could be for a missing group."))
}

// The ways of a decider.
const (
	narrow  = "narrow"
	replace = "replace"
)

func deciderKeys() []key[External] {
	return append(externalKeys(),
		on("grants", one(narrow, replace), func(e *External, v string) { e.Replace = v == replace }).or(narrow).
			says("`narrow`: it is asked about what the policy grants, and can only remove grants. `replace`: it is asked about everything that no rule denies, and decides what to grant."))
}

// checkExternal notes where all is written. What it says is checked by who asks.
func checkExternal(_ *decoder, n *yaml.Node, e *External) { e.node = n }

// external looks at the files of a service.
func (x crossChecks) external(n *yaml.Node, e *External) {
	for _, f := range []struct {
		key, file string
		secret    bool
	}{{"ca", e.CA, false}, {"certificate", e.Certificate, false}, {"key", e.Key, true}, {"bearer_file", e.BearerFile, true}} {
		if f.file != "" {
			x.readable(value(n, f.key), f.file, f.secret)
		}
	}
}
