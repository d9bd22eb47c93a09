package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
)

// postgresLocation is the address of a PostgreSQL database.
type postgresLocation struct {
	name         string // hosts and database
	config       *pgx.ConnConfig
	passwordFile string // file that holds the password; may be ""
}

// String returns the hosts and the database, without user and password.
func (s postgresLocation) String() string { return s.name }

// parsePostgres parses a PostgreSQL URL. It discards the driver's errors, because they could
// contain the password.
func parsePostgres(text string) (location, error) {
	beside, query, _ := strings.Cut(text, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("reading database URL: invalid options after the question mark")
	}
	var s postgresLocation
	if options.Has("password_file") {
		if s.passwordFile, err = filepath.Abs(options.Get("password_file")); err != nil {
			return nil, fmt.Errorf("reading database URL: %w", err)
		}
		options.Del("password_file")
	}
	if file := options.Get("passfile"); file != "" {
		if _, err := os.Stat(file); err != nil { // the driver would ignore a missing file
			return nil, fmt.Errorf("reading database URL: passfile: %w", err)
		}
	}
	chosen := options.Has("sslmode") || os.Getenv("PGSSLMODE") != ""
	if s.config, err = pgx.ParseConfig(joined(beside, options)); err != nil {
		return nil, errors.New("reading database URL: expected postgres://user@host:5432/database?sslmode=verify-full, " +
			"or it names a file that cannot be read")
	}
	if !chosen {
		// The driver's default tries TLS, accepts any certificate, and falls back to plain
		// text. Anyone between the two machines could then read the password.
		mode := "disable"
		if s.isRemote() {
			mode = "verify-full"
		}
		options.Set("sslmode", mode)
		if s.config, err = pgx.ParseConfig(joined(beside, options)); err != nil {
			return nil, errors.New("reading database URL: it contradicts sslmode=" + mode)
		}
	}
	if s.config.Database == "" {
		return nil, errors.New("reading database URL: it has no database name")
	}
	if s.config.ConnectTimeout == 0 {
		s.config.ConnectTimeout = dialFor
		s.config.DialFunc = (&net.Dialer{Timeout: dialFor, KeepAlive: 15 * time.Second}).DialContext
	}
	s.name = fmt.Sprintf("postgres://%s/%s", strings.Join(s.hosts(), ","), s.config.Database)
	return s, nil
}

func joined(beside string, options url.Values) string {
	if len(options) == 0 {
		return beside
	}
	return beside + "?" + options.Encode()
}

// hosts returns the hosts of all servers in the URL.
func (s postgresLocation) hosts() []string {
	list := []string{s.config.Host}
	for _, f := range s.config.Fallbacks {
		list = append(list, f.Host)
	}
	return slices.Compact(list)
}

// isRemote reports whether a server may be on another machine. Such a server has an address that
// is neither a Unix socket nor a loopback address.
func (s postgresLocation) isRemote() bool {
	return slices.ContainsFunc(s.hosts(), func(host string) bool {
		return !strings.HasPrefix(host, "/") && !endpoint.Local(host)
	})
}

// explain wraps an error of PostgreSQL or of the network with the matching error of this
// package. PostgreSQL's errors are mapped by the classes in appendix A of its manual. Other
// errors are returned unchanged.
func (s postgresLocation) explain(err error) error {
	if err == nil || isExplained(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		return explainCode(failure, err)
	}
	// the driver has no error value for this case
	if strings.Contains(fmt.Sprint(err), "server refused TLS connection") {
		return fmt.Errorf("%w (if the network can be trusted, add sslmode=disable to the URL)", unreachable(err))
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err) // includes timeouts
	// The connection was closed before the statement was sent.
	closed := errors.Is(err, pgconn.ErrConnClosed)
	if connecting || network || closed || isBroken(err) {
		return unreachable(err)
	}
	return err
}

func explainCode(failure *pgconn.PgError, err error) error {
	switch code := failure.Code; {
	case code == "53100": // disk_full
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case code == "3D000": // invalid_catalog_name
		return fmt.Errorf("%w (create it with CREATE DATABASE … OWNER …)", err)
	case code == "42P01", code == "3F000": // undefined_table, invalid_schema_name
		return fmt.Errorf("%w: its tables are gone: %w", ErrReplaced, err)
	case code == "XX001", code == "XX002": // data_corrupted, index_corrupted
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case code == "42501": // insufficient_privilege
		return fmt.Errorf("%w (its user must own the database)", err)
	case code == "40001", code == "40P01", // serialization_failure, deadlock_detected
		code == "55P03", code == "57014": // lock_not_available, query_canceled (statement_timeout)
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "53"), // connections, resources
		// The server is shutting down or starting up, or it has ended the session because of
		// idle_in_transaction_session_timeout.
		strings.HasPrefix(code, "57P"), code == "25P03",
		code == "25006": // read_only_sql_transaction: a standby
		return unreachable(err)
	}
	return err
}

// dialWithTimeout returns a function that dials connections on which the server must answer within
// the timeout. Deadlines of contexts are not enough, because some callers have no deadline. If the
// server is stopped or the network drops packets, these callers would be blocked until TCP gives
// up.
func dialWithTimeout(dial pgconn.DialFunc, timeout time.Duration) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: conn, timeout: timeout}, nil
	}
}

// patientConn sets a deadline for each read, if the driver has not set one.
type patientConn struct {
	net.Conn
	timeout time.Duration

	mu    sync.Mutex
	bound bool // the driver has set a deadline, to interrupt a read
}

func (c *patientConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if !c.bound {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
			c.mu.Unlock()
			return 0, err
		}
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}

func (c *patientConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

// isBroken reports whether a connection ended without an error message.
func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
