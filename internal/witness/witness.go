// Package witness cosigns the checkpoints of other logs, such as the journal of another Tidewaiter,
// by the protocol of https://c2sp.org/tlog-witness. A witness cosigns two checkpoints of a log
// only if one tree begins with the other tree. So a log cannot present two different histories
// with cosignatures.
package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/durable"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
)

// Options are the settings of a Witness.
type Options struct {
	// State is the file with the newest checkpoint of each log. It must exist: see Create.
	State string
	// Logs are the keys of the logs. The name of a key is the origin of its log. A log may have
	// several keys.
	Logs   []note.Verifier
	Signer note.Signer // signs cosignatures
	Now    func() time.Time
	Log    *slog.Logger

	write func(path string, content []byte) error // replaced in tests of failed writes
}

// Witness cosigns checkpoints. Its methods may be called from any goroutine.
type Witness struct {
	Options
	keys map[string][]note.Verifier // by origin
	lock *os.File

	mu sync.Mutex // is held from the check of a checkpoint until the checkpoint is stored
	// The newest signed checkpoint of each log, by the name of the log. After an error, the file
	// may have a newer checkpoint, but no cosignature of that checkpoint was sent.
	newest map[string]string
	loud   map[string]*loglimit.Limit // limits log lines about two histories, by origin

	refusals loglimit.Limit // limits log lines about refusals, which anyone can cause
}

// Create creates an empty state file. If the file exists, Create does nothing.
func Create(path string) error {
	if err := durable.WriteFile(path, []byte("{}\n"), 0o600, false); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	return nil
}

// Open opens the state file. A second process that opens it gets an error.
func Open(o Options) (_ *Witness, err error) {
	if o.write == nil {
		o.write = func(path string, content []byte) error { return durable.WriteFile(path, content, 0o600, true) }
	}
	o.Now = clock.Wall(o.Now)
	w := &Witness{Options: o, keys: map[string][]note.Verifier{}, newest: map[string]string{}, loud: map[string]*loglimit.Limit{},
		refusals: loglimit.Limit{Period: time.Minute, Max: 10}}
	for _, key := range o.Logs {
		if key.Name() == o.Signer.Name() {
			return nil, fmt.Errorf("the witness and a log have the same name, %s", key.Name())
		}
		w.keys[key.Name()] = append(w.keys[key.Name()], key)
		w.loud[key.Name()] = &loglimit.Limit{Period: time.Minute}
	}
	// Each write replaces the state file, so a separate file is locked.
	if w.lock, err = os.OpenFile(o.State+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("locking the witness's state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.lock.Close())
		}
	}()
	if err := syscall.Flock(int(w.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("locking %s: another process uses it: %w", w.lock.Name(), err)
	}
	content, err := os.ReadFile(o.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the witness's state %s is missing, and without the state, the witness could cosign a second history: restore the file, or move the witness's key away to begin with a new key", o.State)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the witness's state: %w", err)
	}
	if err := json.Unmarshal(content, &w.newest); err != nil || w.newest == nil {
		return nil, fmt.Errorf("reading the witness's state: %s is damaged", o.State)
	}
	for origin, signed := range w.newest {
		if c, err := tree.ParseCheckpoint(signed); err != nil || c.Origin != origin {
			return nil, fmt.Errorf("reading the witness's state: %s is damaged: the checkpoint of %.100q", o.State, origin)
		}
	}
	return w, nil
}

// Close releases the lock.
func (w *Witness) Close() error { return w.lock.Close() }

// newestOf returns the newest checkpoint of a log. The caller holds mu.
func (w *Witness) newestOf(origin string) tree.Checkpoint {
	signed, found := w.newest[origin]
	if !found {
		return tree.Checkpoint{Origin: origin, Root: sha256.Sum256(nil)} // the empty tree
	}
	c, _ := tree.ParseCheckpoint(signed) // Open or cosign has checked the checkpoint
	return c
}

// refusal is the reason why a checkpoint is not cosigned.
type refusal struct {
	status int
	why    string
	known  int64  // the size of the newest checkpoint, for the status 409
	log    string // the origin in the checkpoint
}

func (r *refusal) Error() string { return r.why }

// cosign checks a checkpoint, stores it, and returns the line with the cosignature.
func (w *Witness) cosign(r request) ([]byte, error) {
	origin, _, _ := strings.Cut(r.checkpoint, "\n")
	keys := w.keys[origin]
	if len(keys) == 0 {
		return nil, &refusal{status: 404, why: "unknown log"}
	}
	c, opened, err := tree.OpenCheckpoint([]byte(r.checkpoint), keys...)
	if err != nil {
		_, unverified := errors.AsType[*note.UnverifiedNoteError](err)
		_, invalid := errors.AsType[*note.InvalidSignatureError](err)
		if unverified || invalid {
			return nil, &refusal{status: 403, why: "no valid signature of the log"}
		}
		return nil, &refusal{status: 400, why: "malformed checkpoint"}
	}
	if r.old > c.Size {
		return nil, &refusal{status: 400, why: "the old size is greater than the size of the checkpoint"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.newestOf(origin)
	if c.Size == known.Size && c.Root != known.Root {
		if missed, ok := w.loud[origin].Allow(w.Now()); ok {
			w.Log.Error("a log has two histories: it signed two different trees of the same size", "log", origin, "size", c.Size,
				"cosigned", w.newest[origin], "refused", r.checkpoint, loglimit.Missed, missed)
		}
		return nil, &refusal{status: 409, why: "the log has already signed another tree of this size", known: known.Size}
	}
	if r.old != known.Size {
		return nil, &refusal{status: 409, why: "the old size is not the size of the newest checkpoint", known: known.Size}
	}
	if err := verifyConsistent(known, c, r.proof); err != nil {
		return nil, &refusal{status: 422, why: "the consistency proof does not hold: the proof is wrong, or the log changed its history"}
	}
	line, err := note.Sign(&note.Note{Text: opened.Text}, w.Signer)
	if err != nil {
		return nil, err
	}
	if w.newest[origin] == "" || c.Size > known.Size {
		if err := w.store(origin, r.checkpoint); err != nil {
			return nil, fmt.Errorf("storing the checkpoint of %s: %w", origin, err)
		}
		w.Log.Info("cosigned a checkpoint", "log", origin, "size", c.Size, "root", c.Root.String())
	}
	return bytes.TrimPrefix(line, []byte(opened.Text+"\n")), nil
}

// verifyConsistent verifies that the tree of the checkpoint c begins with the tree of the known
// checkpoint. If the known tree is empty, no proof is needed.
func verifyConsistent(known, c tree.Checkpoint, proof []tree.Hash) error {
	if known.Size > 0 {
		return tree.CheckConsistency(c, known, proof)
	}
	if len(proof) > 0 {
		return errors.New("a proof from the empty tree has no hashes")
	}
	return nil
}

// store stores a checkpoint durably. The caller holds mu.
func (w *Witness) store(origin, signed string) error {
	former, had := w.newest[origin]
	w.newest[origin] = signed
	content, err := json.MarshalIndent(w.newest, "", "  ")
	if err == nil {
		err = w.write(w.State, append(content, '\n'))
	}
	if err != nil {
		delete(w.newest, origin)
		if had {
			w.newest[origin] = former
		}
	}
	return err
}
