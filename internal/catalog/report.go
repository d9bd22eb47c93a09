package catalog

import (
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
)

const (
	dayLength = 24 * 60 * 60 * 1_000_000 // microseconds
	// maxSize is the largest size that is believed, in bytes. Clients choose the sizes in a
	// manifest, and registries do not check them. The largest objects of common stores have 5 TiB.
	maxSize = 8 << 40
)

// report is an event about a manifest or a tag.
type report struct {
	*notification.Event
	registry string
	position journal.Position
	at       int64 // microseconds since 1970
}

// reportOf returns the report of an entry that has an event. If the catalog does not need the
// event, it returns false. A name with NUL is no name of a repository or tag, and PostgreSQL cannot
// store it.
func reportOf(e *journal.Entry) (r *report, ok bool) {
	if e.Event == nil || !aboutManifest(e.Event) || strings.Contains(e.Event.Repository+e.Event.Tag, nul) {
		return nil, false
	}
	return newReport(e, *e.Event), true
}

// newReport returns the report of an event of an entry.
func newReport(e *journal.Entry, event notification.Event) *report {
	event.Size = believedSize(event.Size)
	event.Actor, event.MediaType = withoutNUL(event.Actor), withoutNUL(event.MediaType)
	return &report{&event, e.Registry, e.Position, eventTime(e.Time, event.Time).UnixMicro()}
}

const nul = "\x00"

func withoutNUL(text string) string { return strings.ReplaceAll(text, nul, "\ufffd") }

// believedSize returns the size, or 0 (unknown) if the size cannot be true.
func believedSize(reported int64) int64 {
	if reported < 0 || reported > maxSize {
		return 0
	}
	return reported
}

// eventTime returns the time of an event. The parameters are the time of its entry, and the time
// that the registry reported.
func eventTime(recorded, reported time.Time) time.Time {
	if reported.After(recorded) || reported.Before(recorded.Add(-lateness)) {
		return recorded
	}
	return reported
}

// aboutManifest reports whether an event is about a manifest or a tag. Events of blobs have no
// tag, and their URL shows that they are about a blob. Registries that send no URL send a media
// type. The events of a deleted blob and of a deleted manifest have neither a URL nor a media
// type. For these events, the result is true.
func aboutManifest(e *notification.Event) bool {
	switch e.Action {
	case notification.Delete:
		return true
	case notification.Push, notification.Pull:
		return e.Digest != "" && (e.Tag != "" || strings.HasSuffix(e.URL, "/manifests/"+e.Digest) || isManifest(e.MediaType))
	}
	return false
}

// isManifest reports whether a media type is for manifests or for indexes of manifests.
func isManifest(mediaType string) bool {
	switch mediaType {
	case "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.oci.artifact.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws":
		return true
	}
	return false
}

// isCounted reports whether a pull is counted. A GET is counted unless Tidewaiter itself sent it.
// If the registry does not report the method, the event is treated as a GET.
func (r *report) isCounted(own string) bool {
	return r.Action == notification.Pull && r.Request.Method != "HEAD" && r.Actor != own
}

// references returns the objects to which the manifest of a push or pull refers. It omits the
// manifests that an index lists, because the repository has each of them as a separate manifest.
func (r *report) references() references {
	var b references
	for _, d := range r.References {
		if d.Digest != "" && !isManifest(d.MediaType) {
			b = b.add(compact(d.Digest), believedSize(d.Size))
		}
	}
	return b
}
