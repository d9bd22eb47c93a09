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
	"github.com/tidewaiter/tidewaiter/policy"
)

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain --as WHO {ACTION NAME... | SCOPE...} | ID",
		Short: "Say whether somebody may do a thing, and which rule says so",
		Long: `Say whether somebody may do a thing, which rule says so, what each part of its condition came to, and for
a refusal which rules came near, with what each of them lacked; and how long a token for what is granted would live, by which
setting. It exits 0 if all that is asked for is allowed, and 1 if any of it is refused, or if it could not be said, which
standard error then tells.

What is asked for is an action and a repository, as in push team/app, or scopes as registries have them, as in
repository:team/app:pull,push or registry:catalog:*. A user or a robot is looked up in the config's
sources, so that their groups are the real ones; --group adds others, and --claim claims. A workload is known by
its ID token alone: say what it has with --group and --claim. --ip, --at and --client are for
conditions: from where, when, and with what is it asked? The policy is the one that the service has in force, with the
rules of the database; --files-only leaves these out.

With the id of a decision, from the log or the journal, say how that request was decided, and how it
would be now.`,
		Example: `  tidewaiter explain --as user:alice push public/app
  tidewaiter explain --as anonymous pull public/app
  tidewaiter explain --as user:alice --group developers pull,push team/app --output json
  tidewaiter explain --as user:alice --ip 192.0.2.7 --at "2026-11-28 23:00 Europe/Paris" push prod/app
  tidewaiter explain --as workload:github:acme/app --claim repository=acme/app --claim attempt:=2 push acme/app
  tidewaiter explain --as user:admin registry:catalog:*
  tidewaiter explain 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b`,
		Args: cobra.ArbitraryArgs,
	}
	source := configFlags(cmd)
	var who asker
	who.flags(cmd)
	var where circumstances
	where.flags(cmd)
	registry := registryFlag(cmd)
	filesOnly := filesOnlyFlag(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return misused(cmd, "a scope is wanted, or an action and a repository, as in push team/app; or the id of a decision")
		}
		var e *explanation
		id, err := journal.ParseID(args[0])
		if err == nil {
			if len(args) > 1 || len(who.given()) > 0 || *registry != "" || *filesOnly || where.given() {
				return misused(cmd, "the id of a decision says all by itself: no other scopes and no flags of who asks go with it")
			}
			e, err = explainDecision(cmd.Context(), source, id)
		} else if len(args) == 1 && len(who.given()) == 0 {
			return misused(cmd, "%q is no id of a decision: the log and the journal have it whole, like 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b. To ask what somebody may do, say who with --as", args[0])
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
			err = errTold
		}
		return err
	}
	return cmd
}

// circumstances are what a condition may look at beside who asks for what.
type circumstances struct {
	ip, at, client string
}

func (c *circumstances) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.ip, "ip", "", "the `address` that the request is from")
	cmd.Flags().StringVar(&c.at, "at", "", "the `time` of the request, as 2026-11-28T23:00:00Z, 2026-11-28 or \"2026-11-28 23:00 Europe/Paris\" (default: now)")
	cmd.Flags().StringVar(&c.client, "client", "", "the client's `name`, as its User-Agent has it")
}

func (c *circumstances) given() bool { return *c != circumstances{} }

// put puts them into a request. The error is one of usage.
func (c *circumstances) put(cmd *cobra.Command, r *policy.Request) (err error) {
	r.Client, r.Now = c.client, clock.Now()
	if c.at != "" {
		if r.Now, err = config.ParseTime(c.at, time.Local); err != nil {
			return misused(cmd, "--at: %v", err)
		}
	}
	if c.ip != "" {
		if r.IP, err = netip.ParseAddr(c.ip); err != nil {
			return misused(cmd, "--ip: %q is no IP address", c.ip)
		}
	}
	return nil
}

// explanation is what is printed.
type explanation struct{ api.Explained }

// explainAsked judges what is asked for by the policy in force, or by that of the files.
func explainAsked(cmd *cobra.Command, source *source, who *asker, where *circumstances, registry string, filesOnly bool, args []string) (*explanation, error) {
	said, err := who.read(cmd)
	if err != nil {
		return nil, err
	}
	r := &policy.Request{}
	if err := where.put(cmd, r); err != nil {
		return nil, err
	}
	e := &explanation{api.Explained{Request: r}}
	if r.Scopes, e.Ignored, err = readAsked(cmd, args); err != nil {
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
	p, err := inForce(cmd.Context(), cfg, filesOnly)
	if err != nil {
		return nil, err
	}
	x := p.Explain(r)
	e.Results, e.Near = x.Results, x.Near
	if life, ok := app.Foresee(cfg, p, r); ok {
		e.Life = &life
	}
	if barred != "" {
		e.Bar(barred)
	}
	return e, nil
}

// explainDecision finds a decision in the journal, and judges its request again: by the policy that made it, for what came near, and by
// the one of today.
func explainDecision(ctx context.Context, source *source, id journal.ID) (_ *explanation, err error) {
	cfg, err := source.load()
	if err != nil {
		return nil, err
	}
	_, j, closing, err := openJournal(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	entry, err := j.Find(ctx, id)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("the journal has no entry %s", id)
	}
	if err != nil {
		return nil, err
	}
	d := entry.Decision
	if d == nil {
		return nil, fmt.Errorf("the entry %s is no decision: %s", id, entry.Summary())
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
