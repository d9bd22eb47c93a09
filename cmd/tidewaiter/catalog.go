package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func catalogCommand() command {
	return command{
		use:   "catalog",
		short: "List the content of the registries",
		sub: []command{{
			use:   "list",
			short: "List repositories",
			long: `List the repositories that have a manifest: how many tags they have, how large
they are, and who pushed and pulled them last. The catalog has what registries report, so the
registries must be configured to send events. The command can run while the service runs. The
service adds new events within a second.

The size includes all manifests and the blobs that they refer to. A blob that several manifests
share is counted once. Registries report these blobs only with the setting includereferences.`,
			example: `  tidewaiter catalog list
  tidewaiter catalog list --prefix team/ --sort last-pull
  tidewaiter catalog list --sort size --limit 10 --output json`,
			opens: readJournal,
			flags: catalogList,
		}, {
			use:   "tags REPOSITORY",
			short: "List the tags of a repository",
			example: `  tidewaiter catalog tags team/app
  tidewaiter catalog tags team/app --registry registry.example.com --output json`,
			before: func(s *session) error {
				if name, tag, digest := splitReference(s.args[0]); tag+digest != "" {
					return s.usageErrorf("give the repository alone: %s", text.Name(name))
				}
				return s.checkWithoutRegistry(s.args[0])
			},
			opens: readJournal,
			flags: catalogTags,
		}, {
			use:   "show REPOSITORY[:TAG|@DIGEST]",
			short: "Show a repository or a manifest",
			long: `Show a repository, or a manifest by a tag or by its digest: who pushed, pulled and
deleted it last, which tags have it, and how often it was pulled on each day. A pull is a GET of
the manifest; a HEAD is not counted. A manifest that the registry no longer has is found by its
digest.`,
			example: `  tidewaiter catalog show team/app
  tidewaiter catalog show team/app:v1
  tidewaiter catalog show team/app@sha256:1b2c3d4e5f60718293a4b5c6d7e8f9010203040506070809a0b0c0d0e0f01122`,
			before: func(s *session) error {
				_, _, digest := splitReference(s.args[0])
				digits, isSHA256 := strings.CutPrefix(digest, "sha256:")
				whole := isSHA256 && len(digits) == 64 || strings.HasPrefix(digest, "sha512:")
				if digest != "" && !whole {
					return s.usageErrorf("%s is not a whole digest: give sha256: and 64 hexadecimal digits, as tidewaiter catalog tags prints them", text.QuoteShort(digest))
				}
				return s.checkWithoutRegistry(s.args[0])
			},
			opens: readJournal,
			flags: catalogShow,
		}, {
			use:     "history REPOSITORY:TAG",
			short:   "List which manifests a tag had, the newest first",
			example: "  tidewaiter catalog history team/app:latest",
			opens:   readJournal,
			before:  checkTagArgument,
			flags:   catalogHistory,
		}, reconcileCommand(), deleteCommand(), rollbackCommand()},
	}
}

// splitReference splits REPOSITORY[:TAG|@DIGEST].
func splitReference(s string) (repository, tag, digest string) {
	repository, digest, _ = strings.Cut(s, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository, tag = repository[:i], repository[i+1:]
	}
	return repository, tag, digest
}

func registryFlag(f *flags, usage string) *string {
	return f.String("registry", "", usage)
}

const whichRegistry = "the registry of that `service`; only necessary if several registries have the repository"

// limitFlag adds --limit, the maximum number of the given items.
func limitFlag(f *flags, items string) *int {
	n := f.IntP("limit", "n", 100, "the maximum number of `"+items+"`")
	f.addCheck(func(s *session) error {
		if *n < 1 {
			return s.usageErrorf("--limit must be positive")
		}
		return nil
	})
	return n
}

