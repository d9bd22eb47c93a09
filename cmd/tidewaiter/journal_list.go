package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/export"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func journalList(f *flags) action {
	n := f.IntP("limit", "n", 20, "the maximum number of `entries`; csv and jsonl have no limit by default; with --follow, the number of existing entries to print first")
	before := f.Int64("before", 0, "only entries before a `position`, to continue a list")
	from := f.Int64("from", 0, "only entries at or after a `position`")
	to := f.Int64("to", 0, "only entries at or before a `position`")
	order := choose(f, "order", "", newest, "the order of the entries: which come first", newest, oldest)
	follow := f.BoolP("follow", "f", false, "list in the order of time, and print new entries as they are written, until Ctrl-C")
	filter := filterFlags(f)
	for _, with := range []string{"before", "until", "from", "to", "order"} {
		f.oneOf(with, "follow")
	}
	f.oneOf("before", "to")
	f.addCheck(func(s *session) error {
		if *n < 0 || *n == 0 && !*follow {
			return s.usageErrorf("--limit must be positive, or 0 with --follow")
		}
		for _, name := range []string{"before", "from", "to"} {
			if position, _ := f.GetInt64(name); position < 1 && f.Changed(name) {
				return s.usageErrorf("--%s must be positive", name)
			}
		}
		if *to > 0 && *to < *from {
			return s.usageErrorf("--to must not be before --from")
		}
		if *before > 0 && *order == oldest {
			return s.usageErrorf("--before lists the newest entries first: with --order oldest, give --from instead")
		}
		return nil
	})
	return func(s *session) error {
		q, _, _ := filter.Query() // checked
		s.noteFuture(filter)
		p := s.newEntryPrinter(*follow)
		if *follow {
			return s.followJournal(q, *n, p)
		}
		l := entryList{query: q, from: journal.Position(*from), to: journal.Position(max(*to, *before-1)), limit: *n}
		if p.export != nil && !f.Changed("limit") {
			l.limit = math.MaxInt
		}
		list, more := s.listNewest, "--before"
		if *order == oldest {
			list, more = s.listOldest, "--from"
		}
		printed, next, err := list(l, p)
		if err == nil {
			err = s.exportCheckpoint(p)
		}
		if err := errors.Join(err, p.flush()); err != nil {
			return err
		}
		switch {
		case next != 0:
			s.printNote("there are more entries: continue with %s %d", more, next)
		case printed == 0:
			reason := s.unknownRegistry(filter.Registry)
			if reason == "" {
				if reason, err = s.unmatchedReason(filter); err != nil {
					return err
				}
			}
			s.printNote("no entry matches%s", reason)
		}
		return nil
	}
}

// exportCheckpoint ends an export with the last signed checkpoint, if there is one. With --output
// json, it prints no checkpoint.
func (s *session) exportCheckpoint(p *entryPrinter) error {
	if p.export == nil || s.printsJSON() {
		return nil
	}
	signed, err := checkpoint.Latest(s.ctx, s.db)
	if err != nil {
		return err
	}
	if signed == nil {
		s.printNote("the export ends without a checkpoint: the service signs the first one within ten seconds")
		return nil
	}
	covers, err := s.journal.Covered(s.ctx, signed)
	if err != nil {
		return err
	}
	if covers < p.export.Last() {
		s.printNote("the signed checkpoint at the end covers the entries up to position %d: the service signs the next one within ten seconds", covers)
	}
	return p.export.Checkpoint(signed, covers)
}

// If the config has no registry of the given name, unknownRegistry returns the end of the note "no
// entry matches". Entries of a registry that was removed from the config can still be listed.
func (s *session) unknownRegistry(named string) string {
	names := s.services()
	if named == "" || slices.Contains(names, named) {
		return ""
	}
	return fmt.Sprintf("; the config has no registry %s: it has %s", text.Name(named), strings.Join(names, ", "))
}

// The values of --order: the entries that are listed first.
const (
	newest = "newest"
	oldest = "oldest"
)

// entryList selects the entries that journal list prints.
type entryList struct {
	query    journal.Query
	from, to journal.Position // from 0 is the beginning, and to 0 is the end
	limit    int
}

// listNewest prints the entries of l, the newest first, and returns their number. To continue the
// list, search before the returned position. This position is 0 if the list is complete.
func (s *session) listNewest(l entryList, p *entryPrinter) (printed int, next journal.Position, err error) {
	var before journal.Position
	if l.to > 0 {
		before = l.to + 1
	}
	next, err = s.search(l.query, l.from, before, l.limit, func(e journal.Entry) error {
		printed++
		return p.print(e)
	})
	return printed, next, err
}

