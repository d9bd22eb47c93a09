package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/manifests"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func deleteCommand() command {
	return command{
		use:   "delete REPOSITORY",
		short: "Delete old or unused manifests of a repository",
		long: `Delete the manifests of a repository that meet all of the given conditions, with their
tags. If REPOSITORY ends with /**, the command deletes manifests of all repositories below it.
Give --dry-run first: it prints what the command would delete.

The command never deletes a manifest that was pushed in the last hour or whose push was not
reported. It also keeps the manifests of an index that stays, and the signatures and other
referrers of a manifest that stays.

The command connects to the registry's url in the config, with tokens that it signs itself. The
registry must permit deletes. A registry frees the space only when its garbage collection runs.`,
		example: `  tidewaiter catalog delete team/app --older-than 90d --never-pulled-since 30d --dry-run
  tidewaiter catalog delete team/app --keep 10
  tidewaiter catalog delete 'team/**' --untagged --older-than 7d`,
		opens:  changeCatalog,
		before: func(s *session) error { return s.checkWithoutRegistry(s.args[0]) },
		flags:  catalogDelete,
	}
}

// deletedManifest is the JSON form of a manifest that the command selects.
type deletedManifest struct {
	Repository string     `json:"repository"`
	Digest     string     `json:"digest"`
	Tags       []string   `json:"tags"`
	Size       int64      `json:"size"`
	Pushed     time.Time  `json:"pushed"`
	Pulled     *time.Time `json:"pulled,omitempty"`
	Deleted    bool       `json:"deleted"`
}

func catalogDelete(f *flags) action {
	var older, unused span
	var rule manifests.Rule
	registry := registryFlag(f, whichRegistry)
	f.Var(&older, "older-than", "only manifests that were last pushed more than this time ago, as 90d")
	f.Var(&unused, "never-pulled-since", "only manifests that were neither pushed nor pulled within this time, as 30d")
	f.BoolVar(&rule.Untagged, "untagged", false, "only manifests without a tag")
	f.IntVar(&rule.Keep, "keep", 0, "keep this `number` of tagged manifests in each repository: those that were pushed last")
	dryRun := f.Bool("dry-run", false, "only print what would be deleted")
	rate := rateFlag(f)
	f.addCheck(func(s *session) error {
		rule.OlderThan, rule.NeverPulledSince = time.Duration(older), time.Duration(unused)
		switch {
		case rule.Keep < 0:
			return s.usageErrorf("--keep must not be negative")
		case rule == manifests.Rule{}:
			return s.usageErrorf("give --older-than, --never-pulled-since, --untagged or --keep")
		}
		return nil
	})
	return func(s *session) error {
		service, repositories, err := s.repositoriesOf(*registry, s.args[0])
		if err != nil {
			return err
		}
		o, err := s.manifestOptions(service, *rate)
		if err != nil {
			return err
		}
		all, failed := []deletedManifest{}, 0
		for _, name := range repositories {
			deleted, err := s.deleteFrom(o, name, rule, *dryRun)
			all = append(all, deleted...)
			if err != nil && s.ctx.Err() == nil {
				failed++
				s.warn("%s: %v", text.Escape(name), err)
			}
		}
		if err := errors.Join(s.ctx.Err(), s.derived.CatchUp(s.ctx, s.journal, nil), s.printSelected(all, *dryRun)); err != nil {
			return err
		}
		if failed > 0 {
			return fmt.Errorf("%s failed", count(failed, "repository", "repositories"))
		}
		return nil
	}
}

// repositoriesOf returns the registry and the names of the repositories that an argument names.
func (s *session) repositoriesOf(registry, argument string) (service string, names []string, err error) {
	err = s.readCatalog(func(r *catalog.Reader) error {
		below, all := strings.CutSuffix(argument, "/**")
		if !all {
			of, err := s.catalogRepository(r, registry, argument)
			service, names = of.Registry, []string{of.Name}
			return err
		}
		q := catalog.Query{Registry: registry, Prefix: below + "/"}
		const most = 1_000_000
		found, _, err := readPages(most, func(page admin.Page) ([]catalog.Repository, string, error) {
			q.Page = page
			return r.Repositories(s.ctx, q)
		})
		for _, of := range found {
			if service != "" && of.Registry != service {
				return fmt.Errorf("several registries have repositories below %s: give --registry", text.Escape(below))
			}
			service, names = of.Registry, append(names, of.Name)
		}
		if err == nil && len(names) == 0 {
			err = fmt.Errorf("the catalog has no repositories below %s", text.Escape(below))
		}
		return err
	})
	return service, names, err
}

// manifestOptions returns the options for changes of a registry.
func (s *session) manifestOptions(service string, rate float64) (*manifests.Options, error) {
	reader, err := s.registryClient(service, catalog.Login(s.db.ID()), rate)
	if err != nil {
		return nil, err
	}
	writer, err := s.registryClient(service, s.by.String(), rate)
	return &manifests.Options{
		Service: service, Reader: reader, Writer: writer, Catalog: s.catalog, Append: s.journal.Append, Actor: s.by.String(), Now: clock.Now,
		Refresh: func(ctx context.Context) error { return s.derived.CatchUp(ctx, s.journal, nil) },
	}, err
}

// deleteFrom deletes the manifests of a repository that a rule selects. It returns the deleted
// manifests, also after an error. With dryRun, it deletes nothing and returns the selected
// manifests.
func (s *session) deleteFrom(o *manifests.Options, name string, rule manifests.Rule, dryRun bool) (all []deletedManifest, err error) {
	selected, err := manifests.Select(s.ctx, o, name, rule)
	report := progress(s.errs, clock.Now)
	for i := range selected {
		m := &selected[i]
		if !dryRun {
			if err := manifests.Delete(s.ctx, o, m); err != nil {
				return all, err
			}
			report("manifests of "+text.Escape(name), int64(i+1), int64(len(selected)))
		}
		row := deletedManifest{m.Repository, m.Digest, append([]string{}, m.Tags...), m.Size, m.Pushed.Time, nil, !dryRun}
		if !m.Pulled.Time.IsZero() {
			row.Pulled = &m.Pulled.Time
		}
		all = append(all, row)
	}
	return all, err
}

func (s *session) printSelected(all []deletedManifest, dryRun bool) error {
	if s.printsJSON() {
		return s.writeJSON(all)
	}
	rows := [][]string{{"REPOSITORY", "DIGEST", "TAGS", "SIZE", "LAST PUSH", "LAST PULL"}}
	for _, m := range all {
		pulled := ""
		if m.Pulled != nil {
			pulled = formatMinute(*m.Pulled)
		}
		rows = append(rows, []string{
			text.Escape(m.Repository), text.Escape(m.Digest), text.Escape(strings.Join(m.Tags, " ")), formatSize(m.Size), formatMinute(m.Pushed), pulled,
		})
	}
	if err := writeTable(s.out, rows); err != nil {
		return err
	}
	if dryRun || len(all) == 0 {
		s.printNote("%s would be deleted", count(len(all), "manifest", "manifests"))
		return nil
	}
	s.printNote("%s deleted. To free the space, stop the registry or make it read-only, and run:\n  registry garbage-collect /etc/docker/registry/config.yml",
		count(len(all), "manifest", "manifests"))
	return nil
}
