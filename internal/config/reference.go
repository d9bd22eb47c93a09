package config

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/manual"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

//go:generate go test . -run TestReferenceIsUpToDate -update

// reference returns the reference of all keys in Markdown: docs/configuration.md.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceTop + introduction)
	var rows []strictyaml.Row
	for _, k := range configKeys(nil) {
		rows = append(rows, k.Row)
	}
	for _, r := range rows {
		fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n", r.Name, r.Means)
		fmt.Fprintf(&b, "Type: %s.\n", facts(r))
		if r.Example != "" {
			fmt.Fprintf(&b, "\n```yaml\n%s```\n", r.Example)
		}
		describe(&b, r.Name, r.Keys)
	}
	tests := policyfile.TestRow()
	fmt.Fprintf(&b, "\n# Files of tests\n\n%s\n## `%s`\n\n%s\n", aboutTests, tests.Name, tests.Means)
	describe(&b, tests.Name, tests.Keys)
	return b.String()
}

const aboutTests = "The files that `tidewaiter policy test` reads. See [Policy](policy.md#tests). A file has one key at its top, the list `tests`.\n"

const referenceTop = `<!-- Generated from the tables in internal/config and internal/policyfile by "make generate". -->

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
- A list must not be empty. A key without a value is an error; leave the key out to use the default.
- Text is used as it is written: ` + "`0777` and `on`" + ` are text where text is expected. Quote text that begins
  with ` + "`*`, `&`, `!`, `{`, `[` or `@`" + `.
- A duration is a number with a unit: ` + "`90s`, `5m`, `24h`" + `.
- A relative path is relative to the file that contains it. ` + "`~`" + ` is not expanded.
- Files are UTF-8, with one YAML document each, and at most 32 MiB. Anchors, aliases, merge keys and
  tags are errors.
`

// facts returns the kind of a key, whether it is required, and its default.
func facts(r strictyaml.Row) string {
	parts := []string{r.Kind}
	switch {
	case r.Required:
		parts = append(parts, "required")
	case r.Default != "" && r.Default != "{}":
		parts = append(parts, "default: `"+r.Default+"`")
	}
	return strings.Join(parts, "; ")
}

// describe writes the table of a section's keys, followed by the tables of its subsections.
func describe(b *strings.Builder, path string, keys []strictyaml.Row) {
	if len(keys) == 0 {
		return
	}
	b.WriteString("\n| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		standard := ""
		switch {
		case k.Required:
			standard = "required"
		case k.Default != "" && k.Default != "{}":
			standard = "`" + k.Default + "`"
		}
		means := k.Means
		if len(k.Keys) > 0 { // the description is below the heading of the section
			means, _, _ = strings.Cut(means, ". ")
			means = fmt.Sprintf("%s. [Keys](#%s)", strings.TrimSuffix(means, "."), strings.ReplaceAll(path+k.Name, ".", ""))
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Name, k.Kind, standard, strings.ReplaceAll(means, "|", "\\|"))
	}
	for _, k := range keys {
		if len(k.Keys) > 0 {
			fmt.Fprintf(b, "\n### `%s.%s`\n\n%s\n", path, k.Name, k.Means)
			describe(b, path+"."+k.Name, k.Keys)
		}
	}
}

// Manual returns the manual page of tidewaiter.yaml, from the same tables as
// docs/configuration.md.
func Manual(program string) []byte {
	p := manual.New("tidewaiter.yaml", 5, program, "the config of tidewaiter")
	p.Section("Description")
	p.Text(introduction)
	p.Section("Keys")
	for _, k := range configKeys(nil) {
		p.Part(k.Name)
		p.Text(k.Means)
		p.Text("Type: " + facts(k.Row) + ".")
		if k.Example != "" {
			p.Code(k.Example)
		}
		explain(p, k.Name, k.Keys)
	}
	tests := policyfile.TestRow()
	p.Section("Files of tests")
	p.Text(aboutTests)
	p.Part(tests.Name)
	p.Text(tests.Means)
	explain(p, tests.Name, tests.Keys)
	p.Section("Files")
	p.Item("tidewaiter.yaml", "", "The config in the current folder. `--config` names another file.")
	p.Section("See also")
	p.Text("`tidewaiter`(1), `tidewaiter-check`(1), `tidewaiter-policy-test`(1)")
	return p.Bytes()
}

// explain writes the keys of a section, followed by its subsections.
func explain(p *manual.Page, path string, keys []strictyaml.Row) {
	for _, k := range keys {
		p.Item(k.Name, strings.ReplaceAll(facts(k), "`", ""), k.Means)
	}
	for _, k := range keys {
		if len(k.Keys) > 0 {
			p.Part(path + "." + k.Name)
			p.Text(k.Means)
			explain(p, path+"."+k.Name, k.Keys)
		}
	}
}
