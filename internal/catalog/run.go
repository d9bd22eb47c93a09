package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
)

// RunAction is the action of the journal's entries about a Run.
const RunAction = "catalog.reconcile"

const deleteAction = "catalog.delete"

// DeleteChange returns the change in the journal that stands for the delete of a manifest by
// Tidewaiter itself. The catalog applies this change, so the catalog does not need an event of the
// registry for the delete.
func DeleteChange(repository, digest string, from map[string]any) *journal.Change {
	return &journal.Change{Action: deleteAction, Target: repository + "@" + digest, From: from}
}

// Run has the findings of a comparison of a registry with the catalog. A long run has several
// parts, and each part has a separate entry in the journal. The catalog applies the findings of
// each part, so a rebuilt catalog has the findings, too.
type Run struct {
	Registry string
	After    string // the part begins after this repository; "": with the first one
	Through  string // the last repository that was compared completely
	Complete bool   // Through is the last repository of the registry
	// The numbers of objects that the part has compared.
	Repositories, Tags, Manifests int64
	// Failed is the number of objects that the registry did not return because of an error. The
	// part has no findings about them.
	Failed   int64
	Findings []Finding
}

// Finding is a difference between a registry and the catalog.
type Finding struct {
	Repository string
	Time       time.Time // when the comparison of the repository began
	// Tag is the tag that has the manifest Digest. If Digest is "", the registry does not have the
	// tag. If Tag is "", the registry does not have the manifest Digest.
	Tag       string
	Digest    string
	MediaType string
	Size      int64 // of the manifest, in bytes
}

// runJSON is the JSON form of a run in the journal.
type runJSON struct {
	After        string                   `json:"after,omitempty"`
	Through      string                   `json:"through,omitempty"`
	Complete     bool                     `json:"complete"`
	Repositories int64                    `json:"repositories"`
	Tags         int64                    `json:"tags"`
	Manifests    int64                    `json:"manifests"`
	Failed       int64                    `json:"failed,omitempty"`
	Differences  int                      `json:"differences"`
	Found        map[string]*findingsJSON `json:"found,omitempty"` // by repository
}

// findingsJSON has the findings of a repository.
type findingsJSON struct {
	Time time.Time `json:"time"`
	// Tags has lines such as "v1 sha256:… 1234" by media type, in the order of the tags.
	Tags        map[string][]string `json:"tags,omitempty"`
	MissingTags []string            `json:"missing_tags,omitempty"`
	Missing     []string            `json:"missing_manifests,omitempty"` // digests
}

// Entry returns the entry of the journal about the run. The parameter actor names who started the
// run.
func (r *Run) Entry(actor string) (journal.Entry, error) {
	j := runJSON{r.After, r.Through, r.Complete, r.Repositories, r.Tags, r.Manifests, r.Failed, len(r.Findings), make(map[string]*findingsJSON)}
	for _, f := range r.Findings {
		of := j.Found[f.Repository]
		if of == nil {
			of = &findingsJSON{Time: f.Time.UTC().Truncate(time.Microsecond), Tags: make(map[string][]string)}
			j.Found[f.Repository] = of
		}
		switch {
		case f.Tag == "":
			of.Missing = append(of.Missing, f.Digest)
		case f.Digest == "":
			of.MissingTags = append(of.MissingTags, f.Tag)
		default:
			of.Tags[f.MediaType] = append(of.Tags[f.MediaType], fmt.Sprintf("%s %s %d", f.Tag, f.Digest, f.Size))
		}
	}
	to := make(map[string]any)
	text, err := json.Marshal(j)
	if err == nil {
		err = json.Unmarshal(text, &to)
	}
	return journal.Entry{Registry: r.Registry, Change: &journal.Change{Actor: actor, Action: RunAction, Target: r.Registry, To: to}}, err
}

// RunOf returns the run of an entry. If the entry has no run, it returns false.
func RunOf(e *journal.Entry) (Run, bool) {
	if e.Change == nil || e.Change.Action != RunAction {
		return Run{}, false
	}
	var j runJSON
	text, err := json.Marshal(e.Change.To)
	if err != nil || json.Unmarshal(text, &j) != nil {
		return Run{}, false // a newer version wrote it
	}
	r := Run{e.Registry, j.After, j.Through, j.Complete, j.Repositories, j.Tags, j.Manifests, j.Failed, nil}
	for _, name := range slices.Sorted(maps.Keys(j.Found)) {
		r.Findings = append(r.Findings, j.Found[name].findings(name)...)
	}
	return r, true
}

func (j *findingsJSON) findings(repository string) (all []Finding) {
	if j == nil {
		return nil
	}
	f := Finding{Repository: repository, Time: j.Time}
	for _, mediaType := range slices.Sorted(maps.Keys(j.Tags)) {
		for _, line := range j.Tags[mediaType] {
			parts := strings.Split(line, " ")
			if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
				continue
			}
			has := f
			has.Tag, has.Digest, has.MediaType = parts[0], parts[1], mediaType
			has.Size, _ = strconv.ParseInt(parts[2], 10, 64) // 0: unknown
			all = append(all, has)
		}
	}
	for _, tag := range j.MissingTags {
		if f.Tag = tag; tag != "" {
			all = append(all, f)
		}
	}
	f.Tag = ""
	for _, f.Digest = range j.Missing {
		if f.Digest != "" {
			all = append(all, f)
		}
	}
	return all
}

// addRun applies the findings of a run to the rows. If the registry has the tag or manifest of a
// finding, the finding is applied like a HEAD. Otherwise the finding is applied like a delete.
func (b *batch) addRun(ctx context.Context, e *journal.Entry, run *Run) error {
	for i := range run.Findings {
		f := &run.Findings[i]
		if strings.Contains(f.Repository+f.Tag, nul) {
			continue
		}
		event := notification.Event{
			Time: f.Time, Action: notification.Pull, Repository: f.Repository, Tag: f.Tag, Digest: f.Digest,
			MediaType: f.MediaType, Size: f.Size, Actor: b.own, Request: notification.Request{Method: "HEAD"},
		}
		if f.Tag == "" {
			// If the registry's clock is behind, a push after the comparison can have a time
			// before the comparison.
			event.Action, event.Time = notification.Delete, f.Time.Add(-grace)
		}
		apply := b.add
		if f.Digest == "" {
			apply = b.missTag
		}
		if err := apply(ctx, newReport(e, event)); err != nil {
			return err
		}
		if err := b.writeIfLarge(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addDelete records in the rows that Tidewaiter deleted a manifest.
func (b *batch) addDelete(ctx context.Context, e *journal.Entry) error {
	repository, digest, ok := strings.Cut(e.Change.Target, "@")
	if !ok || digest == "" || strings.Contains(repository, nul) {
		return nil
	}
	// As in addRun, a push after the delete can have an earlier time.
	return b.add(ctx, newReport(e, notification.Event{
		Time: e.Time.Add(-grace), Action: notification.Delete, Repository: repository, Digest: digest, Actor: e.Change.Actor,
	}))
}

// missTag changes the rows of a tag that the registry does not have.
func (b *batch) missTag(ctx context.Context, r *report) error {
	repository, err := b.repository(ctx, r)
	if err != nil {
		return err
	}
	t, err := b.tag(ctx, repository, r.Tag)
	if err == nil && r.at >= t.seen {
		t.seen, t.seenDigest = r.at, ""
	}
	return err
}
