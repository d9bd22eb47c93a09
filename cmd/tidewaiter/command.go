package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// command describes a command. The tables of commands never change. Each run of a command has a
// session of its own, which holds everything that the run reads and opens. The method build adds
// the flags and runs the command.
type command struct {
	use     string // the name and the arguments, such as "add NAME"; see arguments
	short   string // one line for the list of commands in help
	long    string // the first paragraphs of help; if "", help begins with short
	example string // each line begins with two spaces
	aliases []string
	// earlierName is an earlier name of the command. If a user calls the command by this name, the
	// error contains the new name and describes the change.
	earlierName string
	change      string    // the part of this error that describes how the command has changed
	sub         []command // a command with subcommands has no action

	config bool // --config and --keys
	output bool // --output
	// outputs are the values that --output accepts in addition to text and json.
	outputs []string
	force   bool   // --force, for commands that could remove the last administrator
	opens   action // opens the config, database or journal; implies --config and --output
	before  action // rejects invalid arguments before anything is opened
	run     action
	flags   func(*flags) action // adds the command's own flags, and returns its action
}

// action is a step of a command.
type action func(*session) error

// flags are the flags of one command.
type flags struct {
	*pflag.FlagSet
	cmd    *cobra.Command
	checks []action
}

// addCheck adds a check of the flags, which runs before anything is opened. The check returns an
// error if flags are invalid or missing.
func (f *flags) addCheck(step action) { f.checks = append(f.checks, step) }

// list adds a flag that can be repeated.
func (f *flags) list(name, usage string) *[]string {
	return f.StringArray(name, nil, usage+" (may be repeated)")
}

// file adds a flag that names a file. Shells complete its value with the names of files that
// have one of the extensions.
func (f *flags) file(to *string, name, short, standard, usage string, extensions ...string) {
	f.StringVarP(to, name, short, standard, usage)
	f.completeFiles(name, extensions...)
}

func (f *flags) completeFiles(name string, extensions ...string) {
	_ = f.cmd.MarkFlagFilename(name, extensions...) // fails only for an unknown flag
}

// folder adds a flag that names a folder.
func (f *flags) folder(to *string, name, standard, usage string) {
	f.StringVar(to, name, standard, usage)
	_ = f.cmd.MarkFlagDirname(name) // fails only for an unknown flag
}

// oneOf rejects command lines with more than one of the flags.
func (f *flags) oneOf(names ...string) {
	f.addCheck(func(s *session) error {
		first := ""
		for _, name := range names {
			switch {
			case !f.Changed(name):
			case first == "":
				first = name
			default:
				return s.usageErrorf("--%s and --%s cannot be combined", first, name)
			}
		}
		return nil
	})
}

// choose adds a flag whose value must be one of the given words.
func choose[T ~string](f *flags, name, short string, byDefault T, usage string, words ...T) *T {
	to := &byDefault
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	f.VarP(flagValue{strings.Join(texts, "|"), func() string { return string(*to) }, func(s string) error {
		if !slices.Contains(texts, s) {
			return errors.New("must be " + text.List(texts, "or"))
		}
		*to = T(s)
		return nil
	}}, name, short, usage)
	_ = f.cmd.RegisterFlagCompletionFunc(name, // fails only for an unknown flag
		cobra.FixedCompletions(texts, cobra.ShellCompDirectiveNoFileComp))
	return to
}

// text adds a flag that accepts any text. The help shows the name of the value.
func (f *flags) text(to *string, valueName, name, usage string) {
	f.Var(flagValue{valueName, func() string { return *to }, func(s string) error { *to = s; return nil }}, name, usage)
}

// flagValue is a flag with a function that parses the flag's value.
type flagValue struct {
	kind string        // the name of the value in the help
	text func() string // returns the value
	set  func(string) error
}

func (v flagValue) String() string     { return v.text() }
func (v flagValue) Type() string       { return v.kind }
func (v flagValue) Set(s string) error { return v.set(s) }

