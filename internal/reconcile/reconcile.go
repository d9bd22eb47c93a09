// Package reconcile compares a registry with the catalog. It finds tags that the journal has never
// seen, because they were pushed before the registry sent events, or because their events were
// lost. It also finds tags and manifests that the registry no longer has although no delete was
// reported, for example because of garbage collection.
//
// A run lists the repositories and tags of the registry. It sends a HEAD request for each tag, and
// for each manifest that the catalog has without a tag. The differences are written to the journal
// as a catalog.Run, and the catalog applies them like events. So a catalog that is rebuilt also
// has the differences. A run needs memory for the names of the repositories and for the tags of
// one repository.
//
// A run that stops early has written the differences that it found. The next run can begin after
// the last repository that was compared completely.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
)

const (
	// maxPart is the maximum size in bytes of the findings in one entry. One entry is enough for
	// the first run on a registry with 10,000 tags.
	maxPart = 1 << 20
	// maxNames is the maximum number of repositories of a registry, and of tags of a repository.
	maxNames = 2_000_000
	// maxFailures is the number of consecutive errors of the registry after which a run stops. A
	// few errors can come from single damaged manifests.
	maxFailures = 10
	atOnce      = 1000 // rows that are read from the catalog
)

// Registry is the registry's API. registryapi.Client implements it.
type Registry interface {
	Repositories(ctx context.Context, found func(names []string) error) error
	Tags(ctx context.Context, repository string, found func(tags []string) error) error
	Head(ctx context.Context, repository, reference string) (registryapi.Manifest, error)
}

// Options describes a run. Progress is optional.
type Options struct {
	Service  string // of the registry
	Registry Registry
	Catalog  *catalog.Catalog
	Append   func(context.Context, ...journal.Entry) error // writes to the journal
	Actor    string                                        // who started the run, for the journal
	After    string                                        // as in catalog.Run
	Now      func() time.Time                              // a wall clock
	// Progress is called after each repository, with the number of compared repositories and the
	// number of all repositories.
	Progress func(done, all int)
}

// Total is the sum of the parts of a run.
type Total struct {
	Repositories int64  `json:"repositories"`
	Tags         int64  `json:"tags"`
	Manifests    int64  `json:"manifests"`
	Failed       int64  `json:"failed"`
	Found        int64  `json:"found"`    // tags that were new or had another manifest
	Missing      int64  `json:"missing"`  // tags and manifests that the registry does not have
	Entries      int64  `json:"entries"`  // of the journal
	Through      string `json:"through"`  // as in catalog.Run
	Complete     bool   `json:"complete"` // as in catalog.Run
}

// run is the state of a run.
type run struct {
	Options
	part     catalog.Run
	size     int // of the findings of the part, in bytes
	total    Total
	failures int // consecutive errors of the registry
}

// Run compares the registry with the catalog. If it returns an error, the earlier findings are in
// the journal, and the next run can begin after Total.Through.
func Run(ctx context.Context, o Options) (Total, error) {
	o.Now = clock.Wall(o.Now)
	r := &run{Options: o, part: catalog.Run{Registry: o.Service, After: o.After, Through: o.After}}
	err := r.compareAll(ctx)
	r.part.Complete = err == nil
	if err == nil || len(r.part.Findings) > 0 || r.part.Through != r.part.After {
		err = errors.Join(err, r.write(context.WithoutCancel(ctx)))
	}
	return r.total, err
}

func (r *run) compareAll(ctx context.Context) error {
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := r.compare(ctx, name); err != nil {
			return fmt.Errorf("comparing %s with the catalog: %w", name, err)
		}
		r.part.Repositories++
		r.part.Through = name
		if r.Progress != nil {
			r.Progress(i+1, len(names))
		}
	}
	return nil
}

// names returns the names of all repositories of the registry and of the catalog, sorted.
func (r *run) names(ctx context.Context) (names []string, err error) {
	add := func(found ...string) error {
		for _, name := range found {
			if name > r.After {
				names = append(names, name)
			}
		}
		if len(names) > maxNames {
			return fmt.Errorf("the registry has more than %d repositories", maxNames)
		}
		return nil
	}
	if err := r.Registry.Repositories(ctx, func(found []string) error { return add(found...) }); err != nil {
		return nil, err
	}
	for page := (admin.Page{Limit: atOnce}); ; {
		var known []catalog.Repository
		err := r.read(ctx, func(reader *catalog.Reader) (err error) {
			known, page.After, err = reader.Repositories(ctx, catalog.Query{Registry: r.Service, Page: page})
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range known {
			if err := add(known[i].Name); err != nil {
				return nil, err
			}
		}
		if page.After == "" {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
	}
}

// read calls the function f with the current catalog. Readers are short, because SQLite cannot
// shorten its log while a reader is open.
func (r *run) read(ctx context.Context, f func(*catalog.Reader) error) error {
	reader, err := r.Catalog.Read(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	return f(reader)
}

// add adds a finding to the part, and writes the part if it is large.
func (r *run) add(ctx context.Context, f catalog.Finding) error {
	const overhead = 8 // quotes, commas, spaces
	r.part.Findings = append(r.part.Findings, f)
	r.size += len(f.Tag) + len(f.Digest) + overhead
	if f.Digest == "" || f.Tag == "" {
		r.total.Missing++
	} else {
		r.total.Found++
	}
	if r.size < maxPart {
		return nil
	}
	return r.write(ctx)
}

// write writes the part to the journal, and begins the next part.
func (r *run) write(ctx context.Context) error {
	entry, err := r.part.Entry(r.Actor)
	if err != nil {
		return fmt.Errorf("encoding the findings: %w", err)
	}
	entry.Time = r.Now()
	if err := r.Append(ctx, entry); err != nil {
		return fmt.Errorf("writing the findings to the journal: %w", err)
	}
	r.total.Repositories += r.part.Repositories
	r.total.Tags += r.part.Tags
	r.total.Manifests += r.part.Manifests
	r.total.Failed += r.part.Failed
	r.total.Entries++
	r.total.Through, r.total.Complete = r.part.Through, r.part.Complete
	r.part = catalog.Run{Registry: r.Service, After: r.part.Through, Through: r.part.Through}
	r.size = 0
	return nil
}
