package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/manual"
)

func newMan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "man",
		Short: "Write manual pages for all commands and the config",
		Long: `Write manual pages: tidewaiter(1), one for each command, such as tidewaiter-explain(1), and
tidewaiter.yaml(5) with every key of the config. They are written to the folders man1 and man5, where
man looks for them. Existing pages are replaced.`,
		Example: `  tidewaiter man --dir man && man -M man tidewaiter-explain
  sudo tidewaiter man --dir /usr/local/share/man
  docker run --rm --user 0 --volume "$PWD/man:/man" tidewaiter man --dir /man`,
	}
	dir := cmd.Flags().String("dir", "man", "the `folder` for man1 and man5")
	_ = cmd.MarkFlagDirname("dir") // fails only for an unknown flag
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		program := "tidewaiter " + built().Version
		pages := map[string][]byte{filepath.Join("man5", "tidewaiter.yaml.5"): config.Manual(program)}
		manualPages(pages, cmd.Root(), program)
		for name, page := range pages {
			file := filepath.Join(*dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("writing manual pages: %w", err)
			}
			if err := os.WriteFile(file, page, 0o644); err != nil {
				return fmt.Errorf("writing manual pages: %w", err)
			}
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d pages in %s\n", len(pages), *dir)
		return err
	}
	return cmd
}

// manualPages adds the pages of a command and its subcommands. The page of completion covers its shells.
func manualPages(pages map[string][]byte, c *cobra.Command, program string) {
	pages[filepath.Join("man1", dashed(c)+".1")] = manualPage(c, program)
	if c.Name() == "completion" {
		return
	}
	for _, sub := range c.Commands() {
		if sub.Name() != "help" {
			manualPages(pages, sub, program)
		}
	}
}

// dashed returns the name of a command's page.
func dashed(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manualPage(c *cobra.Command, program string) []byte {
	p := manual.New(dashed(c), 1, program, strings.ToLower(c.Short[:1])+c.Short[1:])
	p.Section("Synopsis")
	switch {
	case c.HasSubCommands():
		p.Text("`" + c.CommandPath() + "` COMMAND")
	default:
		p.Text("`" + c.CommandPath() + "`" + strings.TrimPrefix(c.UseLine(), c.CommandPath()))
	}
	p.Section("Description")
	p.Text(told(c))
	if !c.HasParent() {
		p.Text(conventions)
	}
	if c.HasSubCommands() && c.Name() != "completion" {
		p.Section("Commands")
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				p.Item(dashed(sub)+"(1)", "", sub.Short+".")
			}
		}
	}
	if flags := flagsOf(c); len(flags) > 0 {
		p.Section("Options")
		for _, f := range flags {
			what := f.what
			if f.standard != "" {
				what += " (default: " + f.standard + ")"
			}
			p.Item(f.name, f.value, what)
		}
	}
	if c.Example != "" {
		p.Section("Examples")
		p.Code(unindent(c.Example))
	}
	p.Section("See also")
	var others []string
	for c := c; c.HasParent(); c = c.Parent() {
		others = append(others, "`"+dashed(c.Parent())+"`(1)")
	}
	p.Text(strings.Join(append(others, "`tidewaiter.yaml`(5)"), ", "))
	return p.Bytes()
}

// conventions hold for all commands.
const conventions = `- Data goes to standard output, everything else to standard error. With ` + "`--output json`" + `, commands
  print their data as JSON.
- The exit code is 0 for success, 1 for a failure and 2 for an invalid command line.
- The config is ` + "`tidewaiter.yaml`" + ` in the current folder, unless ` + "`--config`" + ` names another.
- Colours are used on terminals only. [` + "`NO_COLOR`" + `](https://no-color.org) turns them off.
`

// told returns the description of a command.
func told(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

// flagLine is a flag in a reference.
type flagLine struct{ name, value, what, standard string }

// flagsOf returns the flags of a command, without --help.
func flagsOf(c *cobra.Command) []flagLine {
	var lines []flagLine
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		line := flagLine{name: "--" + f.Name, standard: f.DefValue}
		line.value, line.what = pflag.UnquoteUsage(f)
		if f.Shorthand != "" {
			line.name = "-" + f.Shorthand + ", " + line.name
		}
		if line.standard == "false" || line.standard == "[]" {
			line.standard = ""
		}
		lines = append(lines, line)
	})
	return lines
}

// unindent removes the indentation of an example.
func unindent(example string) string {
	lines := strings.Split(example, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