// readCatalog calls the function read with the catalog. It prints a note if entries of the journal
// are missing in the catalog.
func (s *session) readCatalog(read func(*catalog.Reader) error) error {
	r, err := s.catalog.Read(s.ctx)
	if errors.Is(err, catalog.ErrNotBuilt) || errors.Is(err, store.ErrMissing) {
		return errors.New("there is no catalog yet: start the service, or run tidewaiter journal reindex")
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if err := read(r); err != nil {
		return err
	}
	last, err := s.journal.Last(s.ctx)
	if behind := int(last - r.Position()); err == nil && behind > 0 {
		s.printNote("the catalog does not have the last %s of the journal yet: the service adds them, and so does tidewaiter journal reindex",
			count(behind, "entry", "entries"))
	}
	return err
}

// readPages reads pages until it has the given number of items. It reports whether more items
// follow.
func readPages[T any](limit int, read func(admin.Page) ([]T, string, error)) (items []T, more bool, err error) {
	items = []T{} // never null in JSON
	for page := (admin.Page{}); ; {
		page.Limit = min(limit-len(items), 1000)
		found, next, err := read(page)
		if err != nil {
			return nil, false, err
		}
		items = append(items, found...)
		if page.After = next; next == "" || len(items) >= limit {
			return items, next != "", nil
		}
	}
}

// printCatalog prints a list of the catalog as a table, or in the JSON form of the API.
func printCatalog[T, F any](s *session, items []T, form func(*T, api.Shown) F, head []string, row func(*T) []string) error {
	forms, rows := make([]F, len(items)), [][]string{head}
	for i := range items {
		forms[i] = form(&items[i], api.Everybody)
		rows = append(rows, row(&items[i]))
	}
	if s.printsJSON() {
		return s.writeJSON(forms)
	}
	return writeTable(s.out, rows)
}

func catalogList(f *flags) action {
	q := catalog.Query{}
	registry := registryFlag(f, "only repositories of the registry of that `service`")
	f.StringVar(&q.Prefix, "prefix", "", "only repositories whose names begin with a `text`, as team/")
	sort := choose(f, "sort", "", catalog.ByName, "which repositories come first", catalog.ByName, catalog.ByPush, catalog.ByPull, catalog.BySize)
	limit := limitFlag(f, "repositories")
	f.addCheck(func(s *session) error {
		if host, rest, sure := text.WithoutRegistry(q.Prefix); host != "" && sure {
			return s.usageErrorf("--prefix: %s", text.NamedWithoutRegistry(rest))
		}
		return nil
	})
	return func(s *session) error {
		q.Registry, q.Sort = *registry, *sort
		return s.readCatalog(func(r *catalog.Reader) error {
			found, more, err := readPages(*limit, func(page admin.Page) ([]catalog.Repository, string, error) {
				q.Page = page
				return r.Repositories(s.ctx, q)
			})
			if err != nil {
				return err
			}
			head := []string{"REGISTRY", "REPOSITORY", "TAGS", "SIZE", "PULLS", "LAST PUSH", "BY", "LAST PULL", "BY"}
			err = printCatalog(s, found, api.NewRepository, head, func(r *catalog.Repository) []string {
				row := []string{text.Escape(r.Registry), text.Escape(r.Name), strconv.FormatInt(r.Tags, 10), formatSize(r.Size), strconv.FormatInt(r.Pulls, 10)}
				return append(append(row, eventCells(r.Pushed)...), eventCells(r.Pulled)...)
			})
			switch unfiltered := *registry == "" && q.Prefix == ""; {
			case more:
				s.printNote("there are more repositories: give a larger --limit, or --prefix")
			case len(found) == 0 && unfiltered:
				s.printNote("the catalog is empty: no registry has reported a push or a pull yet")
			case len(found) == 0:
				s.printNote("no repository matches%s", s.unknownRegistry(*registry))
			}
			return err
		})
	}
}

func catalogTags(f *flags) action {
	registry := registryFlag(f, whichRegistry)
	limit := limitFlag(f, "tags")
	return func(s *session) error {
		return s.readCatalog(func(r *catalog.Reader) error {
			of, err := s.catalogRepository(r, *registry, s.args[0])
			if err != nil {
				return err
			}
			found, more, err := readPages(*limit, func(page admin.Page) ([]catalog.Tag, string, error) { return r.Tags(s.ctx, of, page) })
			if err != nil {
				return err
			}
			head := []string{"TAG", "DIGEST", "SIZE", "PUSHED", "BY", "LAST PULL", "BY"}
			err = printCatalog(s, found, api.NewCatalogTag, head, func(t *catalog.Tag) []string {
				row := append([]string{text.Escape(t.Name), text.Escape(t.Manifest.Digest), formatSize(t.Manifest.Size)}, eventCells(t.Set)...)
				return append(row, eventCells(t.Manifest.Pulled)...)
			})
			if more {
				s.printNote("there are more tags: give a larger --limit")
			}
			return err
		})
	}
}

// maxMeant is the number of repositories that are compared with a mistyped name.
const maxMeant = 10_000

// catalogRepository returns a repository of the catalog. If the catalog does not have it, the error
// has the probable reason.
func (s *session) catalogRepository(r *catalog.Reader, registry, name string) (catalog.Repository, error) {
	of, err := r.Repository(s.ctx, nil, registry, name)
	if _, several := errors.AsType[*admin.InvalidError](err); several {
		err = fmt.Errorf("several registries have the repository %s: give --registry", text.Escape(name))
	}
	if !errors.Is(err, catalog.ErrNotFound) {
		return of, err
	}
	if unknown := s.unknownRegistry(registry); unknown != "" {
		return of, fmt.Errorf("%w%s", err, unknown)
	}
	hint, failed := s.repositoryHint(r, registry, name)
	if failed != nil {
		return of, failed
	}
	return of, fmt.Errorf("%w%s", err, hint)
}

// repositoryHint returns the end of an error about a repository that the catalog does not have.
func (s *session) repositoryHint(r *catalog.Reader, registry, name string) (string, error) {
	known, _, err := readPages(maxMeant, func(page admin.Page) ([]catalog.Repository, string, error) {
		return r.Repositories(s.ctx, catalog.Query{Registry: registry, Sort: catalog.ByName, Page: page})
	})
	if err != nil {
		return "", err
	}
	names := make([]string, len(known))
	for i := range known {
		names[i] = known[i].Name
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+"/") }) {
		return "; for the repositories below it: tidewaiter catalog list --prefix " + text.Shell(name+"/"), nil
	}
	if meant := text.Nearest(name, names); meant != "" {
		return fmt.Sprintf(" (did you mean %s?)", text.Quote(meant)), nil
	}
	return "; tidewaiter catalog list prints all names", nil
}

