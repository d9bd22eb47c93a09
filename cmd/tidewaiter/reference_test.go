package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const preface = `# Commands

<!-- Written from the commands themselves: make generate -->

What each command of ` + "`tidewaiter`" + ` does. ` + "`tidewaiter COMMAND --help`" + ` says the same.

- Data goes to standard output, everything else to standard error. Commands that print data print it for
  programs with ` + "`--output json`" + `.
- The exit code is 0, or 1 if something failed, or 2 if the command line was wrong.
- The config is ` + "`tidewaiter.yaml`" + ` in the current folder, unless ` + "`--config`" + ` names another.
- Colours are for terminals only. [` + "`NO_COLOR`" + `](https://no-color.org) turns them off.

`

// docs/commands.md is written from the commands, so that it cannot say otherwise than they do.
func TestCommandsReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(preface)
	root := newRoot()
	for _, group := range root.Groups() {
		fmt.Fprintf(&b, "- %s", group.Title)
		comma := ""
		for _, c := range root.Commands() {
			if c.GroupID != group.ID {
				continue
			}
			leaves := c.Commands()
			if len(leaves) == 0 {
				leaves = []*cobra.Command{c}
			}
			for _, leaf := range leaves {
				fmt.Fprintf(&b, "%s [%s](#%s)", comma, strings.TrimPrefix(leaf.CommandPath(), "tidewaiter "), anchor(leaf))
				comma = ","
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, c := range root.Commands() {
		if c.Name() != "completion" && c.Name() != "help" {
			describeCommand(&b, c)
		}
	}
	b.WriteString(`## tidewaiter completion

Completions for bash, zsh, fish and PowerShell; ` + "`tidewaiter completion bash --help`" + ` says how to load them.
`)
	const file = "../../docs/commands.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(written)); diff != "" {
		t.Errorf("docs/commands.md is not what the commands say: make generate (-commands +file):\n%s", diff)
	}
}

func anchor(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func describeCommand(b *strings.Builder, c *cobra.Command) {
	if !c.HasSubCommands() {
		fmt.Fprintf(b, "## %s\n\n", c.CommandPath())
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(b, "%s\n\n", text)
		fmt.Fprintf(b, "```\n%s\n```\n\n", unindent(c.Example))
		b.WriteString("| flag | what | default |\n|---|---|---|\n")
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			kind, what := pflag.UnquoteUsage(f)
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			if kind != "" {
				name += " " + kind
			}
			standard := f.DefValue
			if standard == "false" || standard == "[]" {
				standard = ""
			}
			if standard != "" {
				standard = "`" + standard + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), what, standard)
		})
		b.WriteString("\n")
	}
	for _, sub := range c.Commands() {
		describeCommand(b, sub)
	}
}

func unindent(example string) string {
	lines := strings.Split(example, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

// substituted is what a shell puts a word in place of.
var substituted = regexp.MustCompile(`\$\([^)]*\)`)

// shellWord is what a shell takes for a word.
var shellWord = regexp.MustCompile(`'[^']*'|\S+`)

// Whoever types an example of the help must not be told that it is wrong.
func TestExamplesAreUnderstood(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Runnable() && !c.HasSubCommands() && c.Example == "" && c.Parent().Name() != "completion" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			_, line, found := strings.Cut(line, "tidewaiter ")
			if !found || strings.Contains(line, "HEALTHCHECK") || strings.Contains(line, `", "`) {
				continue
			}
			line = substituted.ReplaceAllString(line, "x")
			for _, end := range []string{" #", " |", " >", " &&"} {
				line, _, _ = strings.Cut(line, end)
			}
			root := newRoot()
			cmd, rest, err := root.Find(shellWord.FindAllString(line, -1))
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRoot())
}
