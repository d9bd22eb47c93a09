// Compare holds Tidewaiter against its bars: how close a token endpoint comes to what is possible on
// the machine at hand (bench/limit), how soon it listens, how much memory it takes.
//
//	go run ./bench/compare
//
// It builds both, starts them on free loopback ports with their files in a temporary folder, lets them
// take turns under load, prints a table of bars, and ends with 1 if one is missed. It needs Linux, where
// it reads the memory and the processor time of what it started from /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings is the command line, as it was understood.
type settings struct {
	tidewaiter  string // the program; "": built from this tree
	connections int
	duration    time.Duration // of each target, in all
	slice       time.Duration
	rest        time.Duration
	starts      int
	rules       int
	accounts    int
	swapped     int
	tries       int
	groups      []string
	write       func(io.Writer, []bar) error
}

// run returns the exit code: 0, 1 (failed, or a bar is missed), 2 (wrong usage).
func run(ctx context.Context, arguments []string, out, progress io.Writer) int {
	s, err := parse(arguments, progress)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(progress, "compare:", err)
		return 2
	}
	// One processor is enough to keep a server busy, and what the driver leaves is the servers'.
	runtime.GOMAXPROCS(1)

	bars, err := measure(ctx, s, progress)
	if err != nil {
		fmt.Fprintln(progress, "compare:", err)
		return 1
	}
	if err := s.write(out, bars); err != nil {
		fmt.Fprintln(progress, "compare:", err)
		return 1
	}
	for _, b := range bars {
		if b.missed() {
			return 1
		}
	}
	return 0
}

func parse(arguments []string, problems io.Writer) (settings, error) {
	var s settings
	var output, groups string
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.StringVar(&s.tidewaiter, "tidewaiter", "", "`program` to measure (default: built from this tree)")
	flags.IntVar(&s.connections, "connections", 16, "keep-alive connections, each with one request at a time")
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "how long each target is under load, in all")
	flags.DurationVar(&s.slice, "slice", time.Second, "length of a turn")
	flags.DurationVar(&s.rest, "rest", 300*time.Millisecond, "quiet before each turn, so that nobody pays for the last one's work")
	flags.IntVar(&s.starts, "starts", 10, "how often each server is started to time it")
	flags.IntVar(&s.rules, "rules", 10_000, "rules of the large policy")
	flags.IntVar(&s.accounts, "accounts", 1_000_000, "accounts of the large state")
	flags.IntVar(&s.swapped, "swapped", 100_000, "rules of the policy that is swapped in again and again")
	flags.IntVar(&s.tries, "tries", 200, "refused sign-ins of each kind")
	flags.StringVar(&groups, "groups", "tokens", "what to measure, separated by commas: tokens, accounts, flood, names, replicas, swaps, crowd, refusals, lockout")
	flags.StringVar(&output, "output", "text", "text, json or markdown")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	s.groups = strings.Split(groups, ",")
	var known bool
	s.write, known = map[string]func(io.Writer, []bar) error{"text": writeTable, "json": writeJSON, "markdown": writeMarkdown}[output]
	switch {
	case !known:
		return s, fmt.Errorf("--output %q: neither text nor json nor markdown", output)
	case slices.ContainsFunc(s.groups, func(name string) bool { return steps(name) == nil }):
		return s, fmt.Errorf("--groups %q: there are tokens, accounts, flood, names, replicas, swaps, crowd, refusals and lockout", groups)
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.slice <= 0 || s.duration < s.slice:
		return s, errors.New("--slice has to be positive and at most --duration")
	case s.starts < 1 || s.rules < 1 || s.accounts < 1 || s.swapped < 1 || s.connections < 1 || s.tries < 1 || s.rest < 0:
		return s, errors.New("--starts, --rules, --accounts, --swapped, --tries and --connections have to be positive, --rest not negative")
	}
	return s, nil
}

// measure does it all in a temporary folder, and leaves nothing behind.
func measure(ctx context.Context, s settings, progress io.Writer) (bars []bar, err error) {
	folder, err := os.MkdirTemp("", "tidewaiter-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	programs := programs{tidewaiter: s.tidewaiter, limit: filepath.Join(folder, "limit")}
	fmt.Fprintln(progress, "building …")
	if err := build(ctx, "./bench/limit", programs.limit); err != nil {
		return nil, err
	}
	if programs.tidewaiter == "" {
		programs.tidewaiter = filepath.Join(folder, "tidewaiter")
		if err := build(ctx, "./cmd/tidewaiter", programs.tidewaiter); err != nil {
			return nil, err
		}
	}
	m := &measurement{settings: s, programs: programs, folder: folder, progress: progress}
	if m.keys, err = newKeys(folder); err != nil {
		return nil, err
	}
	for _, name := range s.groups {
		for _, step := range steps(name) {
			if err := step(m, ctx); err != nil {
				return nil, err
			}
		}
	}
	return m.bars, nil
}

// steps are those of a group; nil: there is no such group.
func steps(group string) []func(*measurement, context.Context) error {
	return map[string][]func(*measurement, context.Context) error{
		"tokens":   {(*measurement).size, (*measurement).starting, (*measurement).load},
		"accounts": {(*measurement).known},
		"flood":    {(*measurement).flood},
		"names":    {(*measurement).names},
		"replicas": {(*measurement).replicas},
		"swaps":    {(*measurement).swaps},
		"crowd":    {(*measurement).crowd},
		"refusals": {(*measurement).refusals},
		"lockout":  {(*measurement).lockout},
	}[group]
}
