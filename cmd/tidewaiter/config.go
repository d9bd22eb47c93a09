package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/setup"
)

// source is where a config is: the flags --config and --keys.
type source struct{ file, keys string }

// configFlags gives cmd the flags that say where its config is.
func configFlags(cmd *cobra.Command) *source {
	s := new(source)
	cmd.Flags().StringVarP(&s.file, "config", "c", setup.Config, "the config `file`")
	cmd.Flags().StringVar(&s.keys, "keys", "", "a `folder` with cert.pem and privatekey.pem, in place of the config's root")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that is not there
	_ = cmd.MarkFlagDirname("keys")
	return s
}

// load reads the config. The error is config.Problems.
func (s *source) load() (*config.Config, error) {
	return config.Load(s.file, config.Options{Keys: s.keys})
}

// loadBeside is load while requests are answered: it leaves them half of the cores. It tells which files it looks at.
func (s *source) loadBeside(seen func(folder, name string)) (*config.Config, error) {
	return config.Load(s.file, config.Options{Keys: s.keys, Seen: seen, Parallel: max(1, password.Processors()/2)})
}

// tell writes problems, one a line; to a terminal, with the line of the file that each is in.
func tell(w io.Writer, problems config.Problems) {
	sources := make(map[string][]byte)
	p, terminal := painted(w), isTerminal(w)
	for _, problem := range problems {
		if !terminal {
			fmt.Fprintln(w, problem)
			continue
		}
		src, read := sources[problem.File]
		if !read && problem.File != "" {
			src, _ = os.ReadFile(problem.File) // without it, there is no line to show
			sources[problem.File] = src
		}
		fmt.Fprintln(w, highlight(problem.Snippet(src), p))
	}
}
