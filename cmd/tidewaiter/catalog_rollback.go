package main

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/manifests"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func rollbackCommand() command {
	return command{
		use:   "rollback REPOSITORY:TAG",
		short: "Set a tag back to an earlier manifest",
		long: `Set a tag back to the manifest that it had before, or to the manifest of --to. The
registry must still have the manifest. The command reads the manifest and writes it again with the
tag, as a push does. tidewaiter catalog history prints which manifests the tag had.

The command connects to the registry's url in the config, with tokens that it signs itself.`,
		example: `  tidewaiter catalog rollback team/app:latest
  tidewaiter catalog rollback team/app:latest --to sha256:1b2c3d4e5f60718293a4b5c6d7e8f9010203040506070809a0b0c0d0e0f01122`,
		opens:  changeCatalog,
		before: checkTagArgument,
		flags:  catalogRollback,
	}
}

// checkTagArgument checks that the argument is a repository and a tag.
func checkTagArgument(s *session) error {
	if _, tag, digest := splitReference(s.args[0]); tag == "" || digest != "" {
		return s.usageErrorf("give a repository and a tag, as team/app:v1")
	}
	return s.checkWithoutRegistry(s.args[0])
}

// rolledBack is what the command prints.
type rolledBack struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Before     string `json:"before"`
	Digest     string `json:"digest"`
}

func catalogRollback(f *flags) action {
	registry := registryFlag(f, whichRegistry)
	to := f.String("to", "", "the `digest` of the manifest; by default, the manifest that the tag had before")
	rate := rateFlag(f)
	return func(s *session) error {
		name, tag, _ := splitReference(s.args[0])
		var of catalog.Repository
		digest := *to
		err := s.readCatalog(func(r *catalog.Reader) (err error) {
			if of, err = s.catalogRepository(r, *registry, name); err == nil && digest == "" {
				digest, err = s.earlierManifest(r, of, tag)
			}
			return err
		})
		if err != nil {
			return err
		}
		o, err := s.manifestOptions(of.Registry, *rate)
		if err != nil {
			return err
		}
		before, err := manifests.RollBack(s.ctx, o, name, tag, digest)
		if err != nil {
			return err
		}
		result := rolledBack{name, tag, before, digest}
		if before == digest {
			return s.print(result, "%s:%s has %s already", text.Escape(name), text.Escape(tag), text.Escape(digest))
		}
		return s.print(result, "%s:%s set to %s, had %s", text.Escape(name), text.Escape(tag), text.Escape(digest), text.Escape(before))
	}
}

// earlierManifest returns the manifest that a tag had before its current manifest, if the registry
// still has it.
func (s *session) earlierManifest(r *catalog.Reader, of catalog.Repository, tag string) (string, error) {
	current := ""
	if has, err := r.Tag(s.ctx, of, tag); err == nil {
		current = has.Manifest.Digest
	}
	moves, _, err := readPages(1000, func(page admin.Page) ([]catalog.Move, string, error) { return r.History(s.ctx, of, tag, page) })
	if err != nil {
		return "", err
	}
	for _, move := range moves {
		if move.Digest == "" || move.Digest == current {
			continue
		}
		if m, err := r.Manifest(s.ctx, of, move.Digest); err == nil && m.Present {
			return move.Digest, nil
		}
	}
	return "", fmt.Errorf("the registry has no earlier manifest of %s:%s; give --to DIGEST", text.Escape(of.Name), text.Escape(tag))
}
