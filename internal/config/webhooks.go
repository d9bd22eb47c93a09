package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// webhook is an endpoint that receives entries of the journal.
type webhook = struct {
	Name    string
	URL     string
	CA      string          // PEM file; "": the certificates of the system
	Keys    []signature.Key // sign each message
	Private bool            // the endpoint may have a private address
	Filter  entryFilter     // default: events
}

// journalFile is a file that receives entries of the journal as lines of JSON.
type journalFile = struct {
	Name     string
	Path     string
	MaxSize  int64       // bytes; 0: unlimited; default 100 MB
	MaxFiles int         // default 10
	Filter   entryFilter // default: all kinds
}

// entryFilter selects entries of the journal. An entry must match all fields that are set.
type entryFilter = struct {
	Kinds        []string
	Actions      []string
	Repositories []string // patterns; an entry must match Repositories or Namespaces
	Namespaces   []string
}

// maxWebhooks is the maximum number of webhooks. Each webhook reads the journal by itself.
const maxWebhooks = 100

// kindWords are the values of entryFilter.Kinds: the keys of entries in JSON.
var kindWords = []string{"event", "decision", "change", "service"}

func webhooksKey() *strictyaml.Key[writtenConfig] {
	return strictyaml.On("webhooks", strictyaml.List(strictyaml.Section(endpointKeys(), checkWebhook)), func(w *writtenConfig, v []webhook) { w.Webhooks = v }).
		Says("Endpoints that receive entries of the journal over HTTPS: pushes, pulls and deletes, and on request also decisions and changes. See [Webhooks](webhooks.md).").
		Shows(`webhooks:
  - name: ci
    url: https://ci.example.com/hooks/registry
    secrets: [{ secret_file: /run/secrets/ci-webhook }]
    actions: [push, delete]
    repositories: ["team/**"]
`)
}

func endpointKeys() []*strictyaml.Key[webhook] {
	keys := []*strictyaml.Key[webhook]{
		strictyaml.On("name", sourceName(), func(w *webhook, v string) { w.Name = v }).Must().
			Says("The name in commands, the log and the journal. The position of a webhook in the journal is stored under this name."),
		strictyaml.On("url", webAddress(), func(w *webhook, v string) { w.URL = v }).Must().
			Says("The URL to which messages are sent. It must be `https://`, unless `private_addresses` is true."),
		strictyaml.On("secrets", strictyaml.List(strictyaml.Section(secretKeys(), checkSecret, checkSigningSecret)), putWebhookKeys).Must().
			Says("One or more secrets that sign each message. A secret begins with `whsec_`, or with `whsk_` if it is an Ed25519 private key. To replace a secret, first add the new one, and remove the old one when the receiver has the new one."),
		strictyaml.On("private_addresses", strictyaml.Bool, func(w *webhook, v bool) { w.Private = v }).Or("false").
			Says("Whether the host of `url` may have a loopback, link-local or private address. By default, messages are sent only to addresses of the public internet."),
		strictyaml.On("ca", strictyaml.FilePath("file"), func(w *webhook, v string) { w.CA = v }).
			Says("A PEM file with the CA certificates to verify the endpoint. The default is the system's CA certificates."),
	}
	return append(keys, filterKeys(func(w *webhook) *entryFilter { return &w.Filter }, "[event]")...)
}

// filterKeys returns the keys of the filter in a section. The default of the kinds is in YAML.
func filterKeys[S any](in func(*S) *entryFilter, kinds string) []*strictyaml.Key[S] {
	return []*strictyaml.Key[S]{
		strictyaml.On("kinds", strictyaml.List(oneOf(kindWords...)), func(s *S, v []string) { in(s).Kinds = v }).Or(kinds).
			Says("The kinds of entries. `event`: what registries report. `decision`: answers to token requests. `change`: changes of accounts, rules and settings. `service`: restarts, reloads and sign-ins."),
		strictyaml.On("actions", strictyaml.List(strictyaml.Line), func(s *S, v []string) { in(s).Actions = v }).
			Says("Only entries with one of these actions, such as `push`, `pull`, `mount`, `delete` or `user.add`. The default is all actions."),
		strictyaml.On("repositories", strictyaml.List(namePattern()), func(s *S, v []string) { in(s).Repositories = v }).
			Says("Only entries about a repository that matches one of these patterns. Patterns are as in rules, but without placeholders. With `namespaces`, the entry must match one of the two keys."),
		strictyaml.On("namespaces", strictyaml.List(namespaceName()), func(s *S, v []string) { in(s).Namespaces = v }).
			Says("Only entries about a repository of one of these namespaces, and changes of these namespaces."),
	}
}

