// Load puts one token endpoint, or several in turn, under load and prints the results.
//
//	go run ./load --url 'http://127.0.0.1:5001/token?service=registry.example.com&scope=repository:team/app:pull'
//	go run ./load --url … --against other='http://127.0.0.1:5002/auth?service=…' --duration 20s
//
// Load accepts only loopback addresses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the parsed command line.
type settings struct {
	options drive.Options
	targets []drive.TargetOptions
	slice   time.Duration
	json    bool
}

// run returns the exit code: 0, 1 (a failure, or an answer whose status is not 2xx) or 2 (wrong
// usage).
func run(ctx context.Context, arguments []string, out, problems io.Writer) int {
	s, err := parse(arguments, problems)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(problems, "load:", err)
		return 2
	}
	// One processor is enough for the driver to keep a server busy. The server can use the other
	// processors.
	runtime.GOMAXPROCS(1)

	report, err := measure(ctx, s)
	if err != nil {
		fmt.Fprintln(problems, "load:", err)
		return 1
	}
	if s.json {
		err = report.writeJSON(out)
	} else {
		err = report.writeText(out)
	}
	if err != nil {
		fmt.Fprintln(problems, "load:", err)
		return 1
	}
	if n := report.countFailed(); n > 0 {
		fmt.Fprintf(problems, "load: %d requests without a 2xx answer\n", n)
		return 1
	}
	return 0
}

func parse(arguments []string, problems io.Writer) (settings, error) {
	var s settings
	var main drive.TargetOptions
	var passwordFile, output string
	var against []drive.TargetOptions

	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Usage = func() {
		fmt.Fprintln(problems, "usage: load --url URL [--against NAME=URL]… [flags]")
		flags.PrintDefaults()
	}
	flags.StringVar(&main.URL, "url", "", "token `endpoint`, with service and scope in its query; loopback only")
	flags.StringVar(&main.Name, "name", "", "name in the report (default: the host)")
	flags.IntVar(&s.options.Connections, "connections", 16, "keep-alive connections, each with one request at a time")
	flags.DurationVar(&s.options.Duration, "duration", 10*time.Second, "how long each target is measured, in total")
	flags.DurationVar(&s.options.Settle, "settle", 200*time.Millisecond, "how long to send requests before each measured slice, without counting them")
	flags.Int64Var(&s.options.Requests, "requests", 0, "stop after this many requests instead of --duration")
	flags.DurationVar(&s.slice, "slice", time.Second, "with --against: length of a turn")
	flags.StringVar(&main.User, "user", "", "name to authenticate with")
	flags.StringVar(&passwordFile, "password-file", "", "`file` with the password; one final line end is ignored")
	flags.BoolVar(&main.Post, "post", false, "POST the query as a form, with grant_type=password")
	flags.IntVar(&main.Vary, "vary-scope", 0, "request `N` repositories in turn by appending -0, -1 … to the scopes' names")
	flags.StringVar(&output, "output", "text", "text or json")
	flags.Func("header", "`Name: value` to send; can be repeated", func(text string) error {
		main.Headers = append(main.Headers, text)
		return nil
	})
	flags.Func("against", "`name=url` of another target, which takes turns with the first; can be repeated", func(text string) error {
		name, address, ok := strings.Cut(text, "=")
		if !ok || name == "" || strings.Contains(name, "://") {
			return errors.New("not of the form name=url")
		}
		against = append(against, drive.TargetOptions{Name: name, URL: address})
		return nil
	})
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}

	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case main.URL == "":
		return s, errors.New("--url is missing")
	case output != "text" && output != "json":
		return s, fmt.Errorf("--output %q: must be text or json", output)
	case (main.User == "") != (passwordFile == ""):
		return s, errors.New("--user and --password-file must be used together")
	case s.options.Requests > 0 && len(against) > 0:
		return s, errors.New("--requests is for one target only: use --duration with --against")
	case len(against) > 0 && (s.slice <= 0 || s.slice > s.options.Duration):
		return s, errors.New("--slice must be positive and at most --duration")
	}
	if passwordFile != "" {
		password, err := os.ReadFile(passwordFile)
		if err != nil {
			return s, fmt.Errorf("reading the password: %w", err)
		}
		main.Password = strings.TrimSuffix(strings.TrimSuffix(string(password), "\n"), "\r")
	}
	s.json = output == "json"
	s.targets = []drive.TargetOptions{main}
	for _, other := range against {
		// All targets get the same requests. Only the address and the name of the target differ.
		address, name := other.URL, other.Name
		other = main
		other.URL, other.Name = address, name
		s.targets = append(s.targets, other)
	}
	return s, nil
}

// measure runs the only target, or all targets in turn.
func measure(ctx context.Context, s settings) (*report, error) {
	var targets []*drive.Target
	for _, o := range s.targets {
		target, err := drive.NewTarget(ctx, o)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	options, rounds := s.options, 1
	if len(targets) > 1 {
		rounds = int(options.Duration / s.slice)
		options.Duration = s.slice
	}
	comparison, err := drive.Compare(ctx, targets, rounds, options)
	if err != nil {
		return nil, err
	}
	return newReport(s.options.Connections, rounds, comparison), nil
}
