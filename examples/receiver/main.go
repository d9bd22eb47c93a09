// Command receiver receives the messages of a webhook of Tidewaiter, verifies their signatures, and
// prints a line for each push. You can copy this program. It needs only the standard library.
// docs/webhooks.md describes the messages.
//
//	go run ./examples/receiver --listen 127.0.0.1:9001 --secret ./ci-webhook
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address to listen at; for a Tidewaiter on another machine, add a proxy with TLS")
	file := flag.String("secret", "ci-webhook", "file with the secret of the webhook (whsec_…)")
	flag.Parse()
	if err := run(*listen, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the secret: %w", err)
	}
	r, err := newReceiver(strings.TrimSpace(string(text)), os.Stdout)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: listen, Handler: r, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

const (
	maxBody = 1 << 20
	// maximum difference between the time of a message and this machine's clock
	maxDelay = 5 * time.Minute
	maxSeen  = 10_000
)

// receiver handles the messages of a webhook.
type receiver struct {
	key []byte
	out io.Writer
	now func() time.Time

	mu    sync.Mutex
	seen  map[string]bool // the ids of the last messages
	order []string        // of these ids
}

func newReceiver(secret string, out io.Writer) (*receiver, error) {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 {
		return nil, fmt.Errorf("the secret is not whsec_ and the base64 of at least 24 bytes")
	}
	return &receiver{key: key, out: out, now: time.Now, seen: make(map[string]bool)}, nil
}

// message is the part of a message that this program needs.
type message struct {
	Type string
	Data struct {
		Registry string
		Event    struct{ Repository, Tag, Digest, Actor string }
	}
}

// ServeHTTP answers 204 when the message was handled. After any other answer, Tidewaiter sends the
// message again later.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	id := q.Header.Get("webhook-id")
	if err != nil || !r.isGenuine(id, q.Header.Get("webhook-timestamp"), q.Header.Get("webhook-signature"), body) {
		http.Error(w, "the message is not genuine", http.StatusUnauthorized)
		return
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		http.Error(w, "the message is not JSON", http.StatusBadRequest)
		return
	}
	if r.isNew(id) && m.Type == "io.github.tidewaiter.event.push" {
		e := m.Data.Event
		fmt.Fprintf(r.out, "%q pushed %q %q with digest %q to %q\n", e.Actor, e.Repository, e.Tag, e.Digest, m.Data.Registry)
	}
	w.WriteHeader(http.StatusNoContent)
}

// isGenuine reports whether a message is recent and one of its signatures is valid. An attacker
// could have recorded an old message and sent it again.
func (r *receiver) isGenuine(id, timestamp, signatures string, body []byte) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || r.now().Sub(time.Unix(seconds, 0)).Abs() > maxDelay {
		return false
	}
	mac := hmac.New(sha256.New, r.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for signature := range strings.FieldsSeq(signatures) { // one for each secret of the webhook
		if hmac.Equal([]byte(signature), want) {
			return true
		}
	}
	return false
}

// isNew reports whether a message is received for the first time. Messages are sent at least once,
// so a message can arrive twice.
func (r *receiver) isNew(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return false
	}
	r.seen[id] = true
	if r.order = append(r.order, id); len(r.order) > maxSeen {
		delete(r.seen, r.order[0])
		r.order = r.order[1:]
	}
	return true
}
