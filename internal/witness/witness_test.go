package witness

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/durable"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
)

// history is a log's tree that stores all hashes.
type history struct {
	key *notekey.Key
	all []tlog.Hash
}

func (h *history) ReadHashes(indexes []int64) (found []tlog.Hash, err error) {
	for _, i := range indexes {
		found = append(found, h.all[i])
	}
	return found, nil
}

// newHistory returns a history. From the leaf number fork on, the leaves contain the name of the
// history.
func newHistory(t testing.TB, key *notekey.Key, name string, fork, size int64) *history {
	t.Helper()
	h := &history{key: key}
	for i := range size {
		data := fmt.Sprint("leaf ", i)
		if i >= fork {
			data += name
		}
		added, err := tlog.StoredHashes(i, []byte(data), h)
		if err != nil {
			t.Fatal(err)
		}
		h.all = append(h.all, added...)
	}
	return h
}

func (h *history) root(size int64) tree.Hash {
	root, err := tlog.TreeHash(size, h)
	if err != nil {
		panic(err)
	}
	return root
}

// request returns the body of a request. If old is smaller than size, the body has the
// consistency proof.
func (h *history) request(old, size int64) string {
	signed, err := tree.Checkpoint{Origin: h.key.Name(), Size: size, Root: h.root(size)}.Sign(h.key)
	if err != nil {
		panic(err)
	}
	body := fmt.Sprintf("old %d\n", old)
	if 0 < old && old < size {
		proof, err := tlog.ProveTree(size, old, h)
		if err != nil {
			panic(err)
		}
		for _, hash := range proof {
			body += hash.String() + "\n"
		}
	}
	return body + "\n" + string(signed)
}

func newKey(t testing.TB, name string) *notekey.Key {
	t.Helper()
	key, err := notekey.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// options returns the options of a new witness of a log.
func options(t testing.TB, folder string, witness, log *notekey.Key) Options {
	t.Helper()
	verifier, err := note.NewVerifier(log.Public())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{State: filepath.Join(folder, "state"), Logs: []note.Verifier{verifier}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return noon }}
	o.Signer = witness.Cosigner(o.Now)
	if err := Create(o.State); err != nil {
		t.Fatal(err)
	}
	return o
}

