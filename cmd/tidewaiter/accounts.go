package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// keeping is what commands share that look after accounts. They open the state that the service has open.
type keeping struct {
	source *source
	output *format
	force  *bool // nil: the command takes nothing away
}

func keepingFlags(cmd *cobra.Command) keeping {
	return keeping{source: configFlags(cmd), output: outputFlag(cmd)}
}

// takingFlags is keepingFlags for a command that could take the last administrator away.
func takingFlags(cmd *cobra.Command) keeping {
	k := keepingFlags(cmd)
	k.force = cmd.Flags().Bool("force", false, "do it even if nobody is left who is an administrator")
	return k
}

// desk is where accounts are looked after.
type desk struct {
	*accounts.Accounts
	by  accounts.Actor
	cfg *config.Config
}

// change opens accounts for a command that changes them.
func (k keeping) change(cmd *cobra.Command, do func(context.Context, desk) error) error {
	return k.open(cmd, app.OpenAccounts, func(ctx context.Context, d desk) error {
		if k.force != nil && *k.force {
			d.by = d.by.Forcing()
		}
		err := do(ctx, d)
		if errors.Is(err, accounts.ErrLast) {
			return fmt.Errorf("%w; tidewaiter user add --admin NAME makes another, and --force does it all the same", err)
		}
		if errors.Is(err, accounts.ErrLent) {
			return fmt.Errorf("%w (tidewaiter user password NAME, tidewaiter robot rotate NAME --overlap 0)", err)
		}
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(d.cfg.Identity, func(s config.Source) bool { return s.Accounts != nil }) {
			fmt.Fprintf(cmd.ErrOrStderr(), "Nobody signs in with accounts yet: `identity` in %s has no \"accounts: {}\".\n", d.cfg.File)
		}
		return nil
	})
}

// read opens accounts for a command that looks at them.
func (k keeping) read(cmd *cobra.Command, do func(context.Context, desk) error) error {
	return k.open(cmd, app.ReadAccounts, do)
}

type opening func(context.Context, *config.Config) (*accounts.Accounts, func() error, error)

func (k keeping) open(cmd *cobra.Command, open opening, do func(context.Context, desk) error) (err error) {
	cfg, err := k.source.load()
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	a, closing, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return do(ctx, desk{a, rulebook.Operator(operator()), cfg})
}

// operator is who types, for the journal. Nothing is decided by it.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid-" + strconv.Itoa(os.Getuid()) // in a container, most are nobody in particular
}

// lifetime is a flag: how long from now on. Its zero value is for ever.
type lifetime time.Duration

const (
	day         = 24 * time.Hour
	maxLifetime = 100 * 365 * day // what is meant to be longer has no end
)

// until returns the end of a lifetime that begins now; zero: never.
func (l lifetime) until(now time.Time) time.Time {
	if l == 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(l))
}

func (l *lifetime) String() string {
	switch d := time.Duration(*l); {
	case d == 0:
		return "never"
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	default:
		return d.String()
	}
}

func (l *lifetime) Type() string { return "duration" }

func (l *lifetime) Set(s string) error {
	if s == "never" {
		*l = 0
		return nil
	}
	d, err := parseDuration(s)
	if err != nil {
		return err
	}
	if d < time.Minute || d > maxLifetime {
		return errors.New("something between a minute and a hundred years is wanted, or never")
	}
	*l = lifetime(d)
	return nil
}

// parseDuration reads 90d and 2w, and what Go calls a duration.
func parseDuration(s string) (time.Duration, error) {
	unit := day
	number, ok := strings.CutSuffix(s, "d")
	if !ok {
		number, ok = strings.CutSuffix(s, "w")
		unit = 7 * day
	}
	if ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && time.Duration(n) <= math.MaxInt64/unit {
			return time.Duration(n) * unit, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, errors.New("a duration is wanted, like 90d, 12h or 30m")
}

// span is a flag: a length of time, which may be none.
type span time.Duration

func (s *span) String() string {
	if *s == 0 {
		return "0"
	}
	return (*lifetime)(s).String()
}

func (s *span) Type() string { return "duration" }

func (s *span) Set(text string) error {
	if text == "0" {
		*s = 0
		return nil
	}
	d, err := parseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("a duration before now is none")
	}
	*s = span(d)
	return err
}

// table writes rows as columns for people. The first is its head.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return t.Flush()
}

// fields writes names and values, one a line. Those without a value are left out.
func fields(w io.Writer, pairs ...string) error {
	var rows [][]string
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			rows = append(rows, pair)
		}
	}
	return table(w, rows)
}

// minute writes a time for people; "" for none.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// or returns a text, or another where it is empty.
func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// showSecret writes a secret to standard output, alone, so that it can be taken from there; what there is to say of it goes
// to standard error.
func showSecret(cmd *cobra.Command, secret, format string, args ...any) error {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}
