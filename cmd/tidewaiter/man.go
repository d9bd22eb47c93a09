package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/manual"
)

func manCommand() command {
	return command{
		use:   "man",
		short: "Write manual pages for all commands and the config",
		long: `Write manual pages: tidewaiter(1), one for each command, such as
tidewaiter-explain(1), and tidewaiter.yaml(5) with every key of the config. The pages are
written to the folders man1 and man5, where man looks for them. Existing pages are replaced.`,
		example: `  tidewaiter man --dir man && man -M man tidewaiter-explain
  sudo tidewaiter man --dir /usr/local/share/man
  docker run --rm --user 0 --volume "$PWD/man:/man" tidewaiter man --dir /man`,
		flags: func(f *flags) action {
			var dir string
			f.folder(&dir, "dir", "man", "the `folder` for man1 and man5")
			return func(s *session) error {
				program := "tidewaiter " + thisBuild().Version
				pages := map[string][]byte{filepath.Join("man5", "tidewaiter.yaml.5"): config.Manual(program)}
				manualPages(pages, s.cmd.Root(), program)
				for name, page := range pages {
					file := filepath.Join(dir, name)
					if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
						return fmt.Errorf("writing manual pages: %w", err)
					}
					if err := os.WriteFile(file, page, 0o644); err != nil {
						return fmt.Errorf("writing manual pages: %w", err)
					}
				}
				return s.print(nil, "%d pages in %s", len(pages), dir)
			}
		},
	}
}

// manualPages adds the pages of a command and its subcommands. The subcommands of "tidewaiter
// completion" share one page.
func manualPages(pages map[string][]byte, c *cobra.Command, program string) {
	pages[filepath.Join("man1", pageName(c)+".1")] = manualPage(c, program)
	if c.Name() == "completion" {
		return
	}
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && !sub.Hidden {
			manualPages(pages, sub, program)
		}
	}
}

// pageName returns the name of a command's page, such as tidewaiter-user-add.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manualPage(c *cobra.Command, program string) []byte {
	p := manual.New(pageName(c), 1, program, strings.ToLower(c.Short[:1])+c.Short[1:])
	p.Section("Synopsis")
	synopsis := strings.TrimPrefix(c.UseLine(), c.CommandPath())
	if c.HasSubCommands() {
		synopsis = " COMMAND"
	}
	p.Text("`" + c.CommandPath() + "`" + synopsis)
	p.Section("Description")
	p.Text(description(c))
	if !c.HasParent() {
		p.Text(conventions)
	}
	if c.HasSubCommands() && c.Name() != "completion" {
		p.Section("Commands")
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && !sub.Hidden {
				p.Item(pageName(sub)+"(1)", "", sub.Short+".")
			}
		}
	}
	if flags := flagsOf(c); len(flags) > 0 {
		p.Section("Options")
		for _, f := range flags {
			if f.standard != "" {
				f.what += " (default: " + f.standard + ")"
			}
			p.Item(f.name, f.value, f.what)
		}
	}
	if c.Example != "" {
		p.Section("Examples")
		p.Code(unindent(c.Example))
	}
	p.Section("See also")
	var others []string
	for c := c; c.HasParent(); c = c.Parent() {
		others = append(others, "`"+pageName(c.Parent())+"`(1)")
	}
	p.Text(strings.Join(append(others, "`tidewaiter.yaml`(5)"), ", "))
	return p.Bytes()
}

// conventions is the section of the manual page that applies to all commands.
const conventions = `- Data goes to standard output, everything else to standard error. With ` + "`--output json`" + `, commands
  print their data as JSON.
- The exit code is 0 for success, 1 for a failure and 2 for an invalid command line.
- The config is ` + "`tidewaiter.yaml`" + ` in the current folder, unless ` + "`--config`" + ` names another.
- Colours are used on terminals only. [` + "`NO_COLOR`" + `](https://no-color.org) turns them off.
`

func description(c *cobra.Command) string { return cmp.Or(c.Long, c.Short+".") }

// flagLine describes a flag in a manual page or in docs/commands.md.
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
	return strings.ReplaceAll(strings.TrimPrefix(example, "  "), "\n  ", "\n")
}
