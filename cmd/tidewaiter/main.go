// Command tidewaiter runs and manages the authorization service for container registries.
// docs/commands.md documents each command.
//
// A command is a row in a table (command.go). The row has the usage line, the help, the flags, a
// function that opens the config or the database, and a function that runs the command. The
// function gets a session, which has the arguments, the config, the open database and the output
// (session.go, output.go). groups() in main.go lists all tables.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// version is set at build time: go build -ldflags "-X main.version=v1.2.3". If version is empty,
// the version that the Go toolchain recorded is printed.
var version string

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the command line args and returns the exit code. Data goes to out, everything else
// to errs.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (exit int) {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var usage usageError
	var problems strictyaml.Problems
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(errs, "tidewaiter: %v\nRun '%s --help' for usage.\n", usage, usage.command)
		return exitUsage
	case errors.Is(err, errReported):
	case errors.As(err, &problems):
		printProblems(errs, problems)
	default:
		fmt.Fprintf(errs, "tidewaiter: %v\n", err)
	}
	return exitFailed
}

// errReported is a failure that has already been reported, so run prints nothing for it.
var errReported = errors.New("failed")

// group is a heading in the help of tidewaiter, and the commands below it.
type group struct {
	title    string
	commands []command
}

func groups() []group {
	return []group{
		{"Setup and service:", []command{initCommand(), importCommand(), checkCommand(), serveCommand()}},
		{"Policy and audit:", []command{explainCommand(), whoCanCommand(), whatCanCommand(), policyCommand(), journalCommand(), catalogCommand(), webhookCommand(), witnessCommand(), healthCommand()}},
		{"Administration:", []command{userCommand(), groupCommand(), robotCommand(), tokenCommand(), namespaceCommand(), ruleCommand(), roleCommand(),
			hashPasswordCommand(), keyCommand(), databaseCommand()}},
		{"", []command{versionCommand(), manCommand()}},
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidewaiter",
		Short: "The authorization service for container registries",
		Long: `Tidewaiter is the authorization service for container registries. It decides who
may pull, push and delete what, signs the tokens that registries trust, and records each decision
in an audit journal.`,
		Example: `  tidewaiter init                         # create a config, a root, an account and the registry's config
  tidewaiter check                        # check the config
  tidewaiter serve                        # run the service
  tidewaiter explain --as user:admin push team/app`,
		Version:       thisBuild().String(),
		SilenceErrors: true, // run prints errors
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	// A command with subcommands only prints its help, so its usage has no flags. The template
	// breaks the help of flags into lines.
	root.SetUsageTemplate(strings.NewReplacer(
		"{{if .Runnable}}", "{{if not .HasAvailableSubCommands}}", "FlagUsages ", "FlagUsagesWrapped 100 ",
	).Replace(root.UsageTemplate()))
	for _, group := range groups() {
		if group.title != "" {
			root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		}
		for _, c := range group.commands {
			c.addTo(root).GroupID = group.title
		}
	}
	describeCompletion(root)
	makeStrict(root)
	return root
}
