package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/export"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func journalCommand() command {
	return command{
		use:   "journal",
		short: "Query the audit journal",
		sub: []command{{
			use:   "list",
			short: "List entries of the journal, the newest first",
			long: `List entries of the journal, the newest first: every decision, every change,
and every push, pull, mount and delete that registries reported. The command can run while the
service runs. "tidewaiter journal show" and "tidewaiter explain" accept the id at the end of a
line.

An entry is listed if it matches all flags. If more than --limit entries match, the position for
--before is printed on standard error.

With --output csv or jsonl, the command exports all entries that match, in any number.
CSV has a line for each entry, but a decision about several scopes has a line for each scope.
The last line of an export has the last signed checkpoint of the journal. --order oldest exports
in the order of the journal.`,
			example: `  tidewaiter journal list --follow
  tidewaiter journal list --digest sha256:1b2c3d4 --action push
  tidewaiter journal list --outcome refused --repository 'team/**' --since 2026-11-01
  tidewaiter journal list -n 12 --kind change --principal user:alice
  tidewaiter journal list --output csv --order oldest --since 2026-11-01 --until 2026-12-01 >november.csv
  tidewaiter journal list -n 1000 --output jsonl | jq -r 'select(.event.action == "push") | .event.repository'`,
			earlierName: "tail",
			change:      ", with the newest entries first",
			opens:       readJournal,
			outputs:     []string{string(export.CSV), string(export.JSONLines)},
			flags:       journalList,
		}, {
			use:   "show ID",
			short: "Show an entry of the journal and the related entries",
			long: `Show an entry of the journal with all its details. For an event, also show the
decision that allowed it. So you see who pushed an image, with which credential, from which CI job,
and which rule allowed the push. For a decision, also show the events of requests with its token. The
first 8 or more characters of the id are enough.

If the client used a refresh token, as docker does, the output also has when and with which credential
the client signed in.

Registries do not report the token of a request. So decisions and events are related by principal,
registry, repository and time, and by the client's address if the registry reports it.`,
			example: `  tidewaiter journal show 019aa1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b
  tidewaiter journal show 019aa1b2-c3d4 --output json`,
			before: func(s *session) error {
				switch id := s.args[0]; {
				case journal.IsBeginning(id):
					return nil
				case strings.Contains(id, ":"):
					return s.usageErrorf("%q is not the id of an entry; tidewaiter journal list --digest DIGEST lists the entries about a digest", id)
				default:
					return s.usageErrorf("%q is not the id of an entry: an id looks like %s; copy it from the end of a line of tidewaiter journal list, from a refusal or from the log (the first 8 characters are enough)", id, exampleID)
				}
			},
			opens: readJournal,
			run:   journalShow,
		}, journalProve(), journalCheckProof(), journalReplaceKey(), {
			use:   "key",
			short: "Print the public key of the journal's checkpoints",
			long: `Print the public key that verifies the signed checkpoints of the journal. Give
this key to everybody who checks proofs of the journal. The service creates the private key at its
first start (see signing.journal_key).`,
			example: "  tidewaiter journal key",
			opens:   readJournal,
			run: func(s *session) error {
				key, err := checkpoint.Key(s.ctx, s.db)
				if err == nil && key == "" {
					err = errors.New("the journal has no key yet: the service creates it at its first start")
				}
				if err != nil {
					return err
				}
				return s.print(map[string]string{"key": key}, "%s", key)
			},
		}, {
			use:   "reindex",
			short: "Rebuild the search index and the catalog from the journal",
			long: `Rebuild the search index and the catalog from the journal. The service builds them
automatically, also after an upgrade, after a backup was restored, and if they are damaged or
missing. While the index is incomplete, searches read the journal itself: their results are the same,
but they take longer. The command can run while the service runs.

Afterwards, the catalog has only what the entries of the journal say. It no longer has what it knew
from entries that were removed because of their age or size.`,
			example: "  tidewaiter journal reindex",
			opens:   loadConfig,
			run:     journalReindex,
		}, {
			use:   "verify",
			short: "Verify that no entry of the journal was changed",
			long: `Verify that no entry of the journal was changed. The entries are the leaves of a
tree of hashes. The command computes the tree again and prints its root and its size. Exits 1 and
prints the position of the first break if an entry is missing or was changed, or if the database is
damaged.

--from, --to and --since verify a part of the journal. The part consists of whole blocks of up to 256
entries. The command does not verify the stored hashes of the tree before this part. It only reads, so
it can run while the service runs, and can verify a copy on a read-only disk.`,
			example: `  tidewaiter journal verify
  tidewaiter journal verify --since 2026-11-01
  tidewaiter journal verify --from 120001 --to 240000 --output json`,
			opens: readJournal,
			flags: journalVerify,
		}},
	}
}

// exampleID is the beginning of an id, for messages.
const exampleID = "019aa1b2-c3d4-7e5f"

// findEntry returns the entry whose id begins with the given text. If there is no such entry, or
// more than one, it returns an error.
func (s *session) findEntry(prefix string) (journal.Entry, error) {
	e, err := s.journal.FindOne(s.ctx, prefix)
	if errors.Is(err, journal.ErrNotFound) {
		err = fmt.Errorf("the journal has no entry %s; tidewaiter journal list prints the ids", text.Escape(prefix))
	}
	return e, err
}

func journalReindex(s *session) (err error) {
	s.untilStopped()
	db, err := store.OpenExisting(s.ctx, s.cfg.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close(context.WithoutCancel(s.ctx))) }()
	derived := projection.New(db, projection.Options{}, search.Projection(username.Login), catalog.Projection())
	defer func() { err = errors.Join(err, derived.Close()) }()
	if err := derived.Rebuild(s.ctx); err != nil {
		return fmt.Errorf("emptying the search index and the catalog: %w", err)
	}
	report := progress(s.errs, clock.Now)
	err = derived.CatchUp(s.ctx, j, func(all []projection.Status) {
		read, of := int64(0), int64(0) // numbers of entries; each projection reads each entry once
		for _, p := range all {
			read, of = read+int64(p.Position), of+int64(p.Position)+p.Behind
		}
		if read < of {
			report("entries", read/int64(len(all)), of/int64(len(all)))
		}
	})
	if err != nil {
		return fmt.Errorf("building the search index and the catalog: %w", err)
	}
	size, err := derived.Size(s.ctx)
	if err != nil {
		return err
	}
	last, err := j.Last(s.ctx)
	if err != nil {
		return err
	}
	return s.print(struct {
		Entries journal.Position `json:"entries"`
		Bytes   int64            `json:"bytes"`
	}{last, size}, "the search index and the catalog are built: %s, %d kB", count(int(last), "entry", "entries"), size/1000)
}
