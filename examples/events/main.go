// Command events prints a line for each push to a registry. A real consumer would start a scan
// or a deployment.
//
//	go run ./examples/events --secret ./secret
//
// Configure the registry with
//
//	notifications:
//	  endpoints:
//	    - { name: events, url: http://localhost:9004/, headers: { Authorization: ["Bearer SECRET"] } }
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9004", "address to listen at; for clients on other machines, add a proxy with TLS")
	file := flag.String("secret", "secret", "file with the secret that the registry sends")
	flag.Parse()
	secret, err := os.ReadFile(*file)
	if err == nil && strings.TrimSpace(string(secret)) == "" {
		err = fmt.Errorf("%s is empty", *file)
	}
	if err == nil {
		c := consumer{secret: strings.TrimSpace(string(secret)), out: os.Stdout}
		server := &http.Server{Addr: *listen, Handler: &c, ReadTimeout: 10 * time.Second}
		err = server.ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, "events:", err)
	os.Exit(1)
}

// consumer handles the notifications of a registry.
type consumer struct {
	secret string
	out    io.Writer

	mu sync.Mutex
	// seen has the ids of the newest events. If the response was late, the registry sends the
	// event again. With this list, the program does not print the event a second time.
	seen [1000]string
	next int
}

// maxBody is the maximum size of an envelope in bytes. Registries send one event in each envelope.
const maxBody = 4 << 20

// ServeHTTP answers 200 to every request, even if the request cannot be parsed. Otherwise the
// registry would send the same event again forever, and would send no later events. A real
// consumer writes events to disk before the response.
func (c *consumer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := tokenserver.Bearer(r)
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.secret))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		http.Error(w, "wrong secret", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	events, bad, err := notification.Decode(body)
	if err != nil {
		slog.Warn("body not understood", "error", err)
	}
	for _, b := range bad {
		slog.Warn("event not understood", "reason", b.Reason)
	}
	for _, e := range events {
		if e.Action == notification.Push && e.Tag != "" && c.isNew(e.ID) { // blobs have no tag
			fmt.Fprintln(c.out, e.Summary())
		}
	}
}

// isNew reports whether the id is not in seen, and adds the id to seen.
func (c *consumer) isNew(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seen := range c.seen {
		if id != "" && seen == id {
			return false
		}
	}
	c.seen[c.next] = id
	c.next = (c.next + 1) % len(c.seen)
	return true
}
