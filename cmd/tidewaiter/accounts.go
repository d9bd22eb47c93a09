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

// accountFlags has the flags of commands that manage accounts. The commands open the database beside a
// running service.
type accountFlags struct {
	source *source
	output *format
	force  *bool // nil: the command removes no rights
}

func newAccountFlags(cmd *cobra.Command) accountFlags {
	return accountFlags{source: configFlags(cmd), output: outputFlag(cmd)}
}

// newForceFlags is keepingFlags for a command that could remove the last administrator.
func newForceFlags(cmd *cobra.Command) accountFlags {
	k := newAccountFlags(cmd)
	k.force = cmd.Flags().Bool("force", false, "proceed even if no administrator is left")
	return k
}

// accountSession is an open account store and the actor that changes are recorded for.
type accountSession struct {
	*accounts.Accounts
	by  accounts.Actor
	cfg *config.Config
}

// change opens accounts for a command that changes them.
func (k accountFlags) change(cmd *cobra.Command, do func(context.Context, accountSession) error) error {
	return k.open(cmd, app.OpenAccounts, func(ctx context.Context, d accountSession) error {
		if k.force != nil && *k.force {
			d.by = d.by.WithForce()
		}
		err := do(ctx, d)
		if errors.Is(err, accounts.ErrLast) {
			return fmt.Errorf("%w; add another with tidewaiter user add --admin NAME, or use --force", err)
		}
		if errors.Is(err, accounts.ErrLent) {
			return fmt.Errorf("%w (tidewaiter user password NAME, tidewaiter robot rotate NAME --overlap 0)", err)
		}
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(d.cfg.Identity, func(s config.Source) bool { return s.Accounts != nil }) {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: accounts cannot sign in: add \"accounts: {}\" to `identity` in %s\n", d.cfg.File)
		}
		return nil
	})
}

// read opens accounts for a command that only reads them.
func (k accountFlags) read(cmd *cobra.Command, do func(context.Context, accountSession) error) error {
	return k.open(cmd, app.ReadAccounts, do)
}

type opening func(context.Context, *config.Config) (*accounts.Accounts, func() error, error)

func (k accountFlags) open(cmd *cobra.Command, open opening, do func(context.Context, accountSession) error) (err error) {
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
	return do(ctx, accountSession{a, rulebook.Operator(operator()), cfg})
}

// operator returns the local user, for the journal. No decision depends on it.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid-" + strconv.Itoa(os.Getuid()) // users of containers often have no name
}

// lifetime is a flag: a duration from now on. Its zero value is forever.
type lifetime time.Duration

const (
	day         = 24 * time.Hour
	maxLifetime = 100 * 365 * day // longer is written as never
)

// until returns when a lifetime that begins now ends; zero means never.
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
		return errors.New("must be between one minute and 100 years, or never")
	}
	*l = lifetime(d)
	return nil
}

// parseDuration parses 90d, 2w and the durations of time.ParseDuration.
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
	return 0, errors.New("must be a duration such as 90d, 12h or 30m")
}

// span is a flag: a duration, which may be 0.
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
		err = errors.New("must not be negative")
	}
	*s = span(d)
	return err
}

// table writes rows as aligned columns. The first row is the head.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return t.Flush()
}

// fields writes names and values, one per line. It leaves out those without a value.
func fields(w io.Writer, pairs ...string) error {
	var rows [][]string
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			rows = append(rows, pair)
		}
	}
	return table(w, rows)
}

// minute formats a time to the minute; "" for the zero time.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// or returns text, or other if text is empty.
func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// showSecret prints a secret alone on standard output, for scripts, and the message on standard error.
func showSecret(cmd *cobra.Command, secret, format string, args ...any) error {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}
