package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// The breaker of a server: after so many failures in a row it is not asked for a while, so that nobody
// waits for it; then one request tries, and the others still do without.
const (
	maxFailures = 3
	cooldown    = 10 * time.Second
)

// server is one of a directory's, and what is known of its health.
type server struct {
	url, host, address string
	tls, startTLS      bool
	catalog            bool // a global catalog of Active Directory
	config             *tls.Config
	account            string // bound as by readers; "": they are nobody
	passwordFile       string
	timeout            time.Duration
	log                *slog.Logger
	now                func() time.Time

	mu       sync.Mutex
	failures int        // in a row
	cooling  clock.Span // it is not asked before then, if failures are too many
	trying   bool       // one request tries whether it is back
	last     error
}

// errCooldown means that a server is not asked for now.
var errCooldown = errors.New("not asked again yet")

// allow says whether the server may be asked: nil, or why not. Who was allowed tells how it went, by
// answered, failed or abandoned.
func (s *server) allow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures < maxFailures {
		return nil
	}
	if s.trying || s.cooling.Holds(s.now()) {
		return fmt.Errorf("%w, after %d failures: %w", errCooldown, s.failures, s.last)
	}
	s.trying = true
	return nil
}

func (s *server) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures >= maxFailures {
		s.log.Info("a directory's server answers again", "server", s.url)
	}
	s.failures, s.trying, s.last = 0, false, nil
}

func (s *server) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	s.trying, s.last = false, err
	s.cooling = clock.For(s.now(), cooldown)
	if s.failures == maxFailures {
		s.log.Warn("a directory's server does not answer", "server", s.url, "error", err)
	}
}

// abandoned takes back what allow allowed, when nobody waits for the answer any more.
func (s *server) abandoned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying = false
}

// dial connects, encrypted if it is to be, and as the service account if it is to look people up.
// It never goes on unencrypted where encryption failed. Whatever a server answers here is about us and
// not about who asks: each error is a dialError.
func (s *server) dial(ctx context.Context, k kind) (*conn, error) {
	plain, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, &dialError{"connecting", err}
	}
	c, err := newConn(ctx, s, k, plain)
	if err != nil {
		_ = plain.Close()
		return nil, &dialError{"encrypting", err}
	}
	if k != reader || s.account == "" {
		return c, nil
	}
	password, err := readPassword(s.passwordFile)
	if err == nil {
		err = c.run(ctx, func() error { return c.ldap.Bind(s.account, password) })
	}
	if err != nil {
		c.close()
		return nil, &dialError{"signing in as " + s.account, err}
	}
	return c, nil
}

// dialError means that there is no connection that could be asked: an outage.
type dialError struct {
	doing string
	err   error
}

func (e *dialError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }
