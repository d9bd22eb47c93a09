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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// server is where a database of PostgreSQL lies.
type server struct {
	name         string // hosts and database
	config       *pgx.ConnConfig
	passwordFile string // ""; else it holds the password
}

// String returns the hosts and the database: never who connects, nor with what.
func (s server) String() string { return s.name }

// parseServer reads a database URL of PostgreSQL. What the driver says about a URL could repeat a password: it
// is not shown.
func parseServer(text string) (location, error) {
	beside, query, _ := strings.Cut(text, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("reading database URL: what follows the question mark is no list of options")
	}
	var s server
	if options.Has("password_file") {
		if s.passwordFile, err = filepath.Abs(options.Get("password_file")); err != nil {
			return nil, fmt.Errorf("reading database URL: %w", err)
		}
		options.Del("password_file")
	}
	if file := options.Get("passfile"); file != "" {
		if _, err := os.Stat(file); err != nil { // the driver would go on without
			return nil, fmt.Errorf("reading database URL: passfile: %w", err)
		}
	}
	chosen := options.Has("sslmode") || os.Getenv("PGSSLMODE") != ""
	if s.config, err = pgx.ParseConfig(joined(beside, options)); err != nil {
		return nil, errors.New("reading database URL: it is not like postgres://user@host:5432/database?sslmode=verify-full, " +
			"or names a file that can't be read")
	}
	if !chosen {
		// The driver would try TLS, believe any certificate, and go on in the clear where there is none: whoever
		// sits on the way would get the password.
		mode := "disable"
		if s.remote() {
			mode = "verify-full"
		}
		options.Set("sslmode", mode)
		if s.config, err = pgx.ParseConfig(joined(beside, options)); err != nil {
			return nil, errors.New("reading database URL: it does not go with sslmode=" + mode)
		}
	}
	if s.config.Database == "" {
		return nil, errors.New("reading database URL: it names no database")
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

// hosts names all servers that the URL does.
func (s server) hosts() []string {
	list := []string{s.config.Host}
	for _, f := range s.config.Fallbacks {
		if f.Host != list[len(list)-1] {
			list = append(list, f.Host)
		}
	}
	return list
}

// remote says whether a server is on another machine: not behind a socket in a folder, nor at a loopback address.
func (s server) remote() bool {
	for _, host := range s.hosts() {
		ip := net.ParseIP(host)
		if !strings.HasPrefix(host, "/") && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return true
		}
	}
	return false
}

// explain knows the errors of PostgreSQL, whose classes are those of its manual, appendix A, and those of the way
// there.
func (s server) explain(err error) error {
	if err == nil || named(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		return explainCode(failure, err)
	}
	if strings.Contains(fmt.Sprint(err), "server refused TLS connection") { // the driver has no value for it
		return fmt.Errorf("%w (if the way there can be trusted, say so in its URL: sslmode=disable)", unreachable(err))
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)    // its time limits, too
	closed := errors.Is(err, pgconn.ErrConnClosed) // seen before this statement was sent
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
		return fmt.Errorf("%w (make it: CREATE DATABASE … OWNER …)", err)
	case code == "42P01", code == "3F000": // undefined_table, invalid_schema_name
		return fmt.Errorf("%w: its tables are gone: %w", ErrReplaced, err)
	case code == "XX001", code == "XX002": // data_corrupted, index_corrupted
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case code == "42501": // insufficient_privilege
		return fmt.Errorf("%w (its user must own the database)", err)
	case code == "40001", code == "40P01", // serialization_failure, deadlock_detected
		code == "55P03", code == "57014": // lock_not_available, and what the time limit of a statement says
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "53"), // connections, resources
		strings.HasPrefix(code, "57P"), code == "25P03", // shutting down, starting up; a transaction that waited too long
		code == "25006": // read_only_sql_transaction: a standby
		return unreachable(err)
	}
	return err
}

// patient makes connections whose server has so long for each answer. Time limits of contexts do not do: some
// callers have none, and a server that has stopped, or a way that swallows packets, would hold them up for as long as TCP tries.
func patient(dial pgconn.DialFunc, within time.Duration) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: conn, within: within}, nil
	}
}

// patientConn bounds each read that the driver has put no bound to.
type patientConn struct {
	net.Conn
	within time.Duration

	mu    sync.Mutex
	bound bool // the driver has set a deadline, as it does to interrupt
}

func (c *patientConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if !c.bound {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.within)); err != nil {
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

// isBroken says whether a connection ended without a word.
func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
