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

// Circuit breaker: after maxFailures consecutive failures a server is skipped during the cooldown,
// so no request waits for the server. After the cooldown, one request tests the server, and other
// requests still skip it.
const (
	maxFailures = 3
	cooldown    = 10 * time.Second
)

// server is one server of a directory and its health.
type server struct {
	url, host, address string
	tls, startTLS      bool
	catalog            bool // global catalog of Active Directory
	config             *tls.Config
	account            string // bind DN of readers; "": anonymous
	passwordFile       string
	timeout            time.Duration
	log                *slog.Logger
	now                func() time.Time

	mu       sync.Mutex
	failures int        // consecutive
	cooling  clock.Span // after maxFailures, the server is skipped during this span
	trying   bool       // a request tests whether the server answers again
	last     error
}

// errCooldown means that a server is skipped during the cooldown.
var errCooldown = errors.New("skipped for now")

// allow returns nil if the server may be asked. Otherwise it returns the reason. If it returns
// nil, the caller must call endAnswered, endFailed or endUnknown afterwards.
func (s *server) allow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures < maxFailures {
		return nil
	}
	if s.trying || s.cooling.Holds(s.now()) {
		return fmt.Errorf("%w after %d failures: %w", errCooldown, s.failures, s.last)
	}
	s.trying = true
	return nil
}

func (s *server) endAnswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures >= maxFailures {
		s.log.Info("LDAP server answers again", "server", s.url)
	}
	s.failures, s.trying, s.last = 0, false, nil
}

func (s *server) endFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	s.trying, s.last = false, err
	s.cooling = clock.For(s.now(), cooldown)
	if s.failures == maxFailures {
		s.log.Warn("LDAP server does not answer", "server", s.url, "error", err)
	}
}

// endUnknown ends a request whose result does not show whether the server works.
func (s *server) endUnknown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying = false
}

// dial connects, encrypts the connection if configured, and binds readers as the service account.
// It never falls back to an unencrypted connection. All errors are dialErrors, because in this
// phase an error in a server's answer is caused by Tidewaiter's configuration, not by the user.
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
		return nil, &dialError{"binding as " + s.account, err}
	}
	return c, nil
}

// dialError means that no connection could be made. It is an outage.
type dialError struct {
	doing string
	err   error
}

func (e *dialError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }
