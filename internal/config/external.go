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
func variableName() shape[string] {
	return scalar("name", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		if !variablePattern.MatchString(s) {
			d.problem(n, "%s is no name of an environment variable: letters, digits and _ are, and no value behind it", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

var variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func externalKeys() []key[External] {
	return []key[External]{
		on("name", sourceName(), func(e *External, v string) { e.Name = v }).must().
			says("What it is called, in the log and the journal: behind `external:`."),
		on("url", webAddress(), func(e *External, v string) { e.URL = v }).
			says("The address of a service; `https://`, unless it is on this machine."),
		on("command", list(line()), func(e *External, v []string) { e.Command = v }).
			says("In its place: a program, by its absolute path, and its arguments. It is started for each question, without a shell, and with nothing in its environment but `PATH`, `LANG` and what `environment` names."),
		on("environment", list(variableName()), func(e *External, v []string) { e.Environment = v }).
			says("The names of environment variables that the program is given as Tidewaiter has them, such as `HTTPS_PROXY`. One that Tidewaiter does not have is left out."),
		on("ca", filePath("file"), func(e *External, v string) { e.CA = v }).
			says("A PEM file with the certificates that the service's is under. The default is those of the system."),
		on("certificate", filePath("file"), func(e *External, v string) { e.Certificate = v }).
			says("A PEM file with the certificate that Tidewaiter shows to the service."),
		on("key", filePath("file"), func(e *External, v string) { e.Key = v }).
			says("A PEM file with its private key."),
		on("bearer_file", filePath("file"), func(e *External, v string) { e.BearerFile = v }).
			says("A file with a secret that the service is sent as `Authorization: Bearer`. It is read again for each question."),
		on("timeout", duration(100*time.Millisecond, time.Minute), func(e *External, v time.Duration) { e.Timeout = v }).or("5s").
			says("How long a question may take, waiting for its turn included. Then it is answered with 503."),
		on("max_concurrent", count(1, 1000), func(e *External, v int) { e.MaxConcurrent = v }).or("16").formerly("most").
			says("How many questions are asked at once, at most."),
	}
}

func externalSourceKeys() []key[External] {
	return append(externalKeys(),
		on("find", boolean(), func(e *External, v bool) { e.Find = v }).or("false").
			says("The service can be asked for somebody by name, without a password. Then its people can have refresh tokens and access tokens. [How](external.md#look-people-up)."),
		on("groups", boolean(), func(e *External, v bool) { e.Groups = v }).or("false").
			says("Each answer that lets somebody in must have a list of groups, if only an empty one. Without it nobody is let in: a deny could be for a group that was left out."))
}

// The ways of a decider.
const (
	narrow  = "narrow"
	replace = "replace"
)

func deciderKeys() []key[External] {
	return append(externalKeys(),
		on("grants", one(narrow, replace), func(e *External, v string) { e.Replace = v == replace }).or(narrow).
			says("`narrow`: it is asked about what the policy grants, and can only take away. `replace`: it is asked about all that no rule denies, and grants what it likes of that."))
}

// checkExternal notes where all is written. What it says is checked by who asks.
func checkExternal(_ *decoder, n *yaml.Node, e *External) { e.node = n }

// external looks at the files of a service.
func (x cross) external(n *yaml.Node, e *External) {
	for _, f := range []struct {
		key, file string
		secret    bool
	}{{"ca", e.CA, false}, {"certificate", e.Certificate, false}, {"key", e.Key, true}, {"bearer_file", e.BearerFile, true}} {
		if f.file != "" {
			x.readable(value(n, f.key), f.file, f.secret)
		}
	}
}