// build returns the command as a cobra.Command. cobra parses the command line.
func (c *command) build() *cobra.Command {
	cmd := &cobra.Command{Use: c.use, Short: c.short, Long: fill(c.long), Example: c.example, Aliases: c.aliases}
	cmd.SuggestFor = synonyms[cmd.Name()]
	s := &session{cmd: cmd}
	f := &flags{FlagSet: cmd.Flags(), cmd: cmd}
	if c.config || c.opens != nil {
		f.file(&s.file, "config", "c", setup.Config, "the config `file`", "yaml", "yml")
		f.folder(&s.keys, "keys", "", "a `folder` with cert.pem and privatekey.pem to use instead of the config's root")
	}
	if c.output || c.opens != nil {
		s.output = outputFlag(f, "o", c.outputs...)
	}
	if c.force {
		f.BoolVar(&s.force, "force", false, "proceed even if no administrator is left")
	}
	run := c.run
	if c.flags != nil {
		run = c.flags(f)
	}
	if run != nil {
		steps := append(append([]action{c.before}, f.checks...), c.opens, run)
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return s.runSteps(cmd, args, steps) }
	}
	for i := range c.sub {
		c.sub[i].addTo(cmd)
	}
	return cmd
}

// addTo adds the command to a parent, and returns it. If the command has an earlier name,
// addTo also adds a hidden command with the earlier name, which prints the new name.
func (c *command) addTo(parent *cobra.Command) *cobra.Command {
	cmd := c.build()
	parent.AddCommand(cmd)
	if c.earlierName != "" {
		parent.AddCommand(&cobra.Command{
			Use: c.earlierName + " {ARGUMENTS}", Hidden: true,
			DisableFlagParsing: true, // any arguments
			RunE: func(old *cobra.Command, _ []string) error {
				return usageErrorf(cmd, "%s is now %s%s", words(old), words(cmd), c.change)
			},
		})
	}
	return cmd
}

// words returns the words of a command, without the name of the program.
func words(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// synonyms maps the name of a command to words that other programs use instead of this name. If a
// user types such a word instead of the name of a command, the error suggests the commands that
// have this word as a synonym.
var synonyms = map[string][]string{
	"add":      {"create", "new", "make"},
	"create":   {"add", "new", "make"},
	"new":      {"create", "add", "make", "generate", "gen"},
	"delete":   {"remove", "rm", "del"},
	"remove":   {"delete", "rm", "del"},
	"revoke":   {"delete", "remove", "rm", "del"},
	"list":     {"ls", "show"},
	"show":     {"get", "describe", "view", "inspect", "list"},
	"set":      {"edit", "update", "change", "modify", "add", "create", "new"},
	"rotate":   {"renew", "regenerate"},
	"password": {"passwd"},
	"members":  {"member", "show", "get", "remove"},
	"bundle":   {"show", "list", "ls", "export"},
	"serve":    {"start", "run", "server"},
	"check":    {"validate", "lint", "config", "verify"},
	"journal":  {"audit", "log", "logs", "events"},
}

// fill breaks the paragraphs of a text into lines of at most 90 columns.
func fill(text string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n\n")
		}
		column := 0
		for k, word := range strings.Fields(paragraph) {
			switch {
			case k == 0:
			case column+1+len(word) > 90:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += len(word)
		}
	}
	return b.String()
}

// arguments returns the names of the arguments in a usage line. If the line has alternatives in
// braces, anyNumber is true: any number of arguments is allowed. If the line ends with "...", the
// last argument can be repeated.
func arguments(use string) (names []string, anyNumber, lastRepeats bool) {
	words := strings.Fields(use)[1:]
	for i := 0; i < len(words); i++ {
		if strings.HasPrefix(words[i], "--") {
			i++ // the flag's value
			continue
		}
		names = append(names, words[i])
	}
	return names, strings.Contains(use, "{"), strings.HasSuffix(use, "...")
}