func fileKeys() []*strictyaml.Key[journalFile] {
	keys := []*strictyaml.Key[journalFile]{
		strictyaml.On("name", sourceName(), func(f *journalFile, v string) { f.Name = v }).Must().
			Says("The name in commands, the log and the journal. A file and a webhook cannot have the same name."),
		strictyaml.On("path", strictyaml.FilePath("file"), func(f *journalFile, v string) { f.Path = v }).Must().
			Says("The file. Its folder must exist. Only the user who runs Tidewaiter can read a new file."),
		strictyaml.On("max_size", size(), func(f *journalFile, v int64) { f.MaxSize = v }).Or("100MB").
			Says("The size at which the file is renamed, such as `100MB` or `unlimited`. The file is renamed to `PATH.1`, `PATH.1` to `PATH.2`, and so on."),
		strictyaml.On("max_files", count(0, 1000), func(f *journalFile, v int) { f.MaxFiles = v }).Or("10").
			Says("How many renamed files are kept."),
	}
	return append(keys, filterKeys(func(f *journalFile) *entryFilter { return &f.Filter }, "[event, decision, change, service]")...)
}

// putWebhookKeys stores the keys of a webhook. It ignores invalid keys, because checkSigningSecret
// has reported them.
func putWebhookKeys(w *webhook, secrets []writtenSecret) {
	for _, s := range secrets {
		if key, err := signature.Parse(s.secret.Reveal()); err == nil {
			w.Keys = append(w.Keys, key)
		}
	}
}

// checkSigningSecret checks that a secret is a key that signs messages.
func checkSigningSecret(d *strictyaml.Decoder, n *yaml.Node, s *writtenSecret) {
	if s.secret.Reveal() == "" {
		return // checkSecret has reported it
	}
	if _, err := signature.Parse(s.secret.Reveal()); err != nil {
		d.Problem(n.Content[1], "%v", err)
	}
}

func checkWebhook(d *strictyaml.Decoder, n *yaml.Node, w *webhook) {
	if strings.HasPrefix(w.URL, "http:") && !w.Private {
		d.Problem(strictyaml.At(n, "url"), "messages would travel unencrypted: use https://, or private_addresses: true for an endpoint in your network")
		return
	}
	if u, err := url.Parse(w.URL); err == nil && !w.Private {
		if kind := endpoint.NotPublic(u.Hostname()); kind != "" {
			d.Warn(strictyaml.At(n, "url"), "no message can be sent, because the host is %s: to permit it, set private_addresses: true", kind)
		}
	}
}

// namePattern is the type of a pattern of repository names without placeholders.
func namePattern() strictyaml.Type[string] {
	return strictyaml.Scalar("pattern", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		if strings.Contains(s, "${") {
			d.Problem(n, "placeholders such as ${user} have no value here")
			return "", false
		}
		for _, p := range patternProblems(s) {
			d.Suggest(n, p.Suggestion, "%s", p.Text)
			return "", false
		}
		return s, true
	})
}

func patternProblems(pattern string) policy.Problems {
	err := policy.Limit{Names: []string{pattern}, Actions: scope.Pull}.Check()
	problems, _ := errors.AsType[policy.Problems](err)
	return problems
}