// addTagsHint adds the command that prints the tags of a repository to an error about a missing
// tag.
func addTagsHint(err error, of catalog.Repository) error {
	if errors.Is(err, catalog.ErrNotFound) {
		err = fmt.Errorf("%w; tidewaiter catalog tags %s prints its tags", err, text.Shell(of.Name))
	}
	return err
}

func catalogShow(f *flags) action {
	registry := registryFlag(f, whichRegistry)
	return func(s *session) error {
		return s.readCatalog(func(r *catalog.Reader) error {
			name, tag, digest := splitReference(s.args[0])
			of, err := s.catalogRepository(r, *registry, name)
			if err != nil {
				return err
			}
			if tag == "" && digest == "" {
				return s.printFields(api.NewRepository(&of, api.Everybody),
					"registry", text.Escape(of.Registry), "repository", text.Escape(of.Name), "tags", strconv.FormatInt(of.Tags, 10),
					"manifests", strconv.FormatInt(of.Manifests, 10), "size", formatSize(of.Size),
					"last push", eventText(of.Pushed), "last pull", eventText(of.Pulled), "pulls", strconv.FormatInt(of.Pulls, 10))
			}
			if tag != "" {
				t, err := r.Tag(s.ctx, of, tag)
				if err != nil {
					return addTagsHint(err, of)
				}
				if digest == "" {
					digest = t.Manifest.Digest
				}
			}
			d, err := api.ReadManifest(s.ctx, r, of, digest, api.Everybody)
			if err != nil {
				return err
			}
			m, err := r.Manifest(s.ctx, of, digest)
			if err != nil {
				return err
			}
			present := ""
			if !m.Present {
				present = "no"
			}
			fields := []string{
				"repository", text.Escape(of.Name), "digest", text.Escape(m.Digest), "media type", text.Escape(m.MediaType), "in the registry", present,
				"tags", text.Escape(strings.Join(d.Tags, ", ")), "size", formatSize(m.Size), "last push", eventText(m.Pushed), "last pull", eventText(m.Pulled),
				"last delete", eventText(m.Deleted), "pulls", strconv.FormatInt(m.Pulls, 10),
			}
			for _, day := range d.Days {
				fields = append(fields, "  "+day.Day, strconv.FormatInt(day.Pulls, 10))
			}
			return s.printFields(d, fields...)
		})
	}
}

func catalogHistory(f *flags) action {
	registry := registryFlag(f, whichRegistry)
	limit := limitFlag(f, "changes")
	return func(s *session) error {
		return s.readCatalog(func(r *catalog.Reader) error {
			name, tag, _ := splitReference(s.args[0])
			of, err := s.catalogRepository(r, *registry, name)
			if err != nil {
				return err
			}
			moves, more, err := readPages(*limit, func(page admin.Page) ([]catalog.Move, string, error) { return r.History(s.ctx, of, tag, page) })
			if err != nil {
				return addTagsHint(err, of)
			}
			err = printCatalog(s, moves, api.NewTagMove, []string{"TIME", "BY", "DIGEST"}, func(m *catalog.Move) []string {
				row := append(eventCells(m.Event), text.Escape(m.Digest))
				switch {
				case m.Seen:
					row[1], row[2] = "", row[2]+" (seen by a pull, no push was reported)"
					if m.Digest == "" {
						row[2] = "missing (noticed by reconcile, no delete was reported)"
					}
				case m.Digest == "":
					row[2] = "deleted"
				}
				return row
			})
			if more {
				s.printNote("there are more changes: give a larger --limit")
			}
			return err
		})
	}
}

// eventCells returns the time of an event, and the name of the principal that caused the event.
func eventCells(e catalog.Event) []string {
	if e.Time.IsZero() {
		return []string{"", ""}
	}
	by := text.Escape(e.By)
	if by == "" {
		by = "anonymous"
	}
	return []string{formatMinute(e.Time), by}
}

func eventText(e catalog.Event) string {
	cells := eventCells(e)
	if cells[0] == "" {
		return ""
	}
	return cells[0] + " by " + cells[1]
}

// formatSize formats a number of bytes: 999 B, 1.0 kB, 12.3 GB.
func formatSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len("kMGTPE")-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[unit])
}
