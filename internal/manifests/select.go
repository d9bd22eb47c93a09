package manifests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
)

// maxManifests is the maximum number of manifests and tags of a repository from which manifests are
// selected.
const maxManifests = 500_000

// maxNamed is the maximum number of manifests in all indexes of a repository.
const maxNamed = 2_000_000

// Select returns the manifests of a repository that a rule selects, in the order in which they must
// be deleted: an index comes before its manifests. So a deletion that stops early leaves no index
// without its manifests.
func Select(ctx context.Context, o *Options, repository string, rule Rule) ([]Selected, error) {
	s := selection{Options: o, repository: repository, tags: make(map[string][]string), needs: make(map[string]references)}
	lastPush, err := o.lastPush(ctx, repository)
	if err != nil {
		return nil, err
	}
	if err := s.readTags(ctx); err != nil {
		return nil, err
	}
	all, err := s.readCatalog(ctx)
	if err != nil {
		return nil, err
	}
	candidates, kept := make(map[string]bool), rule.kept(all, s.tags)
	now := clock.Wall(o.Now)()
	for i := range all {
		m := &all[i]
		candidates[m.Digest] = !kept[m.Digest] && rule.meets(m, len(s.tags[m.Digest]) > 0, now)
	}
	for digest := range s.tags {
		// adds manifests that have a tag but are not in the catalog
		candidates[digest] = candidates[digest]
	}
	if !slices.Contains(slices.Collect(maps.Values(candidates)), true) {
		return nil, nil
	}
	if err := s.protect(ctx, candidates); err != nil {
		return nil, err
	}
	var selected []Selected
	for _, m := range all {
		if candidates[m.Digest] {
			slices.Sort(s.tags[m.Digest])
			selected = append(selected, Selected{repository, s.tags[m.Digest], m, lastPush})
		}
	}
	return s.parentsFirst(selected), nil
}

// selection is the state of Select.
type selection struct {
	*Options
	repository string
	tags       map[string][]string // by digest, as the registry has them now
	needs      map[string]references
	named      int // manifests in all indexes
}

// references are the manifests that a manifest names.
type references struct {
	manifests []string // of an index
	subject   string   // "": none
}

// readTags requests from the registry which manifest each tag has.
func (s *selection) readTags(ctx context.Context) error {
	var names []string
	err := s.Reader.Tags(ctx, s.repository, func(tags []string) error {
		if names = append(names, tags...); len(names) > maxManifests {
			return fmt.Errorf("%s has more than %d tags", s.repository, maxManifests)
		}
		return nil
	})
	if err != nil && !errors.Is(err, registryapi.ErrNotFound) {
		return err
	}
	for _, tag := range names {
		m, err := s.Reader.Head(ctx, s.repository, tag)
		switch {
		case errors.Is(err, registryapi.ErrNotFound):
		case err != nil:
			return err
		default:
			s.tags[m.Digest] = append(s.tags[m.Digest], tag)
		}
	}
	return nil
}

func (s *selection) readCatalog(ctx context.Context) (all []catalog.Manifest, err error) {
	r, err := s.Catalog.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	of, err := r.Repository(ctx, nil, s.Service, s.repository)
	if err != nil {
		return nil, err
	}
	for page := (admin.Page{Limit: 1000}); ; {
		var found []catalog.Manifest
		if found, page.After, err = r.Manifests(ctx, of, page); err != nil {
			return nil, err
		}
		if all = append(all, found...); len(all) > maxManifests {
			return nil, fmt.Errorf("%s has more than %d manifests", s.repository, maxManifests)
		}
		if page.After == "" {
			return all, nil
		}
	}
}

// protect sets a candidate to false if a manifest that stays needs the candidate. The map has all
// manifests of the repository. A manifest whose value is false stays.
func (s *selection) protect(ctx context.Context, candidates map[string]bool) error {
	var stay []string
	for digest, selected := range candidates {
		if err := s.read(ctx, digest); err != nil {
			return err
		}
		if !selected {
			stay = append(stay, digest)
		}
	}
	referrers := make(map[string][]string) // by subject
	for digest := range candidates {
		for _, subject := range append(subjects(s.tags[digest]), s.needs[digest].subject) {
			referrers[subject] = append(referrers[subject], digest)
		}
	}
	for len(stay) > 0 {
		digest := stay[len(stay)-1]
		stay = stay[:len(stay)-1]
		for _, needed := range slices.Concat(s.needs[digest].manifests, referrers[digest]) {
			if candidates[needed] {
				candidates[needed] = false
				stay = append(stay, needed)
			}
		}
	}
	return nil
}

// read reads which manifests a manifest names. A manifest that the registry does not have names no
// manifests.
func (s *selection) read(ctx context.Context, digest string) error {
	_, text, err := s.Reader.Get(ctx, s.repository, digest)
	if errors.Is(err, registryapi.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var content struct {
		Manifests []struct{ Digest string }
		Subject   struct{ Digest string }
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return fmt.Errorf("manifest %s of %s is not JSON: %w", digest, s.repository, err)
	}
	named := references{subject: content.Subject.Digest}
	for _, m := range content.Manifests {
		named.manifests = append(named.manifests, m.Digest)
	}
	s.needs[digest] = named
	if s.named += len(named.manifests); s.named > maxNamed {
		return fmt.Errorf("the indexes of %s have more than %d manifests", s.repository, maxNamed)
	}
	return nil
}

// subjects returns the digests to which tags such as sha256-DIGEST or sha256-DIGEST.sig refer.
// Clients use such tags if the registry has no API for referrers.
func subjects(tags []string) (digests []string) {
	const length = len("sha256-") + 64
	for _, tag := range tags {
		if strings.HasPrefix(tag, "sha256-") && len(tag) >= length {
			digests = append(digests, "sha256:"+tag[len("sha256-"):length])
		}
	}
	return digests
}

// parentsFirst sorts manifests so that each index comes before the manifests in it.
func (s *selection) parentsFirst(selected []Selected) []Selected {
	depth := make(map[string]int)
	var visit func(digest string, level int)
	visit = func(digest string, level int) {
		// Each manifest is visited at most maxDepth times, whatever the indexes contain.
		const maxDepth = 16
		if before, visited := depth[digest]; level > maxDepth || visited && before >= level {
			return
		}
		depth[digest] = level
		for _, child := range s.needs[digest].manifests {
			visit(child, level+1)
		}
	}
	for i := range selected {
		visit(selected[i].Digest, 0)
	}
	slices.SortStableFunc(selected, func(a, b Selected) int { return depth[a.Digest] - depth[b.Digest] })
	return selected
}
