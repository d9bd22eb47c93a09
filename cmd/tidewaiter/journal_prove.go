package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/durable"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func journalProve() command {
	return command{
		use:   "prove {ID | DIGEST | --from-checkpoint FILE}",
		short: "Write a proof that an entry is in the journal",
		long: `Write a proof that an entry is in the journal, for somebody who does not trust
this database. With the public key ("tidewaiter journal key"), "tidewaiter journal check-proof"
checks the proof on any machine. For a digest, the proof is about its newest push. A checkpoint must cover
the entry: while the service runs, this is the case ten seconds after the entry was written.

With --from-checkpoint, the proof is about the whole journal: no entry was changed or removed
since an older checkpoint, which somebody stored.`,
		example: `  tidewaiter journal prove 019aa1b2-c3d4 --file push.proof
  tidewaiter journal prove sha256:1b2c3d4 --with-decision > push.proof
  tidewaiter journal prove --from-checkpoint monday.checkpoint > week.proof`,
		opens: readJournal,
		flags: func(f *flags) action {
			var file, from string
			f.file(&file, "file", "", "", "write the proof to a new `file` (default: standard output)")
			f.file(&from, "from-checkpoint", "", "", "a `file` with an older checkpoint")
			decision := f.Bool("with-decision", false, "for an event, also prove the decision that allowed it")
			omit := f.Bool("omit-personal-data", false, "leave out addresses, programs of clients, and refused names")
			f.addCheck(func(s *session) error {
				if len(s.args) > 1 || (len(s.args) == 1) == (from != "") {
					return s.usageErrorf("give the id of an entry, or a digest, or --from-checkpoint")
				}
				if len(s.args) == 1 && !journal.IsBeginning(s.args[0]) {
					digest := api.Filter{Digest: s.args[0]}
					if _, _, reason := digest.Query(); reason != "" {
						return s.usageErrorf("%s is not the id of an entry, such as %s, and %s", text.QuoteShort(s.args[0]), exampleID, reason)
					}
				}
				return nil
			})
			return func(s *session) error {
				signed, err := checkpoint.Latest(s.ctx, s.db)
				if err != nil {
					return err
				}
				var proof *tree.Proof
				if from != "" {
					old, err := os.ReadFile(from)
					if err != nil {
						return fmt.Errorf("reading the checkpoint: %w", err)
					}
					if proof, err = s.journal.ProveConsistency(s.ctx, signed, old); err != nil {
						return fmt.Errorf("%s: %w", from, err)
					}
				} else {
					positions, err := s.toProve(s.args[0], *decision)
					if err != nil {
						return err
					}
					if proof, err = s.journal.Prove(s.ctx, signed, !*omit, positions...); err != nil {
						return err
					}
				}
				if file == "" {
					return s.encoder().Encode(proof)
				}
				var b bytes.Buffer
				to := *s
				to.out = &b
				if err := to.encoder().Encode(proof); err != nil {
					return err
				}
				if err := durable.WriteFile(file, b.Bytes(), 0o600, false); err != nil {
					return fmt.Errorf("writing %s: %w", file, err)
				}
				s.printNote("wrote %s; check it with: tidewaiter journal check-proof %s --key KEY", file, text.Shell(file))
				return nil
			}
		},
	}
}

