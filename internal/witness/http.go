package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

const (
	// maxBody is the maximum size of a request: a checkpoint of some kilobytes, with a proof.
	maxBody = 64 << 10
	// maxProof is the maximum number of hashes in a consistency proof, according to the protocol.
	maxProof = 63
)

// request is the body of POST /add-checkpoint.
type request struct {
	old        int64 // size of the older tree of the consistency proof
	proof      []tree.Hash
	checkpoint string // the signed note
}

func parseRequest(body string) (r request, err error) {
	malformed := errors.New("invalid request: want a line with the old size, the hashes of the proof, an empty line, and the checkpoint")
	head, checkpoint, found := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	if !found || !isOld || len(lines)-1 > maxProof {
		return r, malformed
	}
	r.checkpoint = checkpoint
	if r.old, err = strconv.ParseInt(size, 10, 64); err != nil || r.old < 0 || strconv.FormatInt(r.old, 10) != size {
		return r, malformed
	}
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil || hash.String() != line {
			return r, malformed
		}
		r.proof = append(r.proof, hash)
	}
	return r, nil
}

// Handler serves POST /add-checkpoint.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.addCheckpoint)
	return mux
}

func (w *Witness) addCheckpoint(rw http.ResponseWriter, hr *http.Request) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	line, err := w.answer(http.MaxBytesReader(rw, hr.Body, maxBody))
	if err == nil {
		_, _ = rw.Write(line) // a client whose connection is lost can send the request again
		return
	}
	why, isRefused := errors.AsType[*refusal](err)
	if !isRefused {
		w.Log.Error("cosigning a checkpoint failed", "error", err)
		http.Error(rw, "internal error", http.StatusInternalServerError)
		return
	}
	if missed, ok := w.refusals.Allow(w.Now()); ok {
		w.Log.Warn("refused a checkpoint", "status", why.status, "reason", why.why, "log", text.Shorten(why.log, 200), loglimit.Missed, missed)
	}
	if why.status == http.StatusConflict {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(why.status)
		fmt.Fprintf(rw, "%d\n", why.known)
		return
	}
	http.Error(rw, why.why, why.status)
}

// answer reads a request, and returns the line with the cosignature.
func (w *Witness) answer(body io.Reader) ([]byte, error) {
	content, err := io.ReadAll(body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, why: "the request is too large"}
	}
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, why: "the request is incomplete"}
	}
	r, err := parseRequest(string(content))
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, why: err.Error()}
	}
	line, err := w.cosign(r)
	if why, isRefused := errors.AsType[*refusal](err); isRefused {
		why.log, _, _ = strings.Cut(r.checkpoint, "\n")
	}
	return line, err
}
