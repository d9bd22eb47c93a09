package api

import (
	"context"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/catalog"
)

// The JSON forms of the catalog. Commands print them with --output json.

// repository is the JSON form of a catalog.Repository.
type repository struct {
	Registry  string        `json:"registry" doc:"The registry's service name" example:"registry.example.com"`
	Name      string        `json:"name" doc:"The name" example:"team/app"`
	Tags      int64         `json:"tags" doc:"The number of tags"`
	Manifests int64         `json:"manifests" doc:"The number of manifests"`
	Size      int64         `json:"size" doc:"The bytes of all manifests and of the blobs that they refer to, as far as the registry reported the blobs. A blob that several manifests share is counted once"`
	Pushed    *catalogEvent `json:"pushed,omitempty" doc:"The last push of a manifest; absent: none was reported"`
	Pulled    *catalogEvent `json:"pulled,omitempty" doc:"The last pull of a manifest; absent: none was reported"`
	Pulls     int64         `json:"pulls" doc:"How many pulls of manifests were reported"`
}

// catalogEvent is the JSON form of a catalog.Event.
type catalogEvent struct {
	Time time.Time `json:"time" doc:"When, by the clock of the registry"`
	By   *string   `json:"by,omitempty" doc:"The login; empty: an anonymous client; absent: unknown, or not shown to the caller" example:"robot+ci"`
}

// catalogManifest is the JSON form of a catalog.Manifest.
type catalogManifest struct {
	Digest    string        `json:"digest" doc:"The digest" example:"sha256:1b2c3d4e5f60718293a4b5c6d7e8f9010203040506070809a0b0c0d0e0f01122"`
	MediaType string        `json:"media_type,omitempty" doc:"The media type" example:"application/vnd.oci.image.manifest.v1+json"`
	Size      int64         `json:"size" doc:"The bytes of the manifest and of what it refers to, as far as the registry reported it"`
	Present   bool          `json:"present" doc:"Whether the registry has it"`
	Pushed    *catalogEvent `json:"pushed,omitempty" doc:"The last push; absent: none was reported"`
	Pulled    *catalogEvent `json:"pulled,omitempty" doc:"The last pull; absent: none was reported"`
	Deleted   *catalogEvent `json:"deleted,omitempty" doc:"The last delete; absent: none was reported"`
	Pulls     int64         `json:"pulls" doc:"How many pulls were reported"`
}

// manifestDetails is a manifest with its tags, its pulls and the objects that it refers to.
type manifestDetails struct {
	Registry   string          `json:"registry" doc:"The registry's service name" example:"registry.example.com"`
	Repository string          `json:"repository" doc:"The repository" example:"team/app"`
	Manifest   catalogManifest `json:"manifest" doc:"The manifest"`
	Tags       []string        `json:"tags" nullable:"false" doc:"Up to 100 tags that have the manifest" example:"[\"v1\"]"`
	Days       []dayOfPulls    `json:"pulls_by_day" nullable:"false" doc:"How often it was pulled on up to 90 days with a pull, the last day first"`
	References []blobReference `json:"references" nullable:"false" doc:"The objects that it refers to, except manifests. Empty if the registry does not report them: see includereferences"`
}

// dayOfPulls is the JSON form of a catalog.Pulls.
type dayOfPulls struct {
	Day   string `json:"day" format:"date" doc:"The day, in UTC" example:"2026-11-28"`
	Pulls int64  `json:"pulls" doc:"The number of pulls"`
}

// blobReference is the JSON form of a catalog.Reference.
type blobReference struct {
	Digest string `json:"digest" doc:"The digest"`
	Size   int64  `json:"size" doc:"The bytes"`
}

// catalogTag is the JSON form of a catalog.Tag.
type catalogTag struct {
	Name     string          `json:"name" doc:"The tag" example:"v1"`
	Set      *catalogEvent   `json:"set,omitempty" doc:"The push that set the tag; absent: no push was reported, but a pull of the tag returned the manifest"`
	Manifest catalogManifest `json:"manifest" doc:"The manifest that the tag has"`
}

