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

// source has the flags --config and --keys.
type source struct{ file, keys string }

// configFlags adds the flags that name the config.
func configFlags(cmd *cobra.Command) *source {
	s := new(source)
	cmd.Flags().StringVarP(&s.file, "config", "c", setup.Config, "the config `file`")
	cmd.Flags().StringVar(&s.keys, "keys", "", "a `folder` with cert.pem and privatekey.pem to use instead of the config's root")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for an unknown flag
	_ = cmd.MarkFlagDirname("keys")
	return s
}

// load reads the config. Its error is config.Problems.
func (s *source) load() (*config.Config, error) {
	return config.Load(s.file, config.Options{Keys: s.keys})
}

// loadBeside is load for a running service: it leaves half of the cores to requests. It calls seen for
// each file that it looks at.
func (s *source) loadBeside(seen func(folder, name string)) (*config.Config, error) {
	return config.Load(s.file, config.Options{Keys: s.keys, Seen: seen, Parallel: max(1, password.Processors()/2)})
}

// tell prints problems, one per line. On a terminal, it adds the line of the file that each is in.
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
			src, _ = os.ReadFile(problem.File) // without it, the line is not shown
			sources[problem.File] = src
		}
		fmt.Fprintln(w, highlight(problem.Snippet(src), p))
	}
}
