package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

const preface = `# Commands

<!-- Written from the commands themselves: make generate -->

This page describes all commands of ` + "`tidewaiter`" + `. ` + "`tidewaiter COMMAND --help`" + ` prints the same text.
[` + "`tidewaiter man`" + `](#tidewaiter-man) writes it as manual pages.

` + conventions + "\n"

// docs/commands.md is generated from the commands. It must not differ from the commands.
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
			for _, end := range leafCommands(c) {
				fmt.Fprintf(&b, "%s [%s](#%s)", comma, strings.TrimPrefix(end.CommandPath(), "tidewaiter "), pageName(end))
				comma = ","
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			describeCommand(&b, c)
		}
	}
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
		t.Errorf("docs/commands.md differs from the commands: run make generate (-commands +file):\n%s", diff)
	}
}

// leafCommands returns the commands without subcommands: c itself, or the commands below c. It
// leaves out hidden commands and their subcommands.
func leafCommands(c *cobra.Command) []*cobra.Command {
	if c.Hidden {
		return nil
	}
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var found []*cobra.Command
	for _, sub := range c.Commands() {
		found = append(found, leafCommands(sub)...)
	}
	return found
}

func describeCommand(b *strings.Builder, c *cobra.Command) {
	if c.Hidden {
		return
	}
	shells := c.Name() == "completion" // all on one page
	if !c.HasSubCommands() || shells {
		fmt.Fprintf(b, "## %s\n\n%s\n\n```\n%s\n```\n\n", c.CommandPath(), description(c), unindent(c.Example))
		if flags := flagsOf(c); len(flags) > 0 {
			b.WriteString("| flag | what | default |\n|---|---|---|\n")
			for _, f := range flags {
				name := strings.TrimSpace(f.name + " " + f.value)
				standard := ""
				if f.standard != "" {
					standard = "`" + f.standard + "`"
				}
				fmt.Fprintf(b, "| `%s` | %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), f.what, standard)
			}
			b.WriteString("\n")
		}
	}
	if shells {
		return
	}
	for _, sub := range c.Commands() {
		describeCommand(b, sub)
	}
}

// substitution matches a command substitution of a shell.
var substitution = regexp.MustCompile(`\$\([^)]*\)`)

// shellWord matches a word of a command line.
var shellWord = regexp.MustCompile(`'[^']*'|\S+`)

// Every example in help has a valid command line.
func TestExamplesAreValid(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Runnable() && !c.Hidden && !c.HasSubCommands() && c.Example == "" && c.Parent().Name() != "completion" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			_, line, found := strings.Cut(line, "tidewaiter ")
			if !found || strings.Contains(line, "HEALTHCHECK") || strings.Contains(line, `", "`) {
				continue
			}
			line = substitution.ReplaceAllString(line, "x")
			for _, end := range []string{" #", " |", " >", " <", " &&"} {
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