// toProve returns the positions of the entries to prove.
func (s *session) toProve(name string, decision bool) ([]journal.Position, error) {
	var e journal.Entry
	if journal.IsBeginning(name) {
		var err error
		if e, err = s.findEntry(name); err != nil {
			return nil, err
		}
	} else {
		filter := api.Filter{Digest: name, Kind: journal.KindEvent}
		anything, _, _ := filter.Query() // checked
		push := anything
		push.Action = "push"
		for _, q := range []journal.Query{push, anything} {
			page, err := s.journal.Search(s.ctx, q, 0, 1, func(int) bool { return false })
			if err != nil {
				return nil, err
			}
			if len(page.Entries) > 0 {
				e = page.Entries[0]
				break
			}
		}
		if e.Position == 0 {
			return nil, fmt.Errorf("the journal has no event about %s", text.Escape(name))
		}
	}
	positions := []journal.Position{e.Position}
	if !decision {
		return positions, nil
	}
	if e.Event == nil {
		return nil, errors.New("--with-decision requires an event, but this entry is not an event")
	}
	related, _, err := s.journal.Related(s.ctx, e)
	if err != nil {
		return nil, err
	}
	if len(related) == 0 {
		return nil, errors.New("no decision in the journal allowed this event: prove it without --with-decision")
	}
	return append(positions, related[0].Position), nil
}

