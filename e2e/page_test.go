package e2e

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
)

// page is the template of docs/compatibility.md.
var page = template.Must(template.New("").Parse(`<!-- Generated from test results by: cd e2e && go test -run TestCompatibility -update -->

# Compatibility

What works with which client and which registry. Each cell was tested with a real registry and a
real Tidewaiter. Each step was checked in the registry's storage and in Tidewaiter's journal, and
not only by the client's output. The tests that generate this page are in ` + "`e2e/`" + `. They fail when a
row is no longer true.

| client | registry |{{range .Operations}} {{.}} |{{end}}
|---|---|{{range .Operations}}---|{{end}}
{{range .Rows}}{{.}}
{{end}}
- ✓ works. – the client has no such command. *✓ mount*: blobs were mounted from the other
  repository instead of being pushed again, which requires the right to pull there.
- *login*: with the right password. crane and containerd only store the password and send it with
  the next request.
- *pull*: by a user who may pull and not push.
- *copy*: between two repositories of one registry. docker and podman pull, tag and push.
- *list tags* and *catalog*: in podman, ` + "`podman search --list-tags`" + ` and ` + "`podman search HOST/`" + `.
  Only the administrator may list the catalog: the catalog needs a separate grant, and a registry
  cannot list only a part of its catalog.
- *delete*: of a manifest by its digest, by an administrator. A user who may only push is refused.
- *wrong password*: refused at login or, if the client only stores the password, with the next
  request.
- *denied push*: by a user who may only pull. The push is refused, and the registry stores
  nothing.
- *anonymous pull*: without a login, a public repository can be pulled, and a private one cannot.

## Credentials

The kinds of credentials of users and programs, with each client and registry 3.1. Each client
signed in, pushed and pulled, and the registry's event of the push had the right name.

| client |{{range .Credentials}} {{.}} |{{end}}
|---|{{range .Credentials}}---|{{end}}
{{range .Ways}}{{.}}
{{end}}
- *access token restricted to pull*: the token can pull. A push is refused, even though the
  token's user may push.
- *refresh token*: docker login requests a refresh token and stores it instead of the password.
  The other clients read the refresh token from docker's config file (` + "`identitytoken`" + `), except
  containerd, which gets it as the secret of an empty name.
- *previous secret*: after ` + "`tidewaiter robot rotate`" + ` the previous secret is valid for a day.
- *directory*: OpenLDAP over TLS.
- *ID token*: the client presents an ID token as the password, with any name. The test's issuer
  issues tokens like those of GitHub Actions and Kubernetes, and rotated its key during the test.
- After ` + "`tidewaiter token revoke`" + `, ` + "`user disable`" + ` and ` + "`robot disable`" + `, while the service ran, each
  client was refused with its stored credentials.

## Less common

These are tested, too, with registries 2.8 and 3.1:

- *A push that takes longer than its tokens are valid*: the clients of the first table continue,
  even if several tokens expire during the push. regctl is not tested, because it only uses the
  local clock, which the test does not change.
- *BuildKit* builds from two private images. ` + "`docker manifest push`" + ` pushes a list of images from
  three repositories. *kaniko* checks first whether it may push. *Renovate* reads tags and digests.
- *Passwords* with colons, quotes, blanks at both ends, umlauts and 240 characters, and *service
  names* with blanks, a port or a whole URL: docker, skopeo, crane, oras, regctl and containerd.
- *Mirrors*: both registries as pull-through caches of a private registry
  ([requirements](mirrors.md)).

## Versions

| | version |
|---|---|
{{range .Versions}}| {{.Name}} | {{.Text}} |
{{end}}
Here Tidewaiter signs with short-lived certificates under its root (` + "`key_id: x5c`" + `), the default.
Tokens with all other kinds of key ids are tested with the registries' own verifiers: versions
2.8.3, 3.0.0 and 3.1.2.

## What a refusal looks like

These are the messages with registry 3.1. If Tidewaiter rejects a password, clients that print a
server's message print Tidewaiter's message. If Tidewaiter grants less than was requested, docker,
crane, oras and helm get the reason with the id of the decision. All other clients, and all
anonymous clients, get a token with the granted part, because for these clients a partial grant is
not an error. If the token is not sufficient, the registry refuses the request, and the message is
the registry's or the client's own.
{{range .Refusals}}
### {{.Operation}}

| client | message |
|---|---|
{{range .Says}}| {{.Name}} | {{.Text}} |
{{end}}{{end}}`))

type named struct{ Name, Text string }

func (c *compatibility) page(t *testing.T, kinds []client.Kind, versions []registry.Version) []byte {
	t.Helper()
	type refusal struct {
		Operation operation
		Says      []named
	}
	var data struct {
		Operations []operation
		Rows       []string
		Versions   []named
		Refusals   []refusal

		Credentials []credential
		Ways        []string
	}
	data.Operations, data.Credentials = operations, credentials
	for _, k := range kinds {
		for _, v := range versions {
			data.Rows = append(data.Rows, c.row(v, k))
		}
	}
	for _, k := range kinds {
		data.Ways = append(data.Ways, c.clientRow(k))
	}
	for _, v := range versions {
		data.Versions = append(data.Versions, named{"registry " + string(v), registry.VersionText(t, v)})
	}
	for _, k := range kinds {
		data.Versions = append(data.Versions, named{k.Name, k.Version(t)})
	}
	for _, o := range []operation{wrongPassword, deniedPush, anonymousPull} {
		r := refusal{Operation: o}
		for _, k := range kinds {
			r.Says = append(r.Says, named{k.Name, "`" + c.refusals[cell{registry.V31, k.Name, o}] + "`"})
		}
		data.Refusals = append(data.Refusals, r)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plainError returns the text of a client's error without progress messages, and without the parts
// that are different in each run.
func plainError(err error, host string) string {
	text := err.Error()
	if program, ok := errors.AsType[*process.Error](err); ok {
		text = program.Text
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.Contains(line, "level=warning") || progress.MatchString(line) {
			continue
		}
		lines = append(lines, line)
	}
	text = strings.Join(lines, " ")
	text = strings.ReplaceAll(text, host, "registry.example.com")
	for _, r := range []struct{ find, put string }{
		{`localhost:\d+`, "auth.example.com"},
		{`sha256:[0-9a-f]{64}`, "sha256:…"},
		{decisionID.String(), "…"},
		{`time="[^"]*" `, ""},
		{`\\n`, " "},
		{`\\"`, `"`},
		{`\s+`, " "},
		{`\|`, `\|`},
	} {
		text = regexp.MustCompile(r.find).ReplaceAllString(text, r.put)
	}
	return text
}

// progress matches the normal output of programs.
var progress = regexp.MustCompile(`^(Getting image source|Copying |Trying to pull|The push refers to|[0-9a-f]{12}: )`)
