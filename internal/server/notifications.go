package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

const (
	// maxEnvelope is the maximum length of a body, in bytes. Registries send one event per
	// envelope. The largest known envelope has 60 kB: an event with references to the layers of a
	// large image.
	maxEnvelope = 4 << 20
	// maxText is the maximum length of the recorded part of an undecodable body, in bytes.
	maxText = 4 << 10
)

// errNotRecorded means that the events are not in the journal. The registry gets an error, so
// it posts them again.
var errNotRecorded = errors.New("events could not be written to the journal")

// sender is a Sender with its secret as a hash. Comparing hashes takes the same time for secrets
// of any length.
type sender struct {
	service, host string
	secret        [sha256.Size]byte
	open          bool // no secret: only loopback may post
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

// notifications records events of a registry, and answers when the events are on disk. A registry
// repeats a rejected envelope forever, and its later events wait in the queue. So this handler
// accepts everything that an authenticated registry sends, even text that cannot be decoded.
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
		s.recordRefusedEvents(r, registry, "the body is incomplete")
		return problem(http.StatusBadRequest, codeUnsupported, "the body is incomplete")
	}
	entries := s.entries(registry, body)
	if err := s.Journal.Append(r.Context(), entries...); err != nil {
		s.Metrics.Envelopes.WithLabelValues("unavailable").Inc()
		return fmt.Errorf("%w: %w", errNotRecorded, err)
	}
	for i := range entries {
		if a := s.activities[entries[i].Registry]; a != nil {
			a.recordEvent(s.Now())
		}
	}
	s.Metrics.Envelopes.WithLabelValues("taken").Inc()
	w.WriteHeader(http.StatusOK)
	return nil
}

// recordRefusedEvents records that events were refused. Anyone can post, so equal refusals from an
// address are only counted. The reason must not contain text from the request.
func (s *Server) recordRefusedEvents(r *http.Request, registry, reason string) {
	remote, _ := s.findClient(r)
	_, _ = s.Journal.RecordRefusal(journal.Entry{Time: s.Now(), Registry: registry, Service: &journal.Service{
		Action: "notification.refuse", Remote: remote, Client: tokenserver.ClientName(r.UserAgent()), Refused: reason,
	}}, false) // the journal counts and logs losses
}

// entries returns a journal entry for each event of a body, except pulls by Options.Own. For each
// undecodable part, it returns an entry with the text of this part.
func (s *Server) entries(registry string, body []byte) []journal.Entry {
	now := s.Now()
	events, bad, err := notification.Decode(body)
	if err != nil || len(body) > maxEnvelope {
		return []journal.Entry{{Time: now, Registry: registry, Text: body[:min(len(body), maxText)]}}
	}
	entries := make([]journal.Entry, 0, len(events)+len(bad))
	for i := range events {
		if s.Own != "" && events[i].Actor == s.Own && events[i].Action == notification.Pull {
			continue
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

// sender returns the registry that posts a request. It is the registry whose secret the request
// has. A request without a secret is accepted only from a program on this machine, and only for a
// registry that has no secret. If exactly one registry has no secret, sender returns this
// registry. If several registries have no secret, sender returns "", and the host in each event
// identifies the registry.
func (s *Server) sender(r *http.Request) (string, error) {
	if secret, ok := presentedSecret(r); ok {
		if service, ok := s.registryOf(secret); ok {
			return service, nil
		}
		if !s.Open {
			return "", problem(http.StatusUnauthorized, codeUnauthorized, "no registry has this secret").ofKind(wrongSecret)
		}
	}
	if !s.Open && !s.isLocal(r) {
		return "", problem(http.StatusUnauthorized, codeUnauthorized,
			"events need a registry's secret: set notifications.secret for the registry here, and the header \"Authorization: Bearer SECRET\" in its configuration").ofKind(wrongSecret)
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
		return "", problem(http.StatusUnauthorized, codeUnauthorized, "a secret is required, because every registry in the config has one").ofKind(wrongSecret)
	}
	return "", nil
}

// registryOf returns the registry that has the given secret. It compares the secret with the
// secrets of all registries, each in constant time.
func (s *Server) registryOf(secret string) (service string, ok bool) {
	sum := sha256.Sum256([]byte(secret))
	for i := range s.senders {
		if !s.senders[i].open && subtle.ConstantTimeCompare(s.senders[i].secret[:], sum[:]) == 1 {
			service, ok = s.senders[i].service, true
		}
	}
	return service, ok
}

// registryAt returns the registry without a secret whose Host equals the given host, or "".
func (s *Server) registryAt(host string) string {
	for i := range s.senders {
		if s.senders[i].open && host != "" && s.senders[i].host == host {
			return s.senders[i].service
		}
	}
	return ""
}

// presentedSecret returns the secret of "Authorization: Bearer SECRET", or of Basic with any
// name.
func presentedSecret(r *http.Request) (string, bool) {
	if _, secret, ok := r.BasicAuth(); ok {
		return secret, true
	}
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(value), ok
	}
	return "", ok
}
