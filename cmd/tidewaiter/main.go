// Command tidewaiter is the authorization service for container registries, and what looks after it.
// docs/commands.md has a page of each command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/config"
)

// version is set at build time: go build -ldflags "-X main.version=v1.2.3". Without it, what the Go
// toolchain recorded is told.
var version string

// What the program exits with.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run does what args say: data goes to out, everything else to errs.
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
	var problems config.Problems
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(errs, "tidewaiter: %v\nHow it is used: %s --help\n", usage, usage.command)
		return exitUsage
	case errors.Is(err, errTold):
	case errors.As(err, &problems):
		tell(errs, problems)
	default:
		fmt.Fprintf(errs, "tidewaiter: %v\n", err)
	}
	return exitFailed
}

// errTold is a failure of which all has been said.
var errTold = errors.New("failed")

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidewaiter",
		Short: "The authorization service for container registries",
		Long: `Tidewaiter is the authorization service for container registries: it says who may pull, push and
delete what, signs the tokens that registries trust, and keeps what happened.`,
		Example: `  tidewaiter init                         # a config, a root, an account, and the registry's config
  tidewaiter check                        # say all that is wrong with it
  tidewaiter serve                        # run
  tidewaiter explain --as user:admin push team/app`,
		Version:       built().String(),
		SilenceErrors: true, // run tells them
		SilenceUsage:  true,
	}
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "To run it:"},
		&cobra.Group{ID: "ask", Title: "To ask it:"},
		&cobra.Group{ID: "keep", Title: "To look after it:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("run", newInit(), newImport(), newCheck(), newServe())
	add("ask", newExplain(), newWhoCan(), newWhatCan(), newPolicy(), newJournal(), newHealth())
	add("keep", newUser(), newGroup(), newRobot(), newToken(), newNamespace(), newRule(), newRole(), newHashPassword(), newKey(), newDatabase())
	root.AddCommand(newVersion(), newMan())
	root.SetVersionTemplate("{{.Version}}\n")
	addCompletion(root)
	strict(root)
	return root
}