func journalReplaceKey() command {
	return command{
		use:   "replace-key",
		short: "Create another key that signs the journal's checkpoints",
		long: `Create another key that signs the journal's checkpoints. Use this command if the key
file was lost, or if somebody else has possibly read it. Move the old key file away first. Afterwards,
restart the service, copy the file to all replicas, and give the printed public key to the auditors.
For older checkpoints, auditors still need the old public key.`,
		example: "  tidewaiter journal replace-key",
		opens:   changeJournal,
		run: func(s *session) error {
			key, err := notekey.New(notekey.Name(s.cfg.PublicURL, s.cfg.Token.Issuer))
			if err != nil {
				return err
			}
			file := s.cfg.Signing.JournalKey
			err = checkpoint.ReplaceKey(s.ctx, s.db, key.Public(), func(tx *sql.Tx, former string) error {
				if err := s.journal.RecordNewKey(s.ctx, tx, s.by.String(), former, key.Public()); err != nil {
					return err
				}
				switch err := key.Write(file); {
				case errors.Is(err, fs.ErrExist):
					return fmt.Errorf("%s exists: move it away first", file)
				case err != nil:
					return fmt.Errorf("writing %s: %w", file, err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			s.printNote("wrote %s; restart the service to use it", file)
			return s.print(map[string]string{"key": key.Public()}, "%s", key.Public())
		},
	}
}

func journalCheckProof() command {
	return command{
		use:   "check-proof FILE",
		short: "Check a proof of the journal, offline",
		long: `Check a proof that "tidewaiter journal prove" wrote, and print what it proves.
The command needs neither the config nor the database, only the public key. Get the key from
somebody you trust, and not from the sender of the proof. Exits 1 if the proof is wrong.

With --witness-key, this witness must also have cosigned the checkpoint of the proof (see "tidewaiter
witness").`,
		example: `  tidewaiter journal check-proof push.proof --key auth.example.com/journal+1a2b3c4d+AZ…
  tidewaiter journal check-proof push.proof --key journal.pub
  tidewaiter journal check-proof push.proof --key journal.pub --witness-key witness.pub`,
		output: true,
		flags: func(f *flags) action {
			keys := f.list("key", "the public `key` of the journal, or a file with it")
			witnesses := f.list("witness-key", "the public `key` of a witness, or a file with it: the witness must have cosigned the checkpoint")
			f.addCheck(func(s *session) error {
				if len(*keys) == 0 {
					return s.usageErrorf("--key is missing: give the public key that tidewaiter journal key prints")
				}
				return nil
			})
			return func(s *session) error {
				verifiers, err := journalKeys(*keys)
				if err != nil {
					return err
				}
				cosigners, err := readKeys(*witnesses, "a witness", notekey.WitnessVerifier)
				if err != nil {
					return err
				}
				for _, w := range cosigners {
					if slices.ContainsFunc(verifiers, func(v note.Verifier) bool { return v.Name() == w.Name() }) {
						return fmt.Errorf("the journal and a witness have the same name, %s", text.Escape(w.Name()))
					}
				}
				proof, err := os.ReadFile(s.args[0])
				if err != nil {
					return fmt.Errorf("reading the proof: %w", err)
				}
				if !json.Valid(proof) {
					return fmt.Errorf("%s is not a proof: give the file that tidewaiter journal prove has written", text.Escape(s.args[0]))
				}
				proven, err := tree.Check(proof, append(verifiers, cosigners...)...)
				if err != nil {
					return fmt.Errorf("the proof does not hold: %w", err)
				}
				for _, w := range cosigners {
					if !slices.ContainsFunc(proven.Note.Sigs, func(s note.Signature) bool { return s.Name == w.Name() && s.Hash == w.KeyHash() }) {
						return fmt.Errorf("the proof does not hold: the witness %s has not cosigned its checkpoint", text.Escape(w.Name()))
					}
				}
				return s.printProven(proven)
			}
		},
	}
}

// journalKeys returns the verifiers of public keys of journals.
func journalKeys(keys []string) ([]note.Verifier, error) {
	return readKeys(keys, "a journal", note.NewVerifier)
}

// readKeys returns the verifiers of public keys. Each element of keys is a key, or the name of a
// file that contains a key.
func readKeys(keys []string, of string, parse func(string) (note.Verifier, error)) (verifiers []note.Verifier, err error) {
	for _, key := range keys {
		if !strings.Contains(key, "+") {
			line, err := os.ReadFile(key)
			if err != nil {
				return nil, fmt.Errorf("reading the key: %w", err)
			}
			key = strings.TrimSpace(string(line))
		}
		v, err := parse(key)
		if err != nil {
			return nil, fmt.Errorf("reading the key: %.100q is not the public key of %s: want NAME+ID+KEY", key, of)
		}
		verifiers = append(verifiers, v)
	}
	return verifiers, nil
}

// printProven prints the facts that a proof proves.
func (s *session) printProven(p *tree.Proven) error {
	c, entries := p.Checkpoint, make([]journal.Entry, len(p.Entries))
	for i := range entries {
		if err := entries[i].Decode(p.Entries[i]); err != nil {
			return err
		}
	}
	if s.printsJSON() {
		type checkpoint struct {
			Origin string `json:"origin"`
			Size   int64  `json:"size"`
			Root   string `json:"root"`
		}
		result := struct {
			Proven     bool            `json:"proven"`
			Checkpoint checkpoint      `json:"checkpoint"`
			SignedBy   []string        `json:"signed_by"`
			Entries    []journal.Entry `json:"entries,omitempty"` // the position is the leaf
			Old        *checkpoint     `json:"old,omitempty"`
		}{true, checkpoint{c.Origin, c.Size, c.Root.String()}, nil, entries, nil}
		for _, signature := range p.Note.Sigs {
			result.SignedBy = append(result.SignedBy, signature.Name)
		}
		if p.Old.Size > 0 {
			result.Old = &checkpoint{p.Old.Origin, p.Old.Size, p.Old.Root.String()}
		}
		return s.writeJSON(result)
	}
	ok := paintFor(s.out).green("the proof holds")
	if p.Old.Size > 0 {
		fmt.Fprintf(s.out, "%s: the first %d leaves of the journal %s are the same in both checkpoints.\nNo entry of the older checkpoint was changed or removed before the newer checkpoint, which has %d leaves.\n",
			ok, p.Old.Size, text.Escape(c.Origin), c.Size)
	} else {
		fmt.Fprintf(s.out, "%s: the journal %s recorded\n", ok, text.Escape(c.Origin))
	}
	for i := range entries {
		e := &entries[i]
		if err := printSummary(s.out, e); err != nil {
			return err
		}
		if err := writeTable(s.out, append(details(e), []string{"  leaf", fmt.Sprintf("%d of %d", e.Position, c.Size)})); err != nil {
			return err
		}
	}
	var signers []string
	for _, signature := range p.Note.Sigs {
		signers = append(signers, notekey.Describe(signature))
	}
	fmt.Fprintf(s.out, "signed by %s\n", text.Escape(strings.Join(signers, ", ")))
	return nil
}
