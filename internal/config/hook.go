package config

import (
	"regexp"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Hook is a service (webhook) or a program (exec) of the operator: an identity source, or the
// authorizer. URL or Command is set.
type Hook struct {
	Name string

	URL              string
	CA               string // PEM file; "": the certificates of the system
	Certificate, Key string // PEM files; "": none
	BearerFile       string

	Command     []string // a program and its arguments
	Environment []string // names of variables to pass to the program

	Timeout       time.Duration // default 5s
	MaxConcurrent int           // default 16
	Find          bool          // only for a source: it can look up users without a password
	Groups        bool          // only for a source: each answer must have a list of groups
	Replace       bool          // only for the authorizer: it may grant what no rule denies

	locatedSection
}

// Source returns the name of the hook as a source of principals, such as webhook:shop.
func (h *Hook) Source() string {
	if len(h.Command) > 0 {
		return "exec:" + h.Name
	}
	return "webhook:" + h.Name
}

// variableName is the name of an environment variable. Variables that make a loader or a shell run
// other code (LD_PRELOAD) are allowed, because anyone who can write the config can also name
// another program.
func variableName() strictyaml.Type[string] {
	return strictyaml.Scalar("name", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		if !variablePattern.MatchString(s) {
			d.Problem(n, "%s is not the name of an environment variable: use letters, digits and _, without a value", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

var variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// hook returns the type of a webhook or exec section. The section has the keys that webhook and
// exec share. In addition, it has kindKeys, the keys of only webhook or only exec, and useKeys,
// the keys of a source or of the authorizer.
func hook(kindKeys []*strictyaml.Key[Hook], useKeys ...*strictyaml.Key[Hook]) strictyaml.Type[*Hook] {
	keys := []*strictyaml.Key[Hook]{
		strictyaml.On("name", sourceName(), func(h *Hook, v string) { h.Name = v }).Must().
			Says("The name in the log and the journal, after `webhook:` or `exec:`. A webhook and an exec source cannot have the same name."),
		strictyaml.On("timeout", duration(100*time.Millisecond, time.Minute), func(h *Hook, v time.Duration) { h.Timeout = v }).Or("5s").
			Says("The time limit of a request, including the time that the request waits because of `max_concurrent`. When the limit is exceeded, the answer is 503."),
		strictyaml.On("max_concurrent", count(1, 1000), func(h *Hook, v int) { h.MaxConcurrent = v }).Or("16").Formerly("most").
			Says("The maximum number of concurrent requests."),
	}
	keys = append(append(keys[:1:1], kindKeys...), append(keys[1:], useKeys...)...)
	return pointer(strictyaml.Section(keys, func(_ *strictyaml.Decoder, n *yaml.Node, h *Hook) { h.node = n }))
}

func webhookKeys() []*strictyaml.Key[Hook] {
	return []*strictyaml.Key[Hook]{
		strictyaml.On("url", webAddress(), func(h *Hook, v string) { h.URL = v }).Must().
			Says("The URL of the service. It must be `https://`, unless the service is on this machine."),
		strictyaml.On("ca", strictyaml.FilePath("file"), func(h *Hook, v string) { h.CA = v }).
			Says("A PEM file with the CA certificates to verify the service. The default is the system's CA certificates."),
		strictyaml.On("certificate", strictyaml.FilePath("file"), func(h *Hook, v string) { h.Certificate = v }).
			Says("A PEM file with the client certificate for the service."),
		strictyaml.On("key", strictyaml.FilePath("file"), func(h *Hook, v string) { h.Key = v }).
			Says("A PEM file with the private key of `certificate`."),
		strictyaml.On("bearer_file", strictyaml.FilePath("file"), func(h *Hook, v string) { h.BearerFile = v }).
			Says("A file with a secret that is sent to the service as `Authorization: Bearer`. The file is read again for each request."),
	}
}

func execKeys() []*strictyaml.Key[Hook] {
	return []*strictyaml.Key[Hook]{
		strictyaml.On("command", strictyaml.List(strictyaml.Line), func(h *Hook, v []string) { h.Command = v }).Must().
			Says("The absolute path of the program, and its arguments. The program is started for each request, without a shell. Its environment has only `PATH`, `LANG` and the variables in `environment`."),
		strictyaml.On("environment", strictyaml.List(variableName()), func(h *Hook, v []string) { h.Environment = v }).
			Says("The names of environment variables of Tidewaiter to pass to the program, such as `HTTPS_PROXY`. Variables that are not set are left out."),
	}
}

func hookFind() *strictyaml.Key[Hook] {
	return strictyaml.On("find", strictyaml.Bool, func(h *Hook, v bool) { h.Find = v }).Or("false").
		Says("Whether the service can look up a user by name, without a password. If so, its users can have refresh tokens and access tokens. See [Look people up](webhook.md#look-people-up).")
}

func hookGroups() *strictyaml.Key[Hook] {
	return strictyaml.On("groups", strictyaml.Bool, func(h *Hook, v bool) { h.Groups = v }).Or("false").
		Says("Whether every successful answer must have a list of groups. The list can be empty. A sign-in without the list is refused, because a deny rule could be for a missing group.")
}

// Values of the authorizer's `grants`.
const (
	narrow  = "narrow"
	replace = "replace"
)

func hookGrants() *strictyaml.Key[Hook] {
	return strictyaml.On("grants", oneOf(narrow, replace), func(h *Hook, v string) { h.Replace = v == replace }).Or(narrow).
		Says("`narrow`: the authorizer is asked about the actions that the policy grants, and can only remove some of them. `replace`: the authorizer is asked about all requested actions that no rule denies, and decides which of them to grant.")
}

// authorizer returns the type of the section authorizer, the hook that decides after the policy.
func authorizer() strictyaml.Type[*Hook] {
	return strictyaml.Section([]*strictyaml.Key[*Hook]{
		strictyaml.On("webhook", hook(webhookKeys(), hookGrants()), func(a **Hook, v *Hook) { *a = v }).
			Says("A service that is asked over HTTPS."),
		strictyaml.On("exec", hook(execKeys(), hookGrants()), func(a **Hook, v *Hook) { *a = v }).
			Says("A program that is started for each request."),
	}, func(d *strictyaml.Decoder, n *yaml.Node, _ **Hook) {
		if len(n.Content) != 2 {
			d.Problem(n, "give either webhook or exec")
		}
	})
}

// hook checks the files that the section of a hook names.
func (x crossChecks) hook(n *yaml.Node, h *Hook) {
	x.checkReadable(strictyaml.At(n, "ca"), h.CA, false)
	x.checkReadable(strictyaml.At(n, "certificate"), h.Certificate, false)
	x.checkReadable(strictyaml.At(n, "key"), h.Key, true)
	x.checkReadable(strictyaml.At(n, "bearer_file"), h.BearerFile, true)
}
