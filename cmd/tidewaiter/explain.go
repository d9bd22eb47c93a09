package main

import (
	"fmt"
	"net/netip"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

func explainCommand() command {
	return command{
		use:   "explain --as WHO {ACTION NAME... | SCOPE...} | ID",
		short: "Explain whether a principal may do something, and why",
		long: `Explain whether a principal may do something: which rule decides, the value of each
part of its condition, and how long a token would be valid. For a refused request, print the rules
that nearly match and why they do not match. Exits 0 if everything is allowed, and 1 if anything
is refused or an error occurs. With the id of a decision, exits 0 even if the decision was a
refusal.

The request is an action and a repository (push team/app), or scopes as registries write them
(repository:team/app:pull,push or registry:catalog:*). Users and robots are looked up in the
config's sources, for their groups. --group and --claim add groups and claims. A workload is known
only by its ID token: give its groups and claims with --group and --claim. Conditions can read
--ip, --at and --client. The policy includes the rules in the database, unless --files-only is
given. For a time in the past, --at also selects the policy of that time, if it is recorded
(see "tidewaiter policy history"). Groups and accounts are always those of today.

The id of a decision is in a refusal, in the log and in the journal. With an id, explain how that
request was decided, and how the current policy would decide the same request. The first 8 or more characters
of the id are enough, if no other id begins with them.`,
		example: `  tidewaiter explain --as user:alice push public/app
  tidewaiter explain --as anonymous pull public/app
  tidewaiter explain --as user:alice --group developers pull,push team/app --output json
  tidewaiter explain --as user:alice --ip 192.0.2.7 --at "2026-11-28 23:00 Europe/Paris" push prod/app
  tidewaiter explain --as workload:github:acme/app --claim repository=acme/app --claim attempt:=2 push acme/app
  tidewaiter explain --as user:admin registry:catalog:*
  tidewaiter explain 019aa1b2-c3d4-7e5f`,
		config: true,
		output: true,
		flags: func(f *flags) action {
			var e explainFlags
			e.principal.add(f)
			f.StringVar(&e.ip, "ip", "", "the client's IP `address`")
			f.time(&e.query.at, "at", "the `time` of the request, such as 2026-11-28T23:00:00Z, 2026-11-28, \"2026-11-28 23:00 Europe/Paris\" or 2d (two days ago; default: now)")
			e.query.orCurrent = true
			f.StringVar(&e.client, "client", "", "the client's `name`, from its User-Agent")
			e.query.add(f)
			return e.run
		},
	}
}

// explainFlags has the flags of explain.
type explainFlags struct {
	principal  principalFlags
	ip, client string // inputs of conditions, together with query.at
	query      queryFlags
}

func (f *explainFlags) run(s *session) error {
	if len(s.args) == 0 {
		return s.usageErrorf("give an action and a repository, as in push team/app, or a scope, or the id of a decision")
	}
	var e *explain.Evaluation
	var err error
	named := len(f.principal.given) > 0
	switch {
	case !journal.IsBeginning(s.args[0]) && len(s.args) == 1 && !named:
		return s.usageErrorf("%q is not the id of a decision: an id looks like %s; copy it from a refusal, the log or the journal (the first 8 characters are enough). To explain a request, name the principal with --as", s.args[0], exampleID)
	case !journal.IsBeginning(s.args[0]):
		e, err = f.explainRequest(s)
	case len(s.args) > 1 || named || f.query.registry != "" || *f.query.filesOnly || f.ip != "" || f.client != "" || !f.query.at.IsZero():
		return s.usageErrorf("the id of a decision cannot be combined with scopes or with flags for the request")
	default:
		e, err = explainDecision(s, s.args[0])
	}
	if err != nil {
		return err
	}
	if s.printsJSON() {
		err = s.writeJSON(e.Explanation())
	} else {
		f.query.printPast(s.out)
		s.printExplanation(e)
	}
	if err == nil && e.Entry == nil && !e.Allowed() {
		err = errReported
	}
	return err
}

// explainRequest evaluates the request by the current policy. With --files-only, it uses only the
// rules in the files.
func (f *explainFlags) explainRequest(s *session) (*explain.Evaluation, error) {
	given, err := f.principal.read(s)
	if err != nil {
		return nil, err
	}
	r := &policy.Request{Client: f.client, Now: f.query.at}
	if r.Now.IsZero() {
		r.Now = clock.Now()
	}
	if f.ip != "" {
		if r.IP, err = netip.ParseAddr(f.ip); err != nil {
			return nil, s.usageErrorf("--ip: %q is not an IP address", f.ip)
		}
	}
	e := &explain.Evaluation{Request: r}
	if r.Scopes, e.Ignored, err = s.parseScopes(); err != nil {
		return nil, err
	}
	var p *policy.Policy
	if r.Registry, p, err = f.query.load(s); err != nil {
		return nil, err
	}
	if e.Subject, err = s.find(given); err != nil {
		return nil, err
	}
	r.Principal, e.Registry = e.Principal, r.Registry
	x := ask.Explain(p, r)
	e.Results, e.Near = x.Results, x.Near
	e.Past = f.query.past
	if e.Past.Period == nil { // configs of the past are not stored
		if life, ok := app.PredictLifetime(s.cfg, p, r); ok {
			e.Lifetime = &life
		}
	}
	e.ApplyBlock()
	return e, nil
}

// explainDecision finds a decision in the journal. It evaluates the request twice: by the policy
// that made the decision, to find the rules that nearly matched, and by the current policy.
func explainDecision(s *session, id string) (*explain.Evaluation, error) {
	if err := readJournal(s); err != nil {
		return nil, err
	}
	entry, err := s.findEntry(id)
	if err != nil {
		return nil, err
	}
	if entry.Decision == nil {
		return nil, fmt.Errorf("the entry %s is not a decision: %s", entry.ID, entry.Summary())
	}
	if err := loadRules(s); err != nil {
		return nil, err
	}
	return explain.Decision(s.ctx, &entry, s.rules)
}