// listOldest prints the entries of l, the oldest first, and returns their number. To continue the
// list, search from the returned position. This position is 0 if the list is complete.
func (s *session) listOldest(l entryList, p *entryPrinter) (printed int, next journal.Position, err error) {
	for e, err := range s.journal.Select(s.ctx, l.query, l.from, l.to) {
		if err != nil {
			return printed, 0, err
		}
		if printed == l.limit {
			return printed, e.Position, nil
		}
		if err := p.print(e); err != nil {
			return printed, 0, err
		}
		printed++
	}
	return printed, 0, nil
}

// search calls the function print for the selected entries, the newest first. It selects entries
// at the positions from lowest to end-1. It stops when it has found as many entries as the limit
// allows. It returns the value of end for the next search, or 0 if it has searched the whole
// range. On a terminal, search prints the time of the oldest entry that it has searched.
func (s *session) search(q journal.Query, lowest, end journal.Position, limit int, print func(journal.Entry) error) (next journal.Position, err error) {
	const atOnce = 20_000 // entries that are searched in one step
	const every = 500 * time.Millisecond
	terminal, printed := isTerminal(s.errs), false
	clear := func() {
		if printed {
			fmt.Fprint(s.errs, "\r\x1b[K")
		}
	}
	defer func() { clear() }()
	for next = end; limit > 0; {
		began := clock.Now()
		page, err := s.journal.Search(s.ctx, q, next, limit, func(searched int) bool {
			return lowest > 0 && searched >= atOnce || terminal && clock.Now().Sub(began) >= every
		})
		if err != nil {
			return 0, err
		}
		clear()
		for _, e := range page.Entries {
			if e.Position < lowest {
				return 0, nil
			}
			if err := print(e); err != nil {
				return 0, err
			}
		}
		limit -= len(page.Entries)
		if next = page.Next; next <= lowest {
			return 0, nil
		}
		if printed = terminal && !page.Searched.IsZero(); printed && limit > 0 {
			fmt.Fprintf(s.errs, "searched back to %s", page.Searched.Local().Format(time.DateTime))
		}
	}
	return next, nil
}

