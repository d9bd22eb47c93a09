package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func journalCommand() command {
	return command{
		use:   "journal",
		short: "Query the audit journal",
		sub: []command{{
			use:   "tail",
			short: "Print the last entries of the journal",
			long: `Print the last entries of the journal: every decision, and every push, pull,
mount and delete that registries reported. The service may be running. "tidewaiter explain"
accepts the id at the end of a line.

--kind, --action, --principal, --registry, --since and --until select entries: with -n 12, the
last 12 of the selected ones are printed.`,
			example: `  tidewaiter journal tail --follow
  tidewaiter journal tail -n 12 --kind change --since 2026-11-01
  tidewaiter journal tail --principal user:alice
  tidewaiter journal tail -n 1000 --output json | jq -r 'select(.event.action == "push") | .event.repository'`,
			opens: readJournal,
			flags: journalTail,
		}, {
			use:   "verify",
			short: "Verify the journal's hash chain",
			long: `Verify the journal's hash chain. Each block contains a hash over its content
and the block before it. Store the printed hash somewhere else: as long as a later verify finds
it in the chain, nothing before it was changed. Exits 1 and prints the position if a block is
missing or was changed, or if the database is damaged. A copy on a read-only disk can be verified
too.`,
			example: "  tidewaiter journal verify",
			opens:   readJournal,
			run:     journalVerify,
		}},
	}
}

func journalTail(f *flags) action {
	n := f.IntP("lines", "n", 20, "how many entries to print first; 0 prints only new ones")
	follow := f.BoolP("follow", "f", false, "print new entries as they are written, until Ctrl-C")
	filter := filterFlags(f)
	f.before(func(s *session) error {
		if *n < 0 {
			return s.usageErrorf("--lines must not be negative")
		}
		return nil
	})
	return func(s *session) error {
		after, err := s.startOfTail(filter, *n)
		if err != nil {
			return err
		}
		entries := s.journal.Read
		if *follow {
			entries = s.journal.Follow
		}
		print := printEntry
		if s.json() {
			// One line for each entry.
			print = func(w io.Writer, e journal.Entry) error { return json.NewEncoder(w).Encode(e) }
		}
		for e, err := range entries(s.ctx, after) {
			if err != nil {
				return err
			}
			if !filter.Matches(&e) {
				continue
			}
			if err := print(s.out, e); err != nil {
				return err
			}
		}
		return nil
	}
}

// startOfTail returns the position before the last n entries that match the filter.
func (s *session) startOfTail(filter *api.Filter, n int) (journal.Position, error) {
	after, err := s.journal.Last(s.ctx)
	if err != nil || n == 0 {
		return after, err
	}
	for e, err := range s.journal.ReadBack(s.ctx, after) {
		if err != nil {
			return 0, err
		}
		if !filter.Matches(&e) {
			continue
		}
		after = e.Position - 1
		if n--; n == 0 {
			break
		}
	}
	return after, nil
}

// filterFlags adds the flags that select entries of the journal.
func filterFlags(f *flags) *api.Filter {
	filter := new(api.Filter)
	f.StringVar(&filter.Kind, "kind", "", "only entries of a `kind`: decision, event, change or text")
	f.StringVar(&filter.Action, "action", "", "only changes and events of that `name`, as user.add or push")
	f.StringVar(&filter.Principal, "principal", "", "only what `WHO` requested, did or changed: user:NAME, robot:NAME, workload:NAME, operator:NAME, anonymous, or a name alone")
	f.StringVar(&filter.Registry, "registry", "", "only entries about the registry of that `service`")
	f.time(&filter.Since, "since", "only what happened at this `time` or later, as 2026-11-28T23:00:00Z or 2026-11-28")
	f.time(&filter.Until, "until", "only what happened before this `time`")
	f.before(func(s *session) error {
		switch filter.Kind {
		case "", "decision", "event", "change", "text":
		default:
			return s.usageErrorf("--kind: %s is not decision, event, change or text", text.Escape(filter.Kind))
		}
		if wrong := filter.CheckPrincipal(); wrong != "" {
			return s.usageErrorf("--principal: %s: %s", text.Escape(filter.Principal), wrong)
		}
		return nil
	})
	return filter
}

// time adds a flag whose value is a time.
func (f *flags) time(to *time.Time, name, usage string) {
	written := f.String(name, "", usage)
	f.before(func(s *session) (err error) {
		if *written == "" {
			return nil
		}
		if *to, err = policyfile.ParseTime(*written, time.Local); err != nil {
			err = s.usageErrorf("--%s: %v", name, err)
		}
		return err
	})
}

// printEntry writes an entry as a line of text.
func printEntry(w io.Writer, e journal.Entry) error {
	p := painted(w)
	_, err := fmt.Fprintln(w, p.faint(e.Time.Local().Format(time.DateTime)), e.Summary(), p.faint("id="+e.ID.String()))
	return err
}

func journalVerify(s *session) error {
	if err := s.db.Verify(s.ctx); err != nil { // a damaged index hides blocks
		return err
	}
	v, err := s.journal.Verify(s.ctx, 0)
	broken, isBroken := errors.AsType[*journal.BrokenError](err)
	if err != nil && (!isBroken || !s.json()) {
		return err
	}
	if s.json() {
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
			return errors.Join(s.writeJSON(result), errReported)
		}
		return s.writeJSON(result)
	}
	if v.Blocks == 0 {
		return s.print(nil, "the journal is empty")
	}
	return s.print(nil, "%s: %s in %s, positions %d to %d\nhash %x", painted(s.out).green("the journal is intact"),
		count(int(v.Entries), "entry", "entries"), count(int(v.Blocks), "block", "blocks"), v.First, v.Last, v.Hash)
}