// tagMove is the JSON form of a catalog.Move.
type tagMove struct {
	Time   time.Time `json:"time" doc:"When, by the clock of the registry"`
	By     *string   `json:"by,omitempty" doc:"The login; empty: an anonymous client; absent: unknown, or not shown to the caller" example:"robot+ci"`
	Digest string    `json:"digest,omitempty" doc:"The manifest that the tag had from then on; absent: the tag was deleted" example:"sha256:1b2c3d4e5f60718293a4b5c6d7e8f9010203040506070809a0b0c0d0e0f01122"`
	Seen   bool      `json:"seen,omitempty" doc:"Whether no push was reported, but a pull of the tag returned the manifest"`
}

// Shown reports whether a caller may see who did something at the given time.
type Shown func(at time.Time) bool

// Everybody is the Shown of callers who may see who did something at any time.
func Everybody(time.Time) bool { return true }

func (shown Shown) event(e catalog.Event) *catalogEvent {
	if e.Time.IsZero() {
		return nil
	}
	out := &catalogEvent{Time: e.Time}
	if shown(e.Time) {
		out.By = &e.By
	}
	return out
}

// NewRepository returns the JSON form of a repository.
func NewRepository(r *catalog.Repository, shown Shown) repository {
	return repository{
		Registry: r.Registry, Name: r.Name, Tags: r.Tags, Manifests: r.Manifests, Size: r.Size,
		Pushed: shown.event(r.Pushed), Pulled: shown.event(r.Pulled), Pulls: r.Pulls,
	}
}

func newManifest(m *catalog.Manifest, shown Shown) catalogManifest {
	return catalogManifest{
		Digest: m.Digest, MediaType: m.MediaType, Size: m.Size, Present: m.Present,
		Pushed: shown.event(m.Pushed), Pulled: shown.event(m.Pulled), Deleted: shown.event(m.Deleted), Pulls: m.Pulls,
	}
}

// NewCatalogTag returns the JSON form of a tag.
func NewCatalogTag(t *catalog.Tag, shown Shown) catalogTag {
	return catalogTag{Name: t.Name, Set: shown.event(t.Set), Manifest: newManifest(&t.Manifest, shown)}
}

// NewTagMove returns the JSON form of a move.
func NewTagMove(m *catalog.Move, shown Shown) tagMove {
	e := shown.event(m.Event)
	if m.Seen {
		e.By = nil
	}
	return tagMove{Time: e.Time, By: e.By, Digest: m.Digest, Seen: m.Seen}
}

// ReadManifest reads the manifest with a digest or tag.
func ReadManifest(ctx context.Context, r *catalog.Reader, of catalog.Repository, reference string, shown Shown) (d manifestDetails, err error) {
	var m catalog.Manifest
	if strings.Contains(reference, ":") { // no tag has a colon
		m, err = r.Manifest(ctx, of, reference)
	} else {
		var t catalog.Tag
		t, err = r.Tag(ctx, of, reference)
		m = t.Manifest
	}
	if err != nil {
		return d, err
	}
	d = manifestDetails{Registry: of.Registry, Repository: of.Name, Manifest: newManifest(&m, shown), Days: []dayOfPulls{}, References: []blobReference{}}
	tags, err := r.TagsOf(ctx, of, m, maxTagsOfManifest)
	if err != nil {
		return d, err
	}
	d.Tags = append([]string{}, tags...)
	days, err := r.PullsOf(ctx, of, m, maxDays)
	for _, day := range days {
		d.Days = append(d.Days, dayOfPulls{day.Day.Format(time.DateOnly), day.Pulls})
	}
	for _, reference := range m.Refers {
		d.References = append(d.References, blobReference(reference))
	}
	return d, err
}