func open(t testing.TB, o Options) *Witness {
	t.Helper()
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func post(w *Witness, body string) *http.Response {
	recorded := httptest.NewRecorder()
	w.Handler().ServeHTTP(recorded, httptest.NewRequest("POST", "/add-checkpoint", strings.NewReader(body)))
	return recorded.Result()
}

func textOf(r *http.Response) string {
	var b bytes.Buffer
	_, _ = b.ReadFrom(r.Body)
	return b.String()
}

func TestProtocol(t *testing.T) {
	key, witness := newKey(t, "log.example.com/journal"), newKey(t, "witness.example.com/w1")
	honest, fork := newHistory(t, key, "", 0, 20), newHistory(t, key, "fork", 5, 20)
	unknown, forger := newHistory(t, newKey(t, "other"), "", 0, 20), newHistory(t, newKey(t, key.Name()), "", 0, 20)
	o := options(t, t.TempDir(), witness, key)
	var logged bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&logged, nil))
	w := open(t, o)
	verifier, err := notekey.WitnessVerifier(witness.WitnessPublic())
	if err != nil {
		t.Fatal(err)
	}
	forged := honest.request(7, 9)
	forged = strings.Replace(forged, "\n9\n", "\n8\n", 1)
	// No honest log has a tree of this size.
	impossible, err := tree.Checkpoint{Origin: key.Name(), Size: 1<<62 + 1}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, body string
		status     int
		known      string // the body of the answer to a conflict
	}{
		{"the first checkpoint has a wrong old size", honest.request(3, 7), 409, "0\n"},
		{"the first checkpoint has a proof", strings.Replace(honest.request(0, 7), "\n\n", "\n"+tlog.Hash{}.String()+"\n\n", 1), 422, ""},
		{"the first checkpoint", honest.request(0, 7), 200, ""},
		{"the same checkpoint again", honest.request(7, 7), 200, ""},
		{"the same checkpoint, with the old size before it", honest.request(0, 7), 409, "7\n"},
		{"an older checkpoint", honest.request(7, 6), 400, ""},
		{"an older checkpoint, with an older size", honest.request(3, 6), 409, "7\n"},
		{"the same size with another root", fork.request(7, 7), 409, "7\n"},
		{"a forked history", fork.request(7, 9), 422, ""},
		{"no proof", strings.Join(strings.SplitN(honest.request(7, 9), "\n\n", 2)[1:], ""), 400, ""},
		{"a proof that is empty", "old 7\n\n" + strings.SplitN(honest.request(7, 9), "\n\n", 2)[1], 422, ""},
		{"a log that is not configured", unknown.request(0, 7), 404, ""},
		{"another key of the same name", forger.request(7, 9), 403, ""},
		{"a changed checkpoint", forged, 403, ""},
		{"nothing", "", 400, ""},
		{"no old size", strings.TrimPrefix(honest.request(7, 9), "old 7\n"), 400, ""},
		{"a negative old size", strings.Replace(honest.request(7, 9), "old 7", "old -7", 1), 400, ""},
		{"an old size with a zero before it", strings.Replace(honest.request(7, 9), "old 7", "old 07", 1), 400, ""},
		{"a line that is no hash", "old 7\nhash\n\n" + strings.SplitN(honest.request(7, 9), "\n\n", 2)[1], 400, ""},
		{"too many hashes", "old 7\n" + strings.Repeat(tlog.Hash{}.String()+"\n", 64) + "\n" + strings.SplitN(honest.request(7, 9), "\n\n", 2)[1], 400, ""},
		{"a tree of an impossible size", fmt.Sprintf("old 7\n%s\n\n%s", tlog.Hash{}, impossible), 400, ""},
		{"a checkpoint without signatures", "old 7\n\n" + key.Name() + "\n9\n" + honest.root(9).String() + "\n", 400, ""},
		{"a large request", strings.Repeat("x", maxBody+1), 413, ""},
		{"a newer checkpoint", honest.request(7, 20), 200, ""},
	} {
		answer := post(w, tt.body)
		got := textOf(answer)
		if answer.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.what, answer.StatusCode, tt.status, got)
		}
		switch tt.status {
		case 409:
			if got != tt.known || answer.Header.Get("Content-Type") != "text/x.tlog.size" {
				t.Errorf("%s: %q as %s, want %q", tt.what, got, answer.Header.Get("Content-Type"), tt.known)
			}
		case 200:
			_, checkpoint, _ := strings.Cut(tt.body, "\n\n")
			n, err := note.Open([]byte(checkpoint+got), note.VerifierList(verifier))
			if err != nil || notekey.Describe(n.Sigs[0]) != "witness.example.com/w1 at 2026-11-30T12:00:00Z" {
				t.Errorf("%s: %q is not a cosignature: %v", tt.what, got, err)
			}
		}
	}
	if n := strings.Count(logged.String(), "level=ERROR msg=\"a log has two histories"); n != 1 {
		t.Errorf("two histories are logged %d times: %s", n, logged.String())
	}
	if !strings.Contains(logged.String(), fork.root(7).String()) || !strings.Contains(logged.String(), honest.root(7).String()) {
		t.Errorf("the log line does not have both checkpoints: %s", logged.String())
	}
}

func TestARestartKeepsTheState(t *testing.T) {
	key, witness := newKey(t, "log"), newKey(t, "w")
	honest, fork := newHistory(t, key, "", 0, 9), newHistory(t, key, "fork", 5, 9)
	o := options(t, t.TempDir(), witness, key)
	w := open(t, o)
	if got := post(w, honest.request(0, 7)); got.StatusCode != 200 {
		t.Fatal(got.Status)
	}
	if second, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v, %v", second, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, o)
	for body, status := range map[string]int{fork.request(0, 7): 409, fork.request(7, 7): 409, fork.request(7, 8): 422, honest.request(7, 7): 200} {
		if got := post(w, body); got.StatusCode != status {
			t.Errorf("%s, want %d", got.Status, status)
		}
	}
}

