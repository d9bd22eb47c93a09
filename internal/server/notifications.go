package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
)

const (
	// maxEnvelope bounds a body, in bytes. Registries send one event in an envelope; with its references
	// to the layers of a large image it is seen at 60 kB.
	maxEnvelope = 4 << 20
	// maxText is how much of a body that is no envelope is kept, in bytes.
	maxText = 4 << 10
)

// errNotTaken means that a registry has to post again what it posted.
var errNotTaken = errors.New("events could not be written to the journal")

// sender is a Sender whose secret is kept as a hash: comparing hashes takes the same time whatever the
// secrets' lengths.
type sender struct {
	service, host string
	secret        [sha256.Size]byte
	open          bool // no secret: from loopback only
}

func hideSenders(from []Sender) []sender {
	senders := make([]sender, len(from))
	for i, s := range from {
		senders[i] = sender{service: s.Service, host: s.Host, open: s.Secret.Reveal() == ""}
		if !senders[i].open {
			senders[i].secret = sha256.Sum256([]byte(s.Secret.Reveal()))
		}
	}
	return senders
}

// notifications takes what a registry reports, and answers when it is on disk. A registry repeats what
// was not taken, forever, and all later events wait behind it: so whatever an authenticated registry
// sends is taken, understood or not.
func (s *Server) notifications(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		e := problem(http.StatusMethodNotAllowed, codeUnsupported, "registries POST their events here").with("Allow", "POST")
		if wantsToken(w, r) {
			e.kind = wrongTokenPath
		}
		return e
	}
	registry, err := s.sender(r)
	if err != nil {
		s.Metrics.Envelopes.WithLabelValues("refused").Inc()
		return err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEnvelope+1))
	if err != nil {
		s.Metrics.Envelopes.WithLabelValues("broken").Inc()
		return problem(http.StatusBadRequest, codeUnsupported, "the body ended early")
	}
	entries := s.entries(registry, body)
	if err := s.Journal.Append(r.Context(), entries...); err != nil {
		s.Metrics.Envelopes.WithLabelValues("unavailable").Inc()
		return fmt.Errorf("%w: %w", errNotTaken, err)
	}
	for i := range entries {
		if a := s.activities[entries[i].Registry]; a != nil {
			a.reported(s.Now())
		}
	}
	s.Metrics.Envelopes.WithLabelValues("taken").Inc()
	w.WriteHeader(http.StatusOK)
	return nil
}

// entries makes journal entries of a body: one for each event, one text for each that is none.
func (s *Server) entries(registry string, body []byte) []journal.Entry {
	now := s.Now()
	events, bad, err := notification.Decode(body)
	if err != nil || len(body) > maxEnvelope {
		return []journal.Entry{{Time: now, Registry: registry, Text: body[:min(len(body), maxText)]}}
	}
	entries := make([]journal.Entry, 0, len(events)+len(bad))
	for i := range events {
		if events[i].Time.IsZero() {
			events[i].Time = now // of its arrival: the registry sent none. Repeats are found by the id alone.
		}
		of := registry
		if of == "" {
			of = s.registryAt(events[i].Request.Host)
		}
		entries = append(entries, journal.Entry{Time: now, Registry: of, Event: &events[i]})
	}
	for _, b := range bad {
		entries = append(entries, journal.Entry{Time: now, Registry: registry, Text: b.Text})
	}
	return entries
}

// sender says which registry posts: the one whose secret it is. Without a secret only this machine may
// post, and only for registries that have none: the only one of them, or "", which leaves it to each
// event's host.
func (s *Server) sender(r *http.Request) (string, error) {
	if secret, ok := shownSecret(r); ok {
		if service, ok := s.registryOf(secret); ok {
			return service, nil
		}
		if !s.Open {
			return "", problem(http.StatusUnauthorized, codeUnauthorized, "this is the secret of no registry").of(wrongSecret)
		}
	}
	if !s.Open && !s.local(r) {
		return "", problem(http.StatusUnauthorized, codeUnauthorized,
			"events need a registry's secret: set notifications.secret for the registry here, and the header \"Authorization: Bearer SECRET\" in its configuration").of(wrongSecret)
	}
	without, service := 0, ""
	for i := range s.senders {
		if s.senders[i].open {
			without, service = without+1, s.senders[i].service
		}
	}
	switch {
	case without == 1:
		return service, nil
	case without == 0 && !s.Open:
		return "", problem(http.StatusUnauthorized, codeUnauthorized, "every registry here has a secret, and none was sent").of(wrongSecret)
	}
	return "", nil
}

// registryOf finds the registry whose secret was sent. It looks at all of them, in constant time each.
func (s *Server) registryOf(secret string) (service string, ok bool) {
	sum := sha256.Sum256([]byte(secret))
	for i := range s.senders {
		if !s.senders[i].open && subtle.ConstantTimeCompare(s.senders[i].secret[:], sum[:]) == 1 {
			service, ok = s.senders[i].service, true
		}
	}
	return service, ok
}

// registryAt finds the registry without a secret that is addressed as host; "" if there is none.
func (s *Server) registryAt(host string) string {
	for i := range s.senders {
		if s.senders[i].open && host != "" && s.senders[i].host == host {
			return s.senders[i].service
		}
	}
	return ""
}

// shownSecret returns the secret of an Authorization: Bearer SECRET, or Basic with any name.
func shownSecret(r *http.Request) (string, bool) {
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok {
		return "", false
	}
	value = strings.TrimSpace(value)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return value, true
	case strings.EqualFold(scheme, "Basic"):
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", true
		}
		_, secret, _ := strings.Cut(string(text), ":")
		return secret, true
	}
	return "", true
}
