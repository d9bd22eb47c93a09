// Compare measures Tidewaiter against its bars: how close a token endpoint comes to what the
// machine can do (bench/limit), how fast it starts, and how much memory it takes.
//
//	go run ./compare
//
// Compare builds Tidewaiter and bench/limit, and starts both on free loopback ports. Their files
// are in a temporary folder. Compare puts both under load in turn, and prints a table of bars. It
// exits with 1 if a bar is missed. It needs Linux, because it reads memory and processor time from
// /proc.
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

// settings are the parsed command line.
type settings struct {
	tidewaiter  string // "": built from this tree
	connections int
	duration    time.Duration // of each target, in total
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

// run returns the exit code: 0, 1 (failure or missed bar) or 2 (wrong usage).
func run(ctx context.Context, arguments []string, out, progress io.Writer) int {
	s, err := parse(arguments, progress)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(progress, "compare:", err)
		return 2
	}
	// One processor is enough for the driver to keep a server busy. The servers can use the other
	// processors.
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
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "how long each target is under load, in total")
	flags.DurationVar(&s.slice, "slice", time.Second, "length of a turn")
	flags.DurationVar(&s.rest, "rest", 300*time.Millisecond, "pause before each turn, so that the previous target's work does not slow it down")
	flags.IntVar(&s.starts, "starts", 10, "how many times each server is started")
	flags.IntVar(&s.rules, "rules", 10_000, "rules of the large policy")
	flags.IntVar(&s.accounts, "accounts", 1_000_000, "accounts of the large database")
	flags.IntVar(&s.swapped, "swapped", 100_000, "rules of the policy that is reloaded repeatedly")
	flags.IntVar(&s.tries, "tries", 200, "rejected sign-ins of each kind")
	flags.StringVar(&groups, "groups", "tokens", "what to measure, separated by commas: tokens, accounts, flood, names, replicas, swaps, spray, refusals, lockout, intake, recording")
	flags.StringVar(&output, "output", "text", "text, json or markdown")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	s.groups = strings.Split(groups, ",")
	var known bool
	s.write, known = map[string]func(io.Writer, []bar) error{"text": writeTable, "json": writeJSON, "markdown": writeMarkdown}[output]
	switch {
	case !known:
		return s, fmt.Errorf("--output %q: must be text, json or markdown", output)
	case slices.ContainsFunc(s.groups, func(name string) bool { return steps(name) == nil }):
		return s, fmt.Errorf("--groups %q: must be tokens, accounts, flood, names, replicas, swaps, spray, refusals, lockout, intake or recording", groups)
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.slice <= 0 || s.duration < s.slice:
		return s, errors.New("--slice must be positive and at most --duration")
	case s.starts < 1 || s.rules < 1 || s.accounts < 1 || s.swapped < 1 || s.connections < 1 || s.tries < 1 || s.rest < 0:
		return s, errors.New("--starts, --rules, --accounts, --swapped, --tries and --connections must be positive, --rest must not be negative")
	}
	return s, nil
}

// measure runs everything in a temporary folder and removes the folder.
func measure(ctx context.Context, s settings, progress io.Writer) (bars []bar, err error) {
	folder, err := os.MkdirTemp("", "tidewaiter-bench-")
	if err != nil {
		return nil, fmt.Errorf("creating a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	programs := programs{tidewaiter: s.tidewaiter, limit: filepath.Join(folder, "limit")}
	fmt.Fprintln(progress, "building …")
	if err := build(ctx, "bench/limit", programs.limit); err != nil {
		return nil, err
	}
	if programs.tidewaiter == "" {
		programs.tidewaiter = filepath.Join(folder, "tidewaiter")
		if err := build(ctx, "cmd/tidewaiter", programs.tidewaiter); err != nil {
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

// steps returns the functions that measure a group, or nil if there is no such group.
func steps(group string) []func(*measurement, context.Context) error {
	return map[string][]func(*measurement, context.Context) error{
		"tokens":    {(*measurement).measureSize, (*measurement).measureStarts, (*measurement).measureLoad},
		"accounts":  {(*measurement).compareCredentials},
		"flood":     {(*measurement).measureFlood},
		"names":     {(*measurement).measureNames},
		"replicas":  {(*measurement).measureReplicas},
		"swaps":     {(*measurement).measureSwaps},
		"spray":     {(*measurement).measureSpray},
		"refusals":  {(*measurement).measureRefusals},
		"lockout":   {(*measurement).measureLockout},
		"intake":    {(*measurement).measureIntake},
		"recording": {(*measurement).measureRecording},
	}[group]
}