// followJournal prints the last n selected entries, and then each new entry that is selected.
func (s *session) followJournal(q journal.Query, n int, p *entryPrinter) error {
	last, err := s.journal.Last(s.ctx)
	if err != nil {
		return err
	}
	var found []journal.Entry
	if last > 0 {
		_, err := s.search(q, 0, last+1, n, func(e journal.Entry) error { found = append(found, e); return nil })
		if err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(found) {
		if err := p.print(e); err != nil {
			return err
		}
	}
	for e, err := range s.journal.Follow(s.ctx, last) {
		if err != nil {
			return err
		}
		if !q.Matches(&e) {
			continue
		}
		if err := p.print(e); err != nil {
			return err
		}
	}
	return nil
}

// filterFlags adds the flags that select entries of the journal.
func filterFlags(f *flags) *api.Filter {
	filter := new(api.Filter)
	f.time(&filter.Since, "since", "only entries at this `time` or later, such as 2026-11-28T23:00:00Z, 2026-11-28 or 2d (two days ago)")
	f.time(&filter.Until, "until", "only entries before this `time`")
	kind := choose[journal.Kind](f, "kind", "", "", "only entries of a `kind`: decision, event, change, service or text",
		journal.KindDecision, journal.KindEvent, journal.KindChange, journal.KindService, journal.KindText)
	outcome := choose[journal.Outcome](f, "outcome", "", "", "only decisions with an `outcome`: granted, partial or refused",
		journal.Granted, journal.Partial, journal.Refused)
	filters := []string{"since", "until"}
	for _, flag := range []struct {
		to          *string
		name, usage string
	}{
		{&filter.Registry, "registry", "only entries about the registry of that `service`"},
		{&filter.Principal, "principal", "only requests, events and changes of `WHO`: user:NAME, robot:NAME, workload:NAME, operator:NAME, anonymous, or a name without a prefix"},
		{&filter.Repository, "repository", "only decisions and events about a `repository`; team/** matches all repositories below team"},
		{&filter.Digest, "digest", "only events about the object with a `digest`, or about an object that refers to it; 7 digits are enough"},
		{&filter.Tag, "tag", "only events about a `tag`"},
		{&filter.Action, "action", "only requests, events and changes with an `action`: pull, push, delete, user.add"},
		{&filter.Address, "address", "only requests from an `address` or network, such as 192.0.2.0/24"},
		{&filter.Credential, "credential", "only decisions for which a `credential` was presented, as journal show names it: password, token:laptop"},
		{&filter.Decision, "decision", "only the decision with an `id`, and decisions that reused its token"},
	} {
		f.StringVar(flag.to, flag.name, "", flag.usage)
		filters = append(filters, flag.name)
	}
	f.addCheck(func(s *session) error {
		for _, name := range filters {
			// If a script passes an empty variable, the command must not select everything.
			if f.Changed(name) && f.Lookup(name).Value.String() == "" {
				return s.usageErrorf("--%s is empty: give a value, or leave out the flag", name)
			}
		}
		filter.Kind, filter.Outcome = *kind, *outcome
		if _, field, reason := filter.Query(); reason != "" {
			return s.usageErrorf("--%s: %s: %s", field, text.Escape(f.Lookup(field).Value.String()), reason)
		}
		return s.checkWithoutRegistry(filter.Repository)
	})
	return filter
}

// time adds a flag whose value is a time.
func (f *flags) time(to *time.Time, name, usage string) {
	written := f.String(name, "", usage)
	f.addCheck(func(s *session) (err error) {
		if *written == "" {
			return nil
		}
		if *to, err = parseTime(*written); err != nil {
			err = s.usageErrorf("--%s: %v", name, err)
		}
		return err
	})
}

// parseTime parses a time, or how long ago it was: 2d, 36h, "2d ago".
func parseTime(written string) (time.Time, error) {
	now := clock.Now()
	if written == "now" {
		return now, nil
	}
	if ago, ok := text.ParseDuration(strings.TrimSpace(strings.TrimSuffix(written, "ago"))); ok && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := policyfile.ParseTime(written, time.Local)
	if err != nil {
		err = fmt.Errorf("%w, and not how long ago it was, like 2d or 36h%s", err, meantAgo(written))
	}
	return t, err
}

// meantAgo returns the end of an error about a text that is not a time. If the text is a number
// with a wrong unit, this end of the error contains the duration that the user probably meant.
func meantAgo(written string) string {
	bare := strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(written, "ago"), " "))
	unit := strings.TrimLeft(bare, "0123456789 ")
	// For months, there is no suggestion, because 3m means three minutes. For a number without a
	// unit, there is no suggestion, because the number can be a year.
	if unit == "" || strings.HasPrefix(strings.ToLower(unit), "mo") || strings.ContainsAny(unit, "0123456789") {
		return ""
	}
	if meant := text.MeantDuration(bare); meant != "" {
		return fmt.Sprintf(" (did you mean %s?)", text.Quote(meant))
	}
	return ""
}

// noteFuture prints a note if a flag selects entries by a time in the future.
func (s *session) noteFuture(filter *api.Filter) {
	now := clock.Now()
	if filter.Since.After(now) {
		s.printNote("--since is in the future, so no entry matches yet")
	}
	if filter.Until.After(now) {
		s.printNote("--until is in the future: the newest entries are those of now")
	}
}

// entryPrinter prints entries in the format of --output.
type entryPrinter struct {
	out    io.Writer
	export *export.Writer // nil: summaries
	follow bool           // flush after each entry
}

func (s *session) newEntryPrinter(follow bool) *entryPrinter {
	p := &entryPrinter{out: s.out, follow: follow}
	switch *s.output {
	case "text":
	case string(export.CSV):
		p.export = export.NewWriter(s.out, export.CSV)
	default: // the list can be larger than the memory, so json prints lines, too
		p.export = export.NewWriter(s.out, export.JSONLines)
	}
	return p
}

func (p *entryPrinter) print(e journal.Entry) error {
	if p.export == nil {
		return printSummary(p.out, &e)
	}
	err := p.export.Write(&e)
	if p.follow {
		err = errors.Join(err, p.export.Flush())
	}
	return err
}

func (p *entryPrinter) flush() error {
	if p.export == nil {
		return nil
	}
	return p.export.Flush()
}

func printSummary(w io.Writer, e *journal.Entry) error {
	p := paintFor(w)
	_, err := fmt.Fprintln(w, p.faint(e.Time.Local().Format(time.DateTime)), e.Summary(), p.faint("id="+e.ID.String()))
	return err
}
