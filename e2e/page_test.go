package e2e

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
)

// page is docs/compatibility.md, whole.
var page = template.Must(template.New("").Parse(`<!-- Made from what was seen, by: cd e2e && go test -run TestCompatibility -update -->

# Compatibility

What works, with which client and which registry. Each cell was tried, with a real registry behind a real Tidewaiter,
and each step was checked in the registry's storage and in Tidewaiter's journal, not only by what the client said.
The tests that make this page are in ` + "`e2e/`" + `, and they fail when a row of it no longer holds.

| client | registry |{{range .Operations}} {{.}} |{{end}}
|---|---|{{range .Operations}}---|{{end}}
{{range .Rows}}{{.}}
{{end}}
- ✓ works. – the client has no such command. *✓ mount*: blobs were mounted from the other repository, instead of being
  pushed again, which needs leave to pull from there.
- *login*: with the right password. crane and containerd only remember it; they show it with the next request.
- *pull*: by somebody who may pull and not push.
- *copy*: between two repositories of one registry. docker and podman pull, tag and push.
- *list tags* and *catalog*: podman has them as ` + "`podman search --list-tags`" + ` and ` + "`podman search HOST/`" + `. The catalog is shown to an
  administrator, and refused to others: it is a grant of its own, and a registry cannot show a part of it.
- *delete*: of a manifest by its digest, by an administrator; it is refused to somebody who may push.
- *wrong password*: it is refused at login, or, where login asks nobody, with the next request.
- *denied push*: somebody who may only pull tries to push: it is refused, and nothing of it reaches the registry.
- *anonymous pull*: without a login, what is open to everybody is pulled, and what is not is refused.

## Credentials

What people and programs show, with which client, before registry 3.1. Each signed in, pushed and pulled, and the registry's
event of the push had the name of whom it was.

| client |{{range .Credentials}} {{.}} |{{end}}
|---|{{range .Credentials}}---|{{end}}
{{range .Ways}}{{.}}
{{end}}
- *access token narrowed to pull*: it pulls, and its push is refused, though its user may push.
- *refresh token*: docker login asks for one, and keeps it in place of the password. All others find it in the config file that
  docker leaves (` + "`identitytoken`" + `), but for containerd, which is given it as the secret of an empty name.
- *secret before the last*: ` + "`tidewaiter robot rotate`" + ` leaves the secret before good for a day.
- *directory*: an OpenLDAP, over TLS.
- *ID token*: as the password, with any name, of an issuer that makes tokens as GitHub Actions and Kubernetes do. The issuer
  changed its key meanwhile.
- After ` + "`tidewaiter token revoke`, `user disable` and `robot disable`" + `, beside the running service, each client was refused
  with what it still remembered.

## Less common

These are tried, too, with registries 2.8 and 3.1:

- *A push that outlives its tokens*: the clients of the first table go on when their token expires between two requests, again and
  again. regctl, which goes by its own clock alone, is left out.
- *BuildKit* builds from two private images. ` + "`docker manifest push`" + ` pushes a list of images from three repositories. *kaniko* looks
  first whether it may push. *Renovate* reads tags and digests.
- *Passwords* with colons, quotes, blanks at both ends, umlauts and 240 characters, and *names of registries* with blanks, a port
  or a whole URL: docker, skopeo, crane, oras, regctl and containerd.
- *Mirrors*: both registries as pull-through caches of a private one ([what they need](mirrors.md)).

## What was used

| | version |
|---|---|
{{range .Versions}}| {{.Name}} | {{.Text}} |
{{end}}
Tidewaiter signs with short-lived certificates under its root here (` + "`key_id: x5c`" + `), which is the default. Tokens of all
other kinds are held against the registries' own verifiers: versions 2.8.3, 3.0.0 and 3.1.2.

## What a refusal looks like

As registry 3.1 and the client have it. Where Tidewaiter refuses a password, its own words come through, in clients that
show them. Where it grants somebody less than was asked, docker, crane, oras and helm are told why, with the id of the decision. All
others, and whoever is not signed in, get a token with what is granted, since for them a partial grant is no error; the registry
refuses then, and the words are the registry's or the client's.
{{range .Refusals}}
### {{.Operation}}

| client | what it says |
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
		data.Ways = append(data.Ways, c.ways(k))
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

// plain takes from a client's words what differs from run to run, and what is no words.
func plain(err error, host string) string {
	text := err.Error()
	if program, ok := errors.AsType[*part.Error](err); ok {
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

// progress is what programs write while nothing is wrong.
var progress = regexp.MustCompile(`^(Getting image source|Copying |Trying to pull|The push refers to|[0-9a-f]{12}: )`)
