package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

func journalVerify(f *flags) action {
	from := f.Int64("from", 0, "verify entries at or after a `position`")
	to := f.Int64("to", 0, "verify entries at or before a `position`")
	var since time.Time
	f.time(&since, "since", "verify entries at this `time` or later")
	f.oneOf("from", "since")
	f.addCheck(func(s *session) error {
		for _, name := range []string{"from", "to"} {
			if position, _ := f.GetInt64(name); position < 1 && f.Changed(name) {
				return s.usageErrorf("--%s must be positive", name)
			}
		}
		if f.Changed("since") && since.IsZero() {
			return s.usageErrorf("--since is empty: give a value, or leave out the flag")
		}
		if *to > 0 && *to < *from {
			return s.usageErrorf("--to must not be before --from")
		}
		return nil
	})
	return func(s *session) (err error) {
		first := journal.Position(*from)
		if err := s.db.Verify(s.ctx); err != nil { // a damaged index can hide blocks
			return err
		}
		if !since.IsZero() {
			if first, err = s.journal.FirstSince(s.ctx, since); err != nil {
				return err
			}
		}
		report, clear := s.verifyProgress()
		v, err := s.journal.VerifyRange(s.ctx, first, journal.Position(*to), report)
		clear()
		return s.printVerified(v, err, first > 1 || *to > 0)
	}
}

// verifyProgress returns two functions. The first function prints the progress in one line of the
// terminal. The second function clears this line.
func (s *session) verifyProgress() (report func(done, all int64), clearLine func()) {
	const every = 500 * time.Millisecond
	if !isTerminal(s.errs) {
		return nil, func() {}
	}
	last, printed := clock.Now(), false
	report = func(done, all int64) {
		if now := clock.Now(); now.Sub(last) >= every {
			last, printed = now, true
			fmt.Fprintf(s.errs, "\r\x1b[K%d of %d entries, %d%%", done, all, 100*done/max(all, 1))
		}
	}
	return report, func() {
		if printed {
			fmt.Fprint(s.errs, "\r\x1b[K")
		}
	}
}

// printVerified prints the results of VerifyRange for the whole journal or a part of it.
func (s *session) printVerified(v journal.Verified, err error, isPartial bool) error {
	broken, isBroken := errors.AsType[*journal.BrokenError](err)
	if err != nil && (!isBroken || !s.printsJSON()) {
		return err
	}
	if s.printsJSON() {
		result := struct {
			Whole      bool             `json:"intact"`
			First      journal.Position `json:"first"`
			journalEnd                  // the end of the intact part
			Blocks     int64            `json:"blocks"`
			Removed    int64            `json:"removed,omitempty"` // entries that are not stored
			Erased     int64            `json:"erased,omitempty"`  // entries without personal data
			Broken     journal.Position `json:"broken,omitempty"`
			Why        string           `json:"reason,omitempty"`
		}{!isBroken, v.First, newJournalEnd(&v), v.Blocks, v.Removed, v.Erased, 0, ""}
		if isBroken {
			result.Broken, result.Why = broken.Block, broken.Why
			return errors.Join(s.writeJSON(result), errReported)
		}
		return s.writeJSON(result)
	}
	if v.Blocks == 0 {
		if isPartial {
			return s.print(nil, "the journal has no entries in this range")
		}
		return s.print(nil, "the journal is empty")
	}
	what := "the journal is intact"
	if isPartial {
		what = "this part of the journal is intact"
	}
	var without string
	if v.Removed > 0 {
		without += fmt.Sprintf(", %d removed", v.Removed)
	}
	if v.Erased > 0 {
		without += fmt.Sprintf(", %d without personal data", v.Erased)
	}
	hash := "hash"
	if v.Size > 0 {
		without += fmt.Sprintf("\nsize %d", v.Size)
		hash = "root"
	}
	return s.print(nil, "%s: %s in %s, positions %d to %d%s\n%s %s", paintFor(s.out).green(what),
		count(int(v.Entries), "entry", "entries"), count(int(v.Blocks), "block", "blocks"), v.First, v.Last, without, hash, tree.Hash(v.Hash))
}
