package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
)

// If a push is younger than recent, the absence of its tag or manifest is not a finding. The
// catalog would ignore the finding, and the event of a later push or delete can still be on its
// way.
const recent = 5 * time.Minute

// compare compares a repository with the catalog.
func (r *run) compare(ctx context.Context, name string) error {
	began := r.Now()
	tags, err := r.tags(ctx, name)
	if err != nil {
		return r.fail(ctx, err)
	}
	confirmed := make(map[string]bool) // digests that the registry has
	known := catalogTags{run: r, repository: name}
	for _, tag := range tags {
		if err := r.missTags(ctx, &known, tag, began); err != nil {
			return err
		}
		if err := r.compareTag(ctx, name, tag, &known, confirmed, began); err != nil {
			return err
		}
	}
	if err := r.missTags(ctx, &known, "", began); err != nil {
		return err
	}
	return r.compareManifests(ctx, name, confirmed, began)
}

// tags returns the sorted tags of a repository. A repository without manifests has no tags.
func (r *run) tags(ctx context.Context, name string) (tags []string, err error) {
	err = r.Registry.Tags(ctx, name, func(found []string) error {
		tags = append(tags, found...)
		if len(tags) > maxNames {
			return fmt.Errorf("the repository has more than %d tags", maxNames)
		}
		return nil
	})
	if errors.Is(err, registryapi.ErrNotFound) {
		return nil, nil
	}
	slices.Sort(tags)
	return slices.Compact(tags), err
}

// compareTag compares a tag that the registry lists with the catalog.
func (r *run) compareTag(ctx context.Context, name, tag string, known *catalogTags, confirmed map[string]bool, began time.Time) error {
	had, err := known.take(ctx, tag)
	if err != nil {
		return err
	}
	r.part.Tags++
	m, exists, err := r.head(ctx, name, tag)
	switch {
	case err != nil || !exists && had == nil:
		return err
	case !exists:
		return r.missTag(ctx, name, had, began)
	}
	if m.Digest == "" {
		return nil // the request failed
	}
	confirmed[m.Digest] = true
	if had != nil && (had.Manifest.Digest == m.Digest || isRecent(had.Set, began)) {
		return nil
	}
	const maxMediaType = 256 // bytes
	if len(m.MediaType) > maxMediaType {
		m.MediaType = ""
	}
	return r.add(ctx, catalog.Finding{Repository: name, Time: began, Tag: tag, Digest: m.Digest, MediaType: m.MediaType, Size: m.Size})
}

// missTags adds findings about the tags of the catalog that the registry does not list. It stops
// before the given tag. If the given tag is "", it continues to the last tag.
func (r *run) missTags(ctx context.Context, known *catalogTags, before string, began time.Time) error {
	for {
		had, err := known.peek(ctx)
		if err != nil || had == nil || before != "" && had.Name >= before {
			return err
		}
		known.skip()
		if err := r.missTag(ctx, known.repository, had, began); err != nil {
			return err
		}
	}
}

func (r *run) missTag(ctx context.Context, name string, had *catalog.Tag, began time.Time) error {
	if isRecent(had.Set, began) {
		return nil
	}
	return r.add(ctx, catalog.Finding{Repository: name, Time: began, Tag: had.Name})
}

func isRecent(push catalog.Event, began time.Time) bool { return push.Time.After(began.Add(-recent)) }

// compareManifests requests the manifests that the catalog has and that no tag has confirmed.
func (r *run) compareManifests(ctx context.Context, name string, confirmed map[string]bool, began time.Time) error {
	for page := (admin.Page{Limit: atOnce}); ; {
		var known []catalog.Manifest
		err := r.inRepository(ctx, name, func(reader *catalog.Reader, of catalog.Repository) (err error) {
			known, page.After, err = reader.Manifests(ctx, of, page)
			return err
		})
		if err != nil {
			return err
		}
		for i := range known {
			m := &known[i]
			if confirmed[m.Digest] {
				continue
			}
			r.part.Manifests++
			_, exists, err := r.head(ctx, name, m.Digest)
			if err != nil {
				return err
			}
			if exists || isRecent(m.Pushed, began) {
				continue
			}
			if err := r.add(ctx, catalog.Finding{Repository: name, Time: began, Digest: m.Digest}); err != nil {
				return err
			}
		}
		if page.After == "" {
			return nil
		}
	}
}

// head requests a manifest. If the request fails, head reports that the manifest exists, without a
// digest, because an error is no proof that the manifest is missing.
func (r *run) head(ctx context.Context, name, reference string) (m registryapi.Manifest, exists bool, err error) {
	m, err = r.Registry.Head(ctx, name, reference)
	switch {
	case err == nil:
		r.failures = 0
		return m, true, nil
	case errors.Is(err, registryapi.ErrNotFound):
		r.failures = 0
		return m, false, nil
	}
	return registryapi.Manifest{}, true, r.fail(ctx, err)
}

// fail counts a failed request. It returns the error if the run must stop.
func (r *run) fail(ctx context.Context, err error) error {
	r.part.Failed++
	if errors.Is(err, registryapi.ErrInvalidName) {
		return nil // otherwise anyone who may push could stop the run
	}
	if r.failures++; r.failures >= maxFailures || ctx.Err() != nil {
		return err
	}
	return nil
}

// inRepository calls the function f with the current catalog and a repository. If the catalog does
// not have the repository, it does nothing.
func (r *run) inRepository(ctx context.Context, name string, f func(*catalog.Reader, catalog.Repository) error) error {
	return r.read(ctx, func(reader *catalog.Reader) error {
		of, err := reader.Repository(ctx, nil, r.Service, name)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(reader, of)
	})
}

// catalogTags reads the tags that the catalog has in a repository, in the order of their names.
type catalogTags struct {
	*run
	repository string
	page       []catalog.Tag
	after      string
	isLast     bool // there are no further pages
}

// peek returns the next tag, or nil.
func (c *catalogTags) peek(ctx context.Context) (*catalog.Tag, error) {
	for len(c.page) == 0 && !c.isLast {
		c.isLast = true
		err := c.inRepository(ctx, c.repository, func(reader *catalog.Reader, of catalog.Repository) (err error) {
			c.page, c.after, err = reader.Tags(ctx, of, admin.Page{After: c.after, Limit: atOnce})
			c.isLast = c.after == ""
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(c.page) == 0 {
		return nil, nil
	}
	return &c.page[0], nil
}

func (c *catalogTags) skip() { c.page = c.page[1:] }

// If the next tag has the given name, take returns this tag and skips it. Otherwise take returns
// nil.
func (c *catalogTags) take(ctx context.Context, name string) (*catalog.Tag, error) {
	next, err := c.peek(ctx)
	if err != nil || next == nil || next.Name != name {
		return nil, err
	}
	c.skip()
	return next, nil
}
