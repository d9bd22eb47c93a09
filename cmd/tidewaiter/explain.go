package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain --as WHO {ACTION NAME... | SCOPE...} | ID",
		Short: "Explain whether a principal may do something, and why",
		Long: `Explain whether a principal may do something: which rule decides, the value of each part of its
condition, and how long a token would be valid. If it is refused, print the rules that nearly match and
why they do not. Exits 0 if everything is allowed, and 1 if anything is refused or an error occurs.

The request is an action and a repository (push team/app), or scopes as registries write them
(repository:team/app:pull,push or registry:catalog:*). Users and robots are looked up in the config's
sources, for their groups. --group and --claim add more. A workload is known only by its ID token:
give its groups and claims with --group and --claim. Conditions can read --ip, --at and --client. The
policy includes the rules in the database, unless --files-only is given.

With the id of a decision, from a refusal, the log or the journal, explain how that request was decided
and how the current policy would decide it. The first 8 or more characters of the id are enough, if no
other id begins with them.`,
		Example: `  tidewaiter explain --as user:alice push public/app
  tidewaiter explain --as anonymous pull public/app
  tidewaiter explain --as user:alice --group developers pull,push team/app --output json
  tidewaiter explain --as user:alice --ip 192.0.2.7 --at "2026-11-28 23:00 Europe/Paris" push prod/app
  tidewaiter explain --as workload:github:acme/app --claim repository=acme/app --claim attempt:=2 push acme/app
  tidewaiter explain --as user:admin registry:catalog:*
  tidewaiter explain 019aa1b2-c3d4-7e5f`,
		Args: cobra.ArbitraryArgs,
	}
	source := configFlags(cmd)
	var who principalFlags
	who.flags(cmd)
	var where requestFlags
	where.flags(cmd)
	registry := registryFlag(cmd)
	filesOnly := filesOnlyFlag(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageErrorf(cmd, "give an action and a repository, as in push team/app, or a scope, or the id of a decision")
		}
		var e *explanation
		var err error
		if journal.IsBeginning(args[0]) {
			if len(args) > 1 || len(who.given()) > 0 || *registry != "" || *filesOnly || where.given() {
				return usageErrorf(cmd, "the id of a decision cannot be combined with scopes or with flags for the request")
			}
			e, err = explainDecision(cmd.Context(), source, args[0])
		} else if len(args) == 1 && len(who.given()) == 0 {
			return usageErrorf(cmd, "%q is not the id of a decision: copy it from a refusal, the log or the journal, like 019aa1b2-c3d4-7e5f. To explain a request, name the principal with --as", args[0])
		} else {
			e, err = explainAsked(cmd, source, &who, &where, *registry, *filesOnly, args)
		}
		if err != nil {
			return err
		}
		if *output == asJSON {
			err = writeJSON(cmd.OutOrStdout(), api.NewExplanation(&e.Explained))
		} else {
			e.print(cmd.OutOrStdout())
		}
		if err == nil && e.Entry == nil && !e.Allowed() {
			err = errReported
		}
		return err
	}
	return cmd
}

// requestFlags has the flags for what conditions read beside the principal and the scope.
type requestFlags struct {
	ip, at, client string
}

func (c *requestFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.ip, "ip", "", "the client's IP `address`")
	cmd.Flags().StringVar(&c.at, "at", "", "the `time` of the request, as 2026-11-28T23:00:00Z, 2026-11-28 or \"2026-11-28 23:00 Europe/Paris\" (default: now)")
	cmd.Flags().StringVar(&c.client, "client", "", "the client's `name`, from its User-Agent")
}

func (c *requestFlags) given() bool { return *c != requestFlags{} }

// put copies them into a request. The error is a usage error.
func (c *requestFlags) put(cmd *cobra.Command, r *policy.Request) (err error) {
	r.Client, r.Now = c.client, clock.Now()
	if c.at != "" {
		if r.Now, err = config.ParseTime(c.at, time.Local); err != nil {
			return usageErrorf(cmd, "--at: %v", err)
		}
	}
	if c.ip != "" {
		if r.IP, err = netip.ParseAddr(c.ip); err != nil {
			return usageErrorf(cmd, "--ip: %q is not an IP address", c.ip)
		}
	}
	return nil
}

// explanation is the output of explain.
type explanation struct{ api.Explained }

// explainAsked evaluates the request by the current policy, or by the rules of the files alone.
func explainAsked(cmd *cobra.Command, source *source, who *principalFlags, where *requestFlags, registry string, filesOnly bool, args []string) (*explanation, error) {
	said, err := who.read(cmd)
	if err != nil {
		return nil, err
	}
	r := &policy.Request{}
	if err := where.put(cmd, r); err != nil {
		return nil, err
	}
	e := &explanation{api.Explained{Request: r}}
	if r.Scopes, e.Ignored, err = parseScopeArgs(cmd, args); err != nil {
		return nil, err
	}
	cfg, err := source.load()
	if err != nil {
		return nil, err
	}
	if r.Registry, err = chooseRegistry(cmd, cfg, registry); err != nil {
		return nil, err
	}
	r.Principal, e.Known, err = find(cmd.Context(), cfg, said)
	barred, err := api.Barred(r.Principal, cfg.Token.Anonymous, err)
	if err != nil {
		return nil, err
	}
	e.Who, e.Registry, e.Note = r.Principal, r.Registry, api.Note(r.Principal, e.Known)
	p, err := activePolicy(cmd.Context(), cfg, filesOnly)
	if err != nil {
		return nil, err
	}
	x := p.Explain(r)
	e.Results, e.Near = x.Results, x.Near
	if life, ok := app.PredictLifetime(cfg, p, r); ok {
		e.Life = &life
	}
	if barred != "" {
		e.Bar(barred)
	}
	return e, nil
}

// explainDecision finds a decision in the journal and evaluates its request again, by the policy that
// made the decision (to find the rules that nearly match) and by the current one.
func explainDecision(ctx context.Context, source *source, id string) (_ *explanation, err error) {
	cfg, err := source.load()
	if err != nil {
		return nil, err
	}
	_, j, closing, err := openJournal(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	entry, err := j.FindOne(ctx, id)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("the journal has no entry %s", text.Escape(id))
	}
	if err != nil {
		return nil, err
	}
	d := entry.Decision
	if d == nil {
		return nil, fmt.Errorf("the entry %s is not a decision: %s", entry.ID, entry.Summary())
	}
	b, done, err := app.LoadRulebook(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	x, err := api.NewExplained(ctx, &entry, b)
	if err != nil {
		return nil, err
	}
	return &explanation{*x}, nil
}
