// Package manifests changes the content of a registry: it deletes the manifests that a rule
// selects, and sets a tag back to an earlier manifest.
//
// The catalog knows when manifests were pushed and pulled. But the registry is asked for the
// manifest that a tag has now, because a registry deletes a manifest together with all its tags. A
// manifest is never deleted if a manifest that stays needs it. It is also not deleted if the
// registry does not answer the requests that show which manifests are needed. These manifests
// stay:
//
//   - The manifests in an index stay with the index.
//   - A signature or another manifest with a subject stays with its subject. This includes
//     manifests with tags such as sha256-DIGEST.sig.
//   - A manifest that was pushed in the last hour stays, because clients push an index after its
//     manifests. A manifest whose push was not reported stays, because its age is unknown.
package manifests

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	godigest "github.com/opencontainers/go-digest"

	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// minAge is a time since the last push. A manifest that was pushed more recently is not deleted.
const minAge = time.Hour

// Rule selects manifests. A manifest must meet all conditions that are set. A rule without a
// condition selects nothing.
type Rule struct {
	OlderThan        time.Duration // since the last push; 0: any age
	NeverPulledSince time.Duration // neither pushed nor pulled within this time; 0: no condition
	Untagged         bool          // without a tag
	// Keep is the number of manifests with a tag that stay in each repository: those that were
	// pushed last. Manifests that only have tags such as sha256-DIGEST.sig are not counted, because
	// they stay with the manifests to which they refer. 0: no condition.
	Keep int
}

// Reader calls a registry to read. registryapi.Client implements it.
type Reader interface {
	Tags(ctx context.Context, repository string, found func(tags []string) error) error
	Head(ctx context.Context, repository, reference string) (registryapi.Manifest, error)
	Get(ctx context.Context, repository, reference string) (registryapi.Manifest, []byte, error)
}

// Writer calls a registry to change it. registryapi.Client implements it.
type Writer interface {
	Delete(ctx context.Context, repository string, m registryapi.Manifest) error
	Put(ctx context.Context, repository, tag string, m registryapi.Manifest, text []byte) error
}

// Options has the dependencies of Select, Delete and RollBack. Reads and writes use different
// clients. Reads use Tidewaiter's own login, whose reads are never counted as pulls. Writes use
// the login of the caller.
type Options struct {
	Service string // of the registry
	Reader  Reader
	Writer  Writer
	Catalog *catalog.Catalog
	Refresh func(context.Context) error                   // adds the latest events to Catalog
	Append  func(context.Context, ...journal.Entry) error // writes to the journal
	Actor   string                                        // for the journal
	Now     func() time.Time                              // a wall clock
}

// Selected is a manifest that a rule selects.
type Selected struct {
	Repository string
	Tags       []string
	catalog.Manifest
	lastPush catalog.Event // to the repository, when the selection began
}

// ErrPushed means that something was pushed to a repository after manifests were selected.
var ErrPushed = errors.New("something was pushed to it while manifests were selected and deleted; run the command again")

// Delete deletes a manifest and its tags, and records this in the journal. A manifest that the
// registry no longer has is no error. If something was pushed to the repository since the manifest
// was selected, Delete returns ErrPushed, because a new tag or index can need the manifest.
func Delete(ctx context.Context, o *Options, s *Selected) error {
	last, err := o.lastPush(ctx, s.Repository)
	if err == nil && last != s.lastPush {
		err = ErrPushed
	}
	if err != nil {
		return err
	}
	err = o.Writer.Delete(ctx, s.Repository, registryapi.Manifest{Digest: s.Digest})
	if err != nil && !errors.Is(err, registryapi.ErrNotFound) {
		return err
	}
	before := map[string]any{"size": s.Size}
	if len(s.Tags) > 0 {
		before["tags"] = s.Tags
	}
	for key, at := range map[string]time.Time{"pushed": s.Pushed.Time, "pulled": s.Pulled.Time} {
		if !at.IsZero() {
			before[key] = at.UTC().Format(time.RFC3339)
		}
	}
	return o.record(ctx, catalog.DeleteChange(s.Repository, s.Digest, before))
}

