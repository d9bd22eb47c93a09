package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func newJournal() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Query the audit journal",
	}
	cmd.AddCommand(newJournalTail(), newJournalVerify())
	return cmd
}

func newJournalTail() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last entries of the journal",
		Long: `Print the last entries of the journal: every decision, and every push, pull, mount and delete that
registries reported. The service may be running. "tidewaiter explain" accepts the id at the end of a
line.

--kind, --action, --principal, --registry, --since and --until select entries: with -n 12, the last 12
of the selected ones are printed.`,
		Example: `  tidewaiter journal tail --follow
  tidewaiter journal tail -n 12 --kind change --since 2026-11-01
  tidewaiter journal tail --principal user:alice
  tidewaiter journal tail -n 1000 --output json | jq -r 'select(.event.action == "push") | .event.repository'`,
	}
	source := configFlags(cmd)
	n := cmd.Flags().IntP("lines", "n", 20, "how many entries to print first; 0 prints only new ones")
	follow := cmd.Flags().BoolP("follow", "f", false, "print new entries as they are written, until Ctrl-C")
	var filter filterFlags
	filter.add(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if *n < 0 {
			return usageErrorf(cmd, "--lines must not be negative")
		}
		wanted, err := filter.read(cmd)
		if err != nil {
			return err
		}
		cfg, err := source.load()
		if err != nil {
			return err
		}
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		_, j, closing, err := openJournal(ctx, cfg)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closing()) }()
		after, err := beginning(ctx, j, wanted, *n)
		if err != nil {
			return err
		}
		entries := j.Read
		if *follow {
			entries = j.Follow
		}
		print := printEntry
		if *output == asJSON {
			print = func(w io.Writer, e journal.Entry) error { return json.NewEncoder(w).Encode(e) } // one line
		}
		for e, err := range entries(ctx, after) {
			if err != nil {
				return err
			}
			if !wanted.Matches(&e) {
				continue
			}
			if err := print(cmd.OutOrStdout(), e); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// beginning returns the position after which the last n entries are that a filter wants.
func beginning(ctx context.Context, j *journal.Journal, wanted *api.Filter, n int) (journal.Position, error) {
	after, err := j.Last(ctx)
	if err != nil || n == 0 {
		return after, err
	}
	for e, err := range j.ReadBack(ctx, after) {
		if err != nil {
			return 0, err
		}
		if !wanted.Matches(&e) {
			continue
		}
		after = e.Position - 1
		if n--; n == 0 {
			break
		}
	}
	return after, nil
}

// filterFlags say which entries of the journal are wanted.
type filterFlags struct {
	api.Filter
	since, until string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only entries of a `kind`: decision, event, change or text")
	cmd.Flags().StringVar(&f.Action, "action", "", "only changes and events of that `name`, as user.add or push")
	cmd.Flags().StringVar(&f.Principal, "principal", "", "only what `WHO` requested, did or changed: user:NAME, robot:NAME, workload:NAME, operator:NAME, anonymous, or a name alone")
	cmd.Flags().StringVar(&f.Registry, "registry", "", "only entries about the registry of that `service`")
	cmd.Flags().StringVar(&f.since, "since", "", "only what happened at this `time` or later, as 2026-11-28T23:00:00Z or 2026-11-28")
	cmd.Flags().StringVar(&f.until, "until", "", "only what happened before this `time`")
}

// read returns the filter. The error is one of usage.
func (f *filterFlags) read(cmd *cobra.Command) (_ *api.Filter, err error) {
	switch f.Kind {
	case "", "decision", "event", "change", "text":
	default:
		return nil, usageErrorf(cmd, "--kind: %s is none: there are decision, event, change and text", text.Escape(f.Kind))
	}
	if wrong := api.CheckPrincipal(f.Principal); wrong != "" {
		return nil, usageErrorf(cmd, "--principal: %s: %s", text.Escape(f.Principal), wrong)
	}
	for _, at := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &f.Since}, {"until", f.until, &f.Until}} {
		if at.text == "" {
			continue
		}
		if *at.to, err = config.ParseTime(at.text, time.Local); err != nil {
			return nil, usageErrorf(cmd, "--%s: %v", at.flag, err)
		}
	}
	return &f.Filter, nil
}

// printEntry writes an entry as a line of text.
func printEntry(w io.Writer, e journal.Entry) error {
	p := painted(w)
	_, err := fmt.Fprintln(w, p.faint(e.Time.Local().Format(time.DateTime)), e.Summary(), p.faint("id="+e.ID.String()))
	return err
}

func newJournalVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify the journal's hash chain",
		Long: `Verify the journal's hash chain. Each block contains a hash over its content and the block before it. Store
the printed hash somewhere else: as long as a later verify finds it in the chain, nothing before it
was changed. Exits 1 and prints the position if a block is missing or was changed, or if the database
is damaged. A copy on a read-only disk can be verified too.`,
		Example: "  tidewaiter journal verify",
	}
	source := configFlags(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		cfg, err := source.load()
		if err != nil {
			return err
		}
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		db, j, closing, err := openJournal(ctx, cfg)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closing()) }()
		if err := db.Verify(ctx); err != nil { // a damaged index hides blocks
			return err
		}
		v, err := j.Verify(ctx, 0)
		broken, isBroken := errors.AsType[*journal.BrokenError](err)
		if err != nil && !isBroken {
			return err
		}
		if *output == asJSON {
			result := struct {
				Whole   bool             `json:"whole"`
				First   journal.Position `json:"first"`
				Last    journal.Position `json:"last"`
				Entries int64            `json:"entries"`
				Blocks  int64            `json:"blocks"`
				Hash    string           `json:"hash"` // of the last block that is intact
				Broken  journal.Position `json:"broken,omitempty"`
				Why     string           `json:"why,omitempty"`
			}{!isBroken, v.First, v.Last, v.Entries, v.Blocks, fmt.Sprintf("%x", v.Hash), 0, ""}
			if isBroken {
				result.Broken, result.Why = broken.Block, broken.Why
			}
			if err := writeJSON(cmd.OutOrStdout(), result); err != nil || !isBroken {
				return err
			}
			return errReported
		}
		if isBroken {
			return err
		}
		p := painted(cmd.OutOrStdout())
		if v.Blocks == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "the journal is empty")
			return nil
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s in %s, positions %d to %d\nhash %x\n", p.green("the journal is intact"),
			count(int(v.Entries), "entry", "entries"), count(int(v.Blocks), "block", "blocks"), v.First, v.Last, v.Hash)
		return nil
	}
	return cmd
}

// openJournal opens the database and its journal read-only. The service may be running.
func openJournal(ctx context.Context, cfg *config.Config) (*store.DB, *journal.Journal, func() error, error) {
	db, err := store.OpenReadOnly(ctx, cfg.Database)
	if err != nil {
		return nil, nil, nil, err
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	closing := func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), db.Close()) }
	return db, j, closing, nil
}
