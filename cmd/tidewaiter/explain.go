package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain {--user NAME | --robot NAME | --workload NAME | --anonymous} SCOPE... | ID",
		Short: "Say what somebody may do, and which rule says so",
		Long: `Say what somebody may do, which rule says so, and which rules came near. A scope is what registries ask
for: repository:team/app:pull,push or registry:catalog:*. A user or a robot is looked up in the config's
sources, so that their groups are the real ones; --group adds others, and --claim claims. A workload is known by
its ID token alone: say what it has with --group and --claim.

With the id of a decision, from the log or the journal, say how that request was decided, and how it
would be now.`,
		Example: `  tidewaiter explain --user alice repository:public/app:push
  tidewaiter explain --anonymous repository:public/app:pull registry:catalog:*
  tidewaiter explain --user alice --group developers repository:team/app:pull --output json
  tidewaiter explain 019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b`,
		Args: cobra.ArbitraryArgs,
	}
	source := configFlags(cmd)
	var who asker
	cmd.Flags().StringVar(&who.user, "user", "", "a user's `name`")
	cmd.Flags().StringVar(&who.robot, "robot", "", "a robot's `name`")
	cmd.Flags().StringVar(&who.workload, "workload", "", "a workload's `name`: of a CI job, a pod")
	cmd.Flags().BoolVar(&who.anonymous, "anonymous", false, "somebody who shows nothing")
	cmd.Flags().StringArrayVar(&who.groups, "group", nil, "a `group` beside those that sources know (may be repeated)")
	cmd.Flags().StringArrayVar(&who.claims, "claim", nil, "a claim, as `NAME=VALUE`, for ${claims.NAME} (may be repeated)")
	registry := cmd.Flags().String("registry", "", "the registry's service `name` (default: the only one there is)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return misused(cmd, "a scope is wanted, as in repository:team/app:pull, or the id of a decision")
		}
		var e *explanation
		id, err := journal.ParseID(args[0])
		switch known := err == nil; {
		case known && (len(args) > 1 || who.given() || *registry != ""):
			return misused(cmd, "the id of a decision says all by itself: no other scopes and no flags of who asks go with it")
		case known:
			e, err = explainDecision(cmd.Context(), source, id)
		case who.several():
			return misused(cmd, "one asks at a time: --user, --robot, --workload or --anonymous")
		case !who.given():
			return misused(cmd, "who is asking? --user, --robot, --workload or --anonymous says it")
		case len(who.groups)+len(who.claims) > 0 && who.anonymous:
			return misused(cmd, "nobody has groups or claims without a name: --group and --claim go with --user, --robot or --workload")
		case !who.claimsAreClaims():
			return misused(cmd, "a claim is NAME=VALUE, as in --claim repository=acme/app")
		default:
			e, err = explainScopes(cmd, source, who, *registry, args)
		}
		if err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), e.forPrograms())
		}
		e.print(cmd.OutOrStdout())
		return nil
	}
	return cmd
}

// asker is who is said to ask.
type asker struct {
	user, robot, workload string
	anonymous             bool
	groups, claims        []string
}

func (a asker) given() bool { return a.count() > 0 }

func (a asker) several() bool { return a.count() > 1 }

func (a asker) count() (n int) {
	for _, given := range []bool{a.user != "", a.robot != "", a.workload != "", a.anonymous} {
		if given {
			n++
		}
	}
	return n
}

func (a asker) claimsAreClaims() bool {
	return !slices.ContainsFunc(a.claims, func(claim string) bool { return strings.IndexByte(claim, '=') < 1 })
}

// claimed returns known claims with those that were given in place of or beside them.
func (a asker) claimed(known map[string]any) map[string]any {
	if len(a.claims) == 0 {
		return known
	}
	all := maps.Clone(known)
	if all == nil {
		all = make(map[string]any)
	}
	for _, claim := range a.claims {
		name, v, _ := strings.Cut(claim, "=")
		all[name] = v
	}
	return all
}