// lastPush returns the last push to a repository.
func (o *Options) lastPush(ctx context.Context, repository string) (catalog.Event, error) {
	if err := o.Refresh(ctx); err != nil {
		return catalog.Event{}, err
	}
	r, err := o.Catalog.Read(ctx)
	if err != nil {
		return catalog.Event{}, err
	}
	defer r.Close()
	of, err := r.Repository(ctx, nil, o.Service, repository)
	return of.Pushed, err
}

// RollBack sets a tag of a repository to a manifest that the registry has. It returns the digest of
// the manifest that the tag had before; "": none. If the tag has the manifest already, RollBack
// changes nothing. The digest must be in full: a registry would also accept the name of a tag in
// its place, and the journal would then have this name in place of the digest.
func RollBack(ctx context.Context, o *Options, repository, tag, digest string) (before string, err error) {
	if _, err := godigest.Parse(digest); err != nil {
		return "", fmt.Errorf("%s is not a digest, such as sha256: and 64 hexadecimal digits", text.QuoteShort(digest))
	}
	now, err := o.Reader.Head(ctx, repository, tag)
	if err != nil && !errors.Is(err, registryapi.ErrNotFound) {
		return "", err
	}
	if err == nil {
		before = now.Digest
	}
	if before == digest {
		return before, nil
	}
	m, text, err := o.Reader.Get(ctx, repository, digest)
	if errors.Is(err, registryapi.ErrNotFound) {
		return before, fmt.Errorf("%s does not have manifest %s any more, so no tag can be set to it: %w", o.Service, digest, err)
	}
	if err == nil {
		err = o.Writer.Put(ctx, repository, tag, m, text)
	}
	if err != nil {
		return before, err
	}
	change := journal.Change{Action: "catalog.rollback", Target: repository + ":" + tag, To: map[string]any{"digest": digest}}
	if before != "" {
		change.From = map[string]any{"digest": before}
	}
	return before, o.record(ctx, &change)
}

func (o *Options) record(ctx context.Context, change *journal.Change) error {
	change.Actor = o.Actor
	// The registry has changed, so an end of ctx must not prevent the entry.
	err := o.Append(context.WithoutCancel(ctx), journal.Entry{Time: clock.Wall(o.Now)(), Registry: o.Service, Change: change})
	if err != nil {
		return fmt.Errorf("recording the change of %s in the journal: %w", change.Target, err)
	}
	return nil
}

// meets reports whether a manifest meets the conditions of the rule, except Keep.
func (r *Rule) meets(m *catalog.Manifest, tagged bool, now time.Time) bool {
	pushed, used := m.Pushed.Time, m.Pushed.Time
	if m.Pulled.Time.After(used) {
		used = m.Pulled.Time
	}
	return !pushed.IsZero() && pushed.Before(now.Add(-minAge)) &&
		(r.OlderThan == 0 || pushed.Before(now.Add(-r.OlderThan))) &&
		(r.NeverPulledSince == 0 || used.Before(now.Add(-r.NeverPulledSince))) &&
		(!r.Untagged || !tagged) && *r != Rule{}
}

// kept returns the digests of the manifests with a tag that Keep protects.
func (r *Rule) kept(all []catalog.Manifest, tags map[string][]string) map[string]bool {
	kept := make(map[string]bool)
	if r.Keep == 0 {
		return kept
	}
	tagged := slices.DeleteFunc(slices.Clone(all), func(m catalog.Manifest) bool {
		return len(tags[m.Digest]) == len(subjects(tags[m.Digest])) // also if there is no tag
	})
	slices.SortStableFunc(tagged, func(a, b catalog.Manifest) int { return b.Pushed.Time.Compare(a.Pushed.Time) })
	for i := range tagged[:min(r.Keep, len(tagged))] {
		kept[tagged[i].Digest] = true
	}
	return kept
}