// namespaceName is the type of the name of a namespace.
func namespaceName() strictyaml.Type[string] {
	return strictyaml.Scalar("namespace", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		if strings.ContainsAny(s, "*?[]{}$") || len(patternProblems(s)) > 0 {
			d.Problem(n, "%s is not the name of a namespace such as team; for patterns, use repositories", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

// webhooks checks the webhooks and files together.
func (x crossChecks) webhooks() {
	for i, w := range x.c.Webhooks {
		first := slices.IndexFunc(x.c.Webhooks, func(other webhook) bool { return other.Name == w.Name })
		if w.Name != "" && first < i {
			x.d.Problem(x.nodeAt("webhooks", i, "name"), "another webhook is called %s, in line %d", text.QuoteShort(w.Name), x.nodeAt("webhooks", first).Line)
		}
		x.checkReadable(x.nodeAt("webhooks", i, "ca"), w.CA, false)
		x.checkActions(x.nodeAt("webhooks", i, "actions"), w.Filter)
	}
	names := make(map[string]bool)
	for _, w := range x.c.Webhooks {
		names[w.Name] = true
	}
	for i, f := range x.c.Journal.Files {
		if names[f.Name] && f.Name != "" {
			x.d.Problem(x.nodeAt("journal", "files", i, "name"), "another file or webhook is called %s", text.QuoteShort(f.Name))
		}
		names[f.Name] = true
		same := func(other journalFile) bool { return other.Path == f.Path && f.Path != "" }
		if slices.ContainsFunc(x.c.Journal.Files[:i], same) {
			x.d.Problem(x.nodeAt("journal", "files", i, "path"), "another item of the list has the same path")
		}
		x.checkAppendable(x.nodeAt("journal", "files", i, "path"), f.Path)
		x.checkActions(x.nodeAt("journal", "files", i, "actions"), f.Filter)
	}
	if len(x.c.Journal.Files) > maxWebhooks {
		x.d.Problem(x.nodeAt("journal", "files"), "there are %d files; at most %d are possible", len(x.c.Journal.Files), maxWebhooks)
	}
	if len(x.c.Webhooks) > maxWebhooks {
		x.d.Problem(x.nodeAt("webhooks"), "there are %d webhooks; at most %d are possible", len(x.c.Webhooks), maxWebhooks)
	}
}

// checkAppendable checks that entries can be appended to a file. A missing folder is a warning,
// because entries wait until the folder exists.
func (x crossChecks) checkAppendable(n *yaml.Node, file string) {
	if file == "" {
		return
	}
	database, sqlite := strings.CutPrefix(x.c.Database, "sqlite:")
	if sqlite && (file == database || strings.HasPrefix(file, database+"-") || strings.HasPrefix(file, database+".")) {
		x.d.Problem(n, "this file belongs to the database: give another file")
		return
	}
	if slices.Contains(x.d.Files, file) {
		x.d.Problem(n, "this file belongs to the config: give another file")
		return
	}
	if _, err := x.d.Check(file); errors.Is(err, strictyaml.ErrFolder) {
		x.d.Problem(n, "%v", err)
	} else if _, err := x.d.List(filepath.Dir(file)); err != nil {
		x.d.Warn(n, "entries wait until the folder exists: %v", err)
	}
}

// eventActions are the actions of the events that registries report, as in package notification.
var eventActions = []string{"push", "pull", "mount", "delete"}

// checkActions adds a warning for each action that no entry of the filter's kinds has. n is the
// list of actions.
func (x crossChecks) checkActions(n *yaml.Node, f entryFilter) {
	has := func(kind string) bool { return slices.Contains(f.Kinds, kind) }
	for i, action := range f.Actions {
		switch dotted := strings.Contains(action, "."); {
		case dotted && !has("change") && !has("service"):
			x.d.Warn(strictyaml.At(n, i), "no entry of these kinds has the action %s: add change or service to kinds", text.QuoteShort(action))
		case !dotted && len(f.Kinds) == 1 && has("event") && !slices.Contains(eventActions, action):
			x.d.Warn(strictyaml.At(n, i), "registries report only the actions %s, but not %s", strings.Join(eventActions, ", "), text.QuoteShort(action))
		}
	}
}