// principal returns who would be judged. Somebody whom no source knows is judged by the name and the
// groups that were given, and known is false.
func (a asker) principal(ctx context.Context, cfg *config.Config) (who *policy.Principal, known bool, err error) {
	switch {
	case a.anonymous:
		return &policy.Principal{}, true, nil
	case a.workload != "":
		return &policy.Principal{Kind: policy.Workload, Name: a.workload, Groups: a.groups, Claims: a.claimed(nil)}, false, nil
	}
	asks := policy.Principal{Kind: policy.User, Name: a.user, Groups: a.groups, Claims: a.claimed(nil)}
	if a.robot != "" {
		asks.Kind, asks.Name = policy.Robot, strings.TrimPrefix(a.robot, identity.RobotPrefix)
	}
	who, err = app.Find(ctx, cfg, identity.Login(&asks))
	if errors.Is(err, identity.ErrUnknown) {
		return &asks, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	more := *who // a principal is shared, and never changed
	more.Claims = a.claimed(who.Claims)
	for _, g := range a.groups {
		if !slices.Contains(more.Groups, g) {
			more.Groups = append(more.Groups[:len(more.Groups):len(more.Groups)], g)
		}
	}
	return &more, true, nil
}

// explanation is what is printed.
type explanation struct {
	who      *policy.Principal
	known    bool   // to a source
	note     string // what else there is to say of who asks; "" if nothing
	registry string
	ignored  []scope.Ignored
	results  []policy.Result
	near     []policy.Nearby

	entry *journal.Entry      // of an id; nil for scopes
	today *policy.Explanation // what another policy than the entry's says now; nil if it is the same one
}

// explainScopes judges scopes by the config's policy.
func explainScopes(cmd *cobra.Command, source *source, who asker, registry string, args []string) (*explanation, error) {
	asked, ignored, err := scope.Parse(args)
	if err != nil {
		return nil, misused(cmd, "%v", err)
	}
	if len(asked) == 0 {
		return nil, misused(cmd, "%s is no scope: %s", ignored[0].Text, ignored[0].Reason)
	}
	cfg, err := source.load()
	if err != nil {
		return nil, err
	}
	if registry, err = chooseRegistry(cmd, cfg, registry); err != nil {
		return nil, err
	}
	e := &explanation{registry: registry, ignored: ignored}
	if e.who, e.known, err = who.principal(cmd.Context(), cfg); err != nil {
		return nil, err
	}
	switch {
	case !e.known && e.who.Kind != policy.Workload:
		e.note = "no source of the config knows this name: judged by it, and by the groups that were given"
	case who.anonymous && !cfg.Token.Anonymous:
		e.note = "whoever shows nothing gets no token, but is asked to sign in (token.anonymous is false)"
	}
	x := cfg.Policy.Explain(&policy.Request{Principal: e.who, Registry: registry, Scopes: asked, Now: time.Now()})
	e.results, e.near = x.Results, x.Near
	return e, nil
}

func chooseRegistry(cmd *cobra.Command, cfg *config.Config, named string) (string, error) {
	names := services(cfg)
	switch {
	case named == "" && len(names) == 1:
		return names[0], nil
	case named == "":
		return "", misused(cmd, "which registry? --registry says it: %s", strings.Join(names, ", "))
	case !slices.Contains(names, named):
		return "", fmt.Errorf("no registry in %s has the service %q; there is %s", cfg.File, named, strings.Join(names, ", "))
	}
	return named, nil
}

// explainDecision finds a decision in the journal, and judges its request again by the policy of today.
func explainDecision(ctx context.Context, source *source, id journal.ID) (_ *explanation, err error) {
	cfg, err := source.load()
	if err != nil {
		return nil, err
	}
	j, closing, err := openJournal(ctx, cfg)
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
	e := &explanation{
		entry: &entry, who: d.Principal, known: true, registry: entry.Registry,
		ignored: d.Ignored, results: d.Results,
	}
	if d.Refused != "" || d.Principal == nil {
		return e, nil
	}
	asked := make([]scope.Scope, len(d.Results))
	for i, r := range d.Results {
		asked[i] = r.Asked
	}
	x := cfg.Policy.Explain(&policy.Request{
		Principal: d.Principal, Registry: entry.Registry, Scopes: asked, IP: d.Remote, Client: d.Client, Now: entry.Time,
	})
	if d.Policy == cfg.Policy.ID() {
		e.near = x.Near
	} else {
		e.today = &x
	}
	return e, nil
}
