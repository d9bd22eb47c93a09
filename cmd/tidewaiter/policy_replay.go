package main

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// defaultReplay is the default of --since: decisions up to this age are replayed.
const defaultReplay = 7 * day

func policyReplay() command {
	return command{
		use:   "replay",
		short: "Compare recorded decisions with another policy",
		long: `Compare the decisions in the journal with another policy. Print which granted requests this
policy would refuse, and which refused requests it would grant. Equal differences of one principal
are one line. Exits 1 if a decision differs, and 0 if all are the same.

The other policy has the rules of the --candidate files instead of the files of the config. Without
--candidate, it has the rules of the config and its files as they are now. In both cases, it also has the
rules of the database, unless --files-only is given.

A request is judged with the groups, claims and restrictions that the principal had, and with the
recorded time, address and client. A decision that depends on something that was not recorded is
counted as not judged, with the reason. The command only reads, so it can run while the service runs.`,
		example: `  tidewaiter policy replay --since 7d --candidate policy/new.yaml
  tidewaiter policy replay --since 2026-11-01 --output json
  tidewaiter policy replay --config changed.yaml
  tidewaiter policy replay --shadow`,
		opens: readJournal,
		flags: func(f *flags) action {
			candidate := f.list("candidate", "a `file` with roles and rules at its top, instead of the files of the config")
			f.completeFiles("candidate", "yaml", "yml", "json")
			shadow := f.Bool("shadow", false, "judge by the shadow policy of the config (policy.shadow)")
			f.oneOf("candidate", "shadow")
			since, until := decisionRange(f, defaultReplay)
			filesOnly := filesOnlyFlag(f)
			return func(s *session) error {
				files := *candidate
				if *shadow {
					if files = s.cfg.Shadow; len(files) == 0 {
						return fmt.Errorf("%s has no shadow policy: name its files in policy.shadow", s.cfg.File)
					}
				}
				p, err := s.candidatePolicy(files, *filesOnly)
				if err != nil {
					return err
				}
				r, err := replay.New(p)
				if err == nil {
					err = s.eachDecision(*since, *until, r.Add)
				}
				if err != nil {
					return err
				}
				report := r.Report()
				if s.printsJSON() {
					err = s.writeJSON(newReplayJSON(p.ID(), report))
				} else {
					s.printReplay(report)
				}
				if err == nil && report.Different() > 0 {
					err = errReported
				}
				return err
			}
		},
	}
}

// decisionRange adds the flags that select recorded decisions by their time. Without --since, the
// range begins the given duration before now.
func decisionRange(f *flags, byDefault time.Duration) (since, until *time.Time) {
	since, until = new(time.Time), new(time.Time)
	f.time(since, "since", "only decisions at this `time` or later, such as 2026-11-28T23:00:00Z, 2026-11-28 or 2d (two days ago) (default "+fmt.Sprint(int(byDefault/day))+"d)")
	f.time(until, "until", "only decisions before this `time`")
	f.addCheck(func(s *session) error {
		if since.IsZero() {
			*since = clock.Now().Add(-byDefault)
		}
		if !until.IsZero() && until.Before(*since) {
			return s.usageErrorf("--until must not be before --since")
		}
		return nil
	})
	return since, until
}

// candidatePolicy returns the policy with the rules of the given files. If the list of files is
// empty, it uses the rules of the config. Unless filesOnly is true, the policy also has the rules
// of the database.
func (s *session) candidatePolicy(files []string, filesOnly bool) (*policy.Policy, error) {
	compiled := &s.cfg.Compiled
	if len(files) > 0 {
		var err error
		if compiled, err = policyfile.LoadRules(files); err != nil {
			return nil, err
		}
	}
	own := *compiled
	own.Services, own.Database = s.services(), ""
	if !filesOnly {
		own.Database = s.cfg.Database
	}
	_, err := offline.Complete(s.ctx, &own)
	return own.Policy, hintFilesOnly(err)
}