func TestStatesThatCannotBeOpened(t *testing.T) {
	key := newKey(t, "log")
	for content, want := range map[string]string{
		"":                    "is damaged",
		"null":                "is damaged",
		`{"log":"log\n1"}`:    "is damaged",
		`{"log":"a\n0\nx\n"}`: "is damaged",
	} {
		o := options(t, t.TempDir(), newKey(t, "w"), key)
		if err := durable.WriteFile(o.State, []byte(content), 0o600, true); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	o := options(t, t.TempDir(), newKey(t, "w"), key)
	o.State += "2"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Open(options(t, t.TempDir(), newKey(t, "log"), key)); err == nil || !strings.Contains(err.Error(), "same name") {
		t.Errorf("a witness with the name of the log: %v", err)
	}
}

// After a crash between the write and the answer, the witness has stored a checkpoint, but nobody
// has its cosignature. The log can still continue.
func TestAfterAWriteWithoutAnAnswerTheLogCanGoOn(t *testing.T) {
	key := newKey(t, "log")
	honest, fork := newHistory(t, key, "", 0, 9), newHistory(t, key, "fork", 0, 9)
	o := options(t, t.TempDir(), newKey(t, "w"), key)
	broken := o
	broken.write = func(path string, content []byte) error {
		return errors.Join(durable.WriteFile(path, content, 0o600, true), errors.New("killed"))
	}
	w := open(t, broken)
	if got := post(w, honest.request(0, 7)); got.StatusCode != 500 || strings.Contains(textOf(got), "killed") {
		t.Fatal(got.Status)
	}
	w.Close()
	w = open(t, o)
	if got := post(w, fork.request(0, 7)); got.StatusCode != 409 {
		t.Errorf("a fork: %s", got.Status)
	}
	if got := post(w, honest.request(0, 8)); got.StatusCode != 409 || textOf(got) != "7\n" {
		t.Errorf("the old size: %s", got.Status)
	}
	if got := post(w, honest.request(7, 8)); got.StatusCode != 200 {
		t.Errorf("the next checkpoint: %s", got.Status)
	}
}

// If concurrent requests have different histories, the witness cosigns only checkpoints of one
// history.
func TestConcurrentRequestsOfTwoHistories(t *testing.T) {
	key := newKey(t, "log")
	w := open(t, options(t, t.TempDir(), newKey(t, "w"), key))
	var all sync.WaitGroup
	cosigned := make([]bool, 8)
	for i := range cosigned {
		h := newHistory(t, key, fmt.Sprint(i), 0, 4)
		all.Go(func() { cosigned[i] = post(w, h.request(0, 4)).StatusCode == 200 })
	}
	all.Wait()
	n := 0
	for _, ok := range cosigned {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the witness has cosigned %d histories, want 1", n)
	}
}

// All cosigned checkpoints belong to one history. This holds for all requests in any order, after
// restarts, after failed writes, and after writes that returned an error but were stored.
func TestPropertyCosignedCheckpointsAreConsistent(t *testing.T) {
	key, witness := newKey(t, "log"), newKey(t, "w")
	const size = 12
	histories := []*history{newHistory(t, key, "", 0, size), newHistory(t, key, "b", 4, size), newHistory(t, key, "c", 0, size)}
	type cosigned struct {
		of   *history
		size int64
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := options(t, t.TempDir(), witness, key)
		fault := "none"
		o.write = func(path string, content []byte) error {
			switch fault {
			case "failed":
				return errors.New("failed")
			case "kept":
				return errors.Join(durable.WriteFile(path, content, 0o600, true), errors.New("failed"))
			}
			return durable.WriteFile(path, content, 0o600, true)
		}
		w := open(t, o)
		defer func() { w.Close() }()
		var all []cosigned
		for range rapid.IntRange(1, 30).Draw(rt, "requests") {
			if rapid.IntRange(0, 5).Draw(rt, "restart") == 0 {
				w.Close()
				w = open(t, o)
			}
			fault = rapid.SampledFrom([]string{"none", "none", "failed", "kept"}).Draw(rt, "fault")
			h := rapid.SampledFrom(histories).Draw(rt, "history")
			to := rapid.Int64Range(1, size).Draw(rt, "size")
			old := w.newestOf(key.Name()).Size
			if rapid.IntRange(0, 3).Draw(rt, "other") == 0 {
				old = rapid.Int64Range(0, size).Draw(rt, "old")
			}
			if post(w, h.request(old, to)).StatusCode == 200 {
				all = append(all, cosigned{h, to})
			}
		}
		for _, a := range all {
			for _, b := range all {
				if a.size <= b.size && a.of.root(a.size) != b.of.root(a.size) {
					rt.Fatalf("cosigned trees of %d and %d leaves are inconsistent", a.size, b.size)
				}
			}
		}
	})
}
