// Journal measures searches, intake, retention and verification of a journal with many entries,
// and what its index costs.
//
//	go run ./journal --entries 10000000 --folder /var/tmp
//
// Journal fills a database with the entries of CI jobs: 2,000 jobs a day in 200 repositories, each
// job with its own principal and address. It prints a table of measured values with their limits,
// and exits with 1 if a value misses its limit. --steps selects what it measures:
//
//	fill       writes the entries, merges their blocks and builds the index: bytes and time
//	filters    the first page of each filter, and of pairs of common filters
//	show       an entry with the entries that are related to it
//	verify     all hashes, principals and checkpoints
//	lag        how fast the index catches up after events at full rate, and its delay after that
//	intake     how fast events are recorded, compared with an empty journal
//	retention  the latency of events while half of the entries are removed, compared with none
//
// The last three steps change the journal, so they run at the end, in this order. With --keep, the
// last three steps use a copy of the database, and the original database stays in the folder. A
// later run with the same --folder and --entries uses this database and need not fill it again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	entries int
	folder  string
	keep    bool
	steps   []string
	pages   int
	rounds  int
	slice   time.Duration
	profile string
	filters []string
}

// run returns the exit code: 0, 1 (a failure, or a value that misses its limit) or 2 (wrong
// usage).
func run(ctx context.Context, arguments []string, out, progress io.Writer) int {
	var s settings
	var names []string
	for _, step := range steps {
		names = append(names, step.name)
	}
	f := flag.NewFlagSet("journal", flag.ContinueOnError)
	f.SetOutput(progress)
	f.IntVar(&s.entries, "entries", 1_000_000, "entries in the journal")
	f.StringVar(&s.folder, "folder", os.TempDir(), "a folder for the databases, which are removed at the end")
	f.BoolVar(&s.keep, "keep", false, "use a filled database in --folder, and do not remove it at the end")
	only := f.String("steps", strings.Join(names, ","), "the steps to run, separated by commas")
	filters := f.String("filters", strings.Join(pairs, ","), "the filters to measure, separated by commas")
	f.IntVar(&s.pages, "pages", 40, "searches of each filter, with different values; also the number of entries to show")
	f.IntVar(&s.rounds, "rounds", 8, "rounds of lag, intake and retention")
	f.DurationVar(&s.slice, "slice", 2*time.Second, "how long events are recorded in one turn of a round")
	f.StringVar(&s.profile, "cpuprofile", "", "a file for a profile of all steps except fill")
	switch err := f.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	s.steps, s.filters = strings.Split(*only, ","), strings.Split(*filters, ",")
	unknown := slices.ContainsFunc(s.steps, func(name string) bool { return !slices.Contains(names, name) })
	if f.NArg() > 0 || unknown || s.entries < 1000 || s.pages < 1 || s.rounds < 1 || s.slice <= 0 {
		fmt.Fprintf(progress, "journal: wrong flags: --entries must be at least 1000; --pages, --rounds and --slice must be positive; --steps must be some of %s; arguments are not supported\n",
			strings.Join(names, ","))
		return 2
	}
	bars, err := measure(ctx, s, progress)
	code := print(out, bars)
	if err != nil {
		fmt.Fprintln(progress, "journal:", err)
		return 1
	}
	return code
}

// bar is one measured value. A limit of 0 means no limit. If the field atLeast is true, the limit
// is the minimum. Otherwise it is the maximum.
type bar struct {
	what    string
	value   float64
	unit    string
	limit   float64
	atLeast bool
}

// print prints the table. It returns 1 if a value misses its limit.
func print(out io.Writer, bars []bar) (code int) {
	for _, b := range bars {
		verdict := ""
		if b.limit > 0 {
			how, missed := "at most", b.value > b.limit
			if b.atLeast {
				how, missed = "at least", b.value < b.limit
			}
			verdict = fmt.Sprintf("%s %.0f", how, b.limit)
			if missed {
				verdict, code = verdict+", MISSED", 1
			}
		}
		fmt.Fprintf(out, "%-78s %10.1f %-6s %s\n", b.what, b.value, b.unit, verdict)
	}
	return code
}