// eachDecision calls the function visit for each recorded decision of a time range. On a terminal,
// it prints its progress.
func (s *session) eachDecision(since, until time.Time, visit func(*journal.Entry)) error {
	first, err := s.journal.FirstSince(s.ctx, since)
	if err != nil {
		return err
	}
	last, err := s.journal.Last(s.ctx)
	if err != nil {
		return err
	}
	q := journal.Query{Since: since, Until: until}
	report, clearLine := s.verifyProgress()
	defer func() { clearLine() }()
	reported := first
	for e, err := range s.journal.ReadDecisions(s.ctx, first-1) {
		if err != nil {
			return err
		}
		if e.Position > last {
			break // on a busy service, reading newer decisions would never end
		}
		if report != nil && e.Position-reported >= 1024 {
			reported = e.Position
			report(int64(e.Position-first), int64(last-first+1))
		}
		if q.Matches(&e) {
			visit(&e)
		}
	}
	return nil
}

func (s *session) printReplay(r *replay.Report) {
	p := paintFor(s.out)
	if r.Decisions == 0 {
		s.printNote("the journal has no decision of this time")
		return
	}
	for list := r.Differences; len(list) > 0; {
		same := 1
		for same < len(list) && list[same].SameCauses(&list[0]) {
			same++
		}
		s.printDifferences(list[:same])
		list = list[same:]
	}
	if r.More > 0 {
		fmt.Fprintf(s.out, "and %d scopes with other differences, which are too many to list\n", r.More)
	}
	if len(r.Reasons) > 0 {
		fmt.Fprintln(s.out, p.bold("not judged:"))
	}
	for _, why := range r.Reasons {
		fmt.Fprintf(s.out, "  %6d  %s (last %s)\n", why.Scopes, why.Text, why.ID.Short())
	}
	result := p.green("no difference")
	if n := r.Different(); n > 0 {
		result = p.red(fmt.Sprintf("%d differ", n))
	}
	fmt.Fprintf(s.out, "%s: %s from %s to %s", result, count(int(r.Decisions), "decision", "decisions"), formatSecond(r.First), formatSecond(r.Last))
	for _, n := range []struct {
		number int64
		text   string
	}{{r.Refused, "newly refused"}, {r.Allowed, "newly allowed"}, {r.NotJudged, "not judged"}} {
		if n.number > 0 {
			fmt.Fprintf(s.out, ", %d %s", n.number, n.text)
		}
	}
	fmt.Fprintln(s.out)
}

// maxPrincipals is the maximum number of lines that are printed for one pair of causes.
const maxPrincipals = 20

// printDifferences prints the differences with equal causes.
func (s *session) printDifferences(list []replay.Difference) {
	fmt.Fprintln(s.out, paintFor(s.out).bold(replayTitle(&list[0])))
	rows, scopes := [][]string{}, int64(0)
	for i := range list {
		if d := &list[i]; i < maxPrincipals {
			rows = append(rows, []string{fmt.Sprintf("%6d", d.Scopes), text.Name(d.Principal), d.Actions.String(), resources(d), "last " + formatSecond(d.Last), d.ID.Short()})
		} else {
			scopes += d.Scopes
		}
	}
	if more := len(list) - len(rows); more > 0 {
		rows = append(rows, []string{fmt.Sprintf("%6d", scopes), "of " + count(more, "other principal", "other principals")})
	}
	_ = writeTable(s.out, rows) // if standard output fails, there is nowhere to report it
}

// replayTitle describes a difference by its causes.
func replayTitle(d *replay.Difference) string {
	return fmt.Sprintf("newly %s: now %s; then %s", d.Effect, causeText(d.Now), causeText(d.Then))
}

// resources returns the names of the resources of a difference.
func resources(d *replay.Difference) string {
	names := make([]string, len(d.Names))
	for i, name := range d.Names {
		names[i] = text.Resource(d.Type, name)
	}
	if d.MoreNames {
		names = append(names, "others")
	}
	return text.List(names, "and")
}

func causeText(c policy.Cause) string {
	rule := ""
	if c.Rule != nil {
		rule = c.Rule.String()
	}
	switch c.Reason {
	case policy.Allowed:
		return "allowed by " + rule
	case policy.Denied:
		return "denied by " + rule
	case policy.Narrowed:
		return "not within the restrictions of the credential"
	case policy.ConditionFailed:
		return "the condition of " + rule + " does not hold"
	}
	return "no rule allows it"
}
