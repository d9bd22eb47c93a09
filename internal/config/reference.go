package config

import (
	"fmt"
	"strings"
)

//go:generate go test . -run TestReferenceIsUpToDate -update

// Reference returns the reference of all keys in Markdown: docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceTop + introduction)
	var rows []row
	for _, k := range configKeys() {
		rows = append(rows, k.row)
	}
	for _, r := range rows {
		fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n", r.name, r.means)
		fmt.Fprintf(&b, "Holds: %s.\n", facts(r))
		if r.example != "" {
			fmt.Fprintf(&b, "\n```yaml\n%s```\n", r.example)
		}
		describe(&b, r.name, r.keys)
	}
	tests := testFileKeys()[0].row
	fmt.Fprintf(&b, "\n# Files of tests\n\n%s\n## `%s`\n\n%s\n", aboutTests, tests.name, tests.means)
	describe(&b, tests.name, tests.keys)
	return b.String()
}

const aboutTests = "The files that `tidewaiter policy test` reads. See [Policy](policy.md#tests). A file has one key at its top, the list `tests`.\n"

const referenceTop = `<!-- Made from the tables in internal/config/keys.go by "make generate". Change it there. -->

# Configuration

`

// introduction is the beginning of the reference and of the manual page.
const introduction = `Tidewaiter reads one file, ` + "`tidewaiter.yaml`" + `, and the policy files that it names. ` + "`tidewaiter check`" + `
reports all errors in them, each with its line and column and a suggestion.

A minimal config:

` + "```yaml" + `
registries:
  - service: registry.example.com
identity:
  - htpasswd: { file: users.htpasswd }
policy:
  rules:
    - { name: everything, subjects: [signed-in], repositories: ["**"], actions: [pull, push, delete] }
` + "```" + `

For all keys:

- A key that is not in this reference is an error, and so is a key that is written twice. Unknown keys are
  never ignored: a misspelt key that should restrict something must not leave it open.
- A list must not be empty. A key without a value is an error; leave it out to use the default.
- Text is used as it is written: ` + "`0777` and `on`" + ` are text where text is expected. Quote text that begins
  with ` + "`*`, `&`, `!`, `{`, `[` or `@`" + `.
- A duration is a number with a unit: ` + "`90s`, `5m`, `24h`" + `.
- A relative path is relative to the file that contains it. ` + "`~`" + ` is not expanded.
- Files are UTF-8, with one YAML document each, and at most 32 MiB. Anchors, aliases, merge keys and
  tags are errors.
`

// facts returns the kind of a key, whether it is required, and its default.
func facts(r row) string {
	parts := []string{r.kind}
	switch {
	case r.required:
		parts = append(parts, "required")
	case r.standard != "" && r.standard != "{}":
		parts = append(parts, "default: `"+r.standard+"`")
	}
	return strings.Join(parts, "; ")
}

// describe writes the table of a section's keys, and below it the tables of its subsections.
func describe(b *strings.Builder, path string, keys []row) {
	if len(keys) == 0 {
		return
	}
	b.WriteString("\n| key | holds | default | |\n|---|---|---|---|\n")
	for _, k := range keys {
		standard := ""
		switch {
		case k.required:
			standard = "required"
		case k.standard != "" && k.standard != "{}":
			standard = "`" + k.standard + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.name, strings.ReplaceAll(k.kind, "|", "\\|"), standard, strings.ReplaceAll(k.means, "|", "\\|"))
	}
	for _, k := range keys {
		if len(k.keys) > 0 {
			fmt.Fprintf(b, "\n### `%s.%s`\n\n%s\n", path, k.name, k.means)
			describe(b, path+"."+k.name, k.keys)
		}
	}
}
