// Package catalog lists the content of the registries: repositories, tags and manifests, who
// pushed and pulled them, and which manifests a tag had. It is a projection of the journal.
//
// The content comes from the events of registries. Only events of manifests change the catalog,
// not events of blobs. Events can arrive late and in any order. So each fact is stored with the
// time of its event, and the latest fact counts:
//
//   - A push of a manifest proves that the registry has it, and sets the tag of the push.
//   - A delete removes the manifest and all tags that had it, or only a tag.
//   - A pull proves that the registry had the manifest, and that the tag of the pull had it. So
//     the catalog also has objects whose push was not reported. But a pull can begin before a push
//     or a delete, and end after it. So a pull contradicts an earlier push or delete only if the
//     pull is more than grace later.
//
// The time of an event comes from the registry. If this time is missing, later than the journal's
// entry, or more than lateness before the entry, the registry's clock was wrong. In this case, the
// time of the entry is used instead.
//
// A GET of a manifest is counted as a pull, but a HEAD is not. If a registry repeats an event,
// the journal has the event only once, so it is counted once. Tidewaiter itself uses the
// principal Login. Pulls by this principal are not counted and never appear as the last pull.
//
// A Run compares a registry with the catalog. The journal has an entry with its findings. The
// catalog treats a manifest that was found like a HEAD, and a missing manifest like a delete.
//
// The size of a repository is the size of its manifests and of all objects to which they refer. An
// object that several manifests of the repository share is counted once. Registries report the
// references of a manifest only with the setting includereferences.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
)

// ErrNotFound means that the catalog does not have the repository, the tag or the manifest, or that
// the reader may not see the repository.
var ErrNotFound = errors.New("the catalog does not have it")

// ErrNotBuilt means that there is no catalog yet.
var ErrNotBuilt = projection.ErrNotBuilt

const (
	// grace is a period after a push or a delete. A pull in this period does not contradict the
	// push or the delete. A later pull does.
	grace = 5 * time.Minute
	// lateness is how late an event can arrive. A registry sends an event again until the event is
	// accepted or the registry restarts.
	lateness = 30 * 24 * time.Hour
)

// Login returns the name that Tidewaiter itself has in the events of registries. The instance is
// the id of the database. No other client has this login by chance.
func Login(instance string) string { return "tidewaiter:" + instance }

// Repository is a repository of a registry.
type Repository struct {
	Registry, Name  string
	Tags, Manifests int64 // how many tags and manifests the registry has
	Size            int64 // bytes
	Pushed          Event // the last push of a manifest
	Pulled          Event // the last pull of a manifest
	Pulls           int64 // of manifests

	id int64
}

// Event is a push, a pull or a delete. The zero value means that there was no such event.
type Event struct {
	Time time.Time
	By   string // login; "": anonymous
}

// Manifest is a manifest of a repository.
type Manifest struct {
	Digest    string
	MediaType string // "": unknown
	Size      int64  // bytes, of the manifest and of the objects to which it refers
	Present   bool   // whether the registry has the manifest
	Pushed    Event  // the last push
	Pulled    Event  // the last pull
	Deleted   Event  // the last delete
	Pulls     int64
	Refers    []Reference // the reported objects to which the manifest refers
}

// Reference is an object that a manifest refers to.
type Reference struct {
	Digest string
	Size   int64 // bytes
}

// Tag is a tag of a repository.
type Tag struct {
	Name     string
	Set      Event // the push that set the tag; zero: no push was reported
	Manifest Manifest
}

// Move is a change of a tag.
type Move struct {
	Event
	Digest string // "": the tag was deleted
	// Seen means that no push or delete reported the change. Instead, a pull of the tag returned
	// the manifest at this time, a Run found the manifest, or a Run did not find the tag.
	Seen bool
}

// Pulls is the number of pulls of a manifest on one day.
type Pulls struct {
	Day   time.Time // midnight UTC
	Pulls int64
}

// Catalog is the projection. Its methods may be called from any goroutine.
type Catalog struct {
	set        *projection.Set
	definition *projection.Definition
}

// New returns the catalog of a projection that Projection defined.
func New(set *projection.Set, definition *projection.Definition) *Catalog {
	return &Catalog{set, definition}
}

// Read returns a Reader of the current catalog. The caller must close the Reader. The error is
// ErrNotBuilt if there is no catalog yet.
func (c *Catalog) Read(ctx context.Context) (*Reader, error) {
	view, err := c.set.View(ctx, c.definition)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	return &Reader{view}, nil
}

// Reader reads a snapshot of the catalog. Only one goroutine may use it.
type Reader struct{ view *projection.View }

// Position returns the position up to which the journal was read.
func (r *Reader) Position() journal.Position { return r.view.Position }

// Close ends the reading.
func (r *Reader) Close() { r.view.Close() }
