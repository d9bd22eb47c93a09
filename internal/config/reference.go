package config

import (
	"fmt"
	"strings"
)

//go:generate go test . -run TestReferenceIsUpToDate -update

// Reference returns the reference of all keys, in Markdown: docs/configuration.md.
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

const aboutTests = "What `tidewaiter policy test` reads; the page [Policy](policy.md#tests) shows how. At the top of a file is one key, `tests`, a list.\n"

const referenceTop = `<!-- Made from the tables in internal/config/keys.go by "make generate". Change it there. -->

# Configuration

`

// introduction is what the reference and the manual page begin with.
const introduction = `Tidewaiter reads one file, ` + "`tidewaiter.yaml`" + `, and the policy files that it names. ` + "`tidewaiter check`" + ` says all that
is wrong with them, each mistake with its line and column and what was probably meant.

The smallest config that does something:

` + "```yaml" + `
registries:
  - service: registry.example.com
identity:
  - htpasswd: { file: users.htpasswd }
policy:
  rules:
    - { name: everything, subjects: [signed-in], repositories: ["**"], actions: [pull, push, delete] }
` + "```" + `

What holds for all keys:

- A key that is not in this reference is a mistake, and so is one that is written twice. Nothing is ignored: a key that
  was meant to close something must not leave it open because it was misspelt.
- A list that is written has something in it. A key without a value is a mistake; leave it out to have the default.
- Text is taken as it is written: ` + "`0777` and `on`" + ` are texts where a text belongs. Quote what begins with ` + "`*`, `&`, `!`, `{`, `[` or `@`" + `.
- A duration is a number with a unit: ` + "`90s`, `5m`, `24h`" + `.
- A relative path counts from the file that it is written in. ` + "`~`" + ` is not read.
- Files are UTF-8, with one YAML document each, and at most 32 MiB. Anchors, aliases, merge keys and tags are not read.
`

// facts returns kind, need and default of a key.
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

// describe writes the table of a section's keys, and below it those of the sections in it.
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
