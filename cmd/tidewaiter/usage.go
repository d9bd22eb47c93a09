package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// usageError is an invalid command line. The program exits with 2.
type usageError struct {
	command string // the command whose help the user should read
	text    string
}

func (e usageError) Error() string { return e.text }

// usageErrorf returns a usageError of cmd.
func usageErrorf(cmd *cobra.Command, format string, args ...any) error {
	return usageError{command: cmd.CommandPath(), text: fmt.Sprintf(format, args...)}
}

// makeStrict makes cmd and its subcommands reject an invalid command line with a suggestion.
// Without arguments, a command that only has subcommands prints its help.
func makeStrict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(flagError)
	cmd.SuggestionsMinimumDistance = 2
	if !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usageErrorf(cmd, "unknown command %q%s", args[0], suggest(cmd, args[0]))
		}
	} else {
		cmd.Args = checkArguments
	}
	for _, c := range cmd.Commands() {
		makeStrict(c)
	}
}

// checkArguments rejects missing and unexpected arguments, by the command's usage line.
func checkArguments(cmd *cobra.Command, args []string) error {
	names, free, repeated := arguments(cmd.Use)
	switch {
	case free:
		return nil
	case len(args) < len(names):
		return usageErrorf(cmd, "missing argument %s: %s %s", names[len(args)], cmd.Parent().CommandPath(), cmd.Use)
	case len(args) == len(names) || repeated:
		return nil
	case len(names) == 0:
		return usageErrorf(cmd, "unexpected argument %q: %s takes only flags", args[0], cmd.CommandPath())
	}
	return usageErrorf(cmd, "unexpected argument %q", args[len(names)])
}

// flagError returns a usage error for a flag, with a suggestion if the flag is unknown.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if _, ok := errors.AsType[*strconv.NumError](err); ok {
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			return usageErrorf(cmd, "--%s must be a number, not %q", bad.GetFlag().Name, bad.GetValue())
		}
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return usageErrorf(cmd, "%v", err)
	}
	// The flags of an unknown command are unknown, too. The error is about the command, because
	// the command was probably mistyped.
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		return usageErrorf(cmd, "unknown command %q%s", args[0], suggest(cmd, args[0]))
	}
	typed := unknown.GetSpecifiedName()
	if len(typed) == 1 {
		return usageErrorf(cmd, "unknown flag -%s", typed)
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	if now := formerFlags[typed]; slices.Contains(known, now) {
		return usageErrorf(cmd, "--%s is now --%s", typed, now)
	}
	if near := text.Nearest(typed, known); near != "" {
		return usageErrorf(cmd, "unknown flag --%s (did you mean --%s?)", typed, near)
	}
	return usageErrorf(cmd, "unknown flag --%s", typed)
}

// formerFlags maps earlier names of flags to the current names.
var formerFlags = map[string]string{"lines": "limit", "most": "limit"}

// suggest returns a suggestion with the most similar subcommands.
func suggest(cmd *cobra.Command, typed string) string {
	var meant []string
	for _, sub := range cmd.Commands() {
		if slices.Contains(sub.SuggestFor, typed) {
			// A user who types get probably means show, although the name set is more similar.
			meant = append(meant, text.Quote(sub.Name()))
		}
	}
	if near := cmd.SuggestionsFor(typed); len(meant) == 0 && len(near) > 0 {
		meant = []string{text.Quote(near[0])}
	}
	if len(meant) == 0 {
		return ""
	}
	return " (did you mean " + strings.Join(meant, " or ") + "?)"
}
