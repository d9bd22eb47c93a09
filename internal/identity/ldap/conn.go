package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// kind is what a connection is for. They are kept apart, so that nobody ever looks something up as
// whoever bound last.
type kind uint8

const (
	reader kind = iota // bound as the service account, once
	binder             // bound as one person after another
)

// conn is a connection. One goroutine uses it at a time.
type conn struct {
	server *server
	kind   kind
	wire   *wire
	ldap   *ldap.Conn
	idle   time.Time // since when, in the pool

	contexts     []string // naming contexts of the server, see searchBases
	contextsHold clock.Span
}

// maxAnswer bounds what a server may send in answer to one request, in bytes: 1,000 groups with
// names of a kilobyte, many times over.
const maxAnswer = 16 << 20

// wire is the connection below TLS. It ends when a server sends more than anybody asked for, which
// would else fill the memory.
type wire struct {
	net.Conn
	left atomic.Int64
	sent atomic.Int64 // bytes that left this process
}

var errFlood = errors.New("the server sends more than was asked for")

func (w *wire) Read(p []byte) (int, error) {
	left := w.left.Load()
	if left <= 0 {
		return 0, errFlood
	}
	n, err := w.Conn.Read(p[:min(int64(len(p)), left)])
	w.left.Add(-int64(n))
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent.Add(int64(n))
	return n, err
}

// newConn encrypts a connection, if that is wanted.
func newConn(ctx context.Context, s *server, k kind, plain net.Conn) (*conn, error) {
	c := &conn{server: s, kind: k, wire: &wire{Conn: plain}}
	c.wire.left.Store(maxAnswer)
	var over net.Conn = c.wire
	if s.tls {
		secured := tls.Client(c.wire, s.config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		over = secured
	}
	c.ldap = ldap.NewConn(over, s.tls)
	c.ldap.SetTimeout(s.timeout) // the library's own, beside that of run
	c.ldap.Start()
	if s.startTLS {
		if err := c.run(ctx, func() error { return c.ldap.StartTLS(s.config) }); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// run calls the library, which knows no contexts: when ctx ends, the connection does, and f with it.
func (c *conn) run(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.wire.left.Store(maxAnswer)
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	err := f()
	if !stop() { // it has ended, or is about to
		c.close()
		if err != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
	return err
}

func (c *conn) close() {
	_ = c.wire.Close() // first: whatever waits for the network stops waiting
	_ = c.ldap.Close()
}

// usable says whether the connection is still there, as far as it is known.
func (c *conn) usable() bool { return !c.ldap.IsClosing() }

// bind tries a password. It is ErrRejected if the directory refuses it: wrong, disabled, expired or locked. So it is if the
// directory takes an expired password for one of the last times (a grace login): these are for changing it, which cannot be
// done here, and a client that signs in by itself would use them all up before anybody notices.
func (c *conn) bind(dn, secret string) error {
	if secret == "" || dn == "" {
		return identity.Rejected("the password is empty") // either would be "nobody", and succeed
	}
	// The control asks for what a password policy has to say. OpenLDAP lets somebody bind whose password was reset, and then refuses
	// everything but a change of it.
	answer, err := c.ldap.SimpleBind(&ldap.SimpleBindRequest{
		Username: dn, Password: secret, Controls: []ldap.Control{ldap.NewControlBeheraPasswordPolicy()},
	})
	if ldap.IsErrorAnyOf(err,
		ldap.LDAPResultInvalidCredentials,
		ldap.LDAPResultInappropriateAuthentication, // it has no password
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax,
		ldap.LDAPResultConstraintViolation,      // locked, to 389
		ldap.LDAPResultUnwillingToPerform,       // disabled, to 389
		ldap.LDAPResultInsufficientAccessRights, // it may not bind
	) {
		return identity.Rejected("the directory refused the password: it is wrong, or the entry is locked or has ended")
	}
	if err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	for _, control := range answer.Controls {
		p, ok := control.(*ldap.ControlBeheraPasswordPolicy)
		why := ""
		switch {
		case ok && p.Error == ldap.BeheraChangeAfterReset:
			why = "the password was reset, and has to be changed first"
		case ok && p.Grace >= 0:
			why = fmt.Sprintf("the password has expired, and a grace login was used: %d are left to change it", p.Grace)
		}
		if why != "" {
			c.server.log.Info("refused: the entry is not in use", "dn", dn, "because", why)
			return &identity.DisabledError{Why: why}
		}
	}
	return nil
}

// errTooMany means that there is more than was asked for.
var errTooMany = errors.New("the directory has more than that")

// search returns the entries; references to other servers are left out. It is errTooMany where there
// are more than the request's limit.
func (c *conn) search(request *ldap.SearchRequest) ([]*ldap.Entry, error) {
	request.EnforceSizeLimit = true
	request.TimeLimit = int(max(time.Second, c.server.timeout) / time.Second)
	result, err := c.ldap.Search(request)
	switch {
	case errors.Is(err, ldap.ErrSizeLimitExceeded):
		c.close() // the server goes on sending, and nobody reads it
		return nil, errTooMany
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded):
		return nil, errTooMany
	case err != nil:
		return nil, err
	}
	return result.Entries, nil
}

// pageSize is how many entries are asked for at once. Active Directory sends at most 1,000, OpenLDAP 500.
const pageSize = 200

// found is what a search found.
type found struct {
	entries    []*ldap.Entry
	references []string // to other servers, which may have more
}

// searchAll returns all entries, page by page. It is errTooMany where there are more than most. Where the server stops
// at a limit of its own it is an *ldap.Error with LDAPResultSizeLimitExceeded, beside what was found until then.
func (c *conn) searchAll(request *ldap.SearchRequest, most int) (all found, err error) {
	request.TimeLimit = int(max(time.Second, c.server.timeout) / time.Second)
	paging := ldap.NewControlPaging(pageSize)
	request.Controls = []ldap.Control{paging}
	for {
		result, err := c.ldap.Search(request)
		if result != nil {
			all.entries, all.references = append(all.entries, result.Entries...), append(all.references, result.Referrals...)
		}
		switch {
		case err != nil:
			return all, err
		case len(all.entries) > most:
			c.close() // the server keeps a place for us, and would wait for the next page
			return all, errTooMany
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return all, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// isAnswer reports whether err, which may be nil, is a server's answer to a question. Anything else is an
// outage, and leaves a connection in a state that nobody knows.
func isAnswer(err error) bool {
	if _, failed := errors.AsType[*dialError](err); failed {
		return false
	}
	for _, answer := range []error{nil, identity.ErrUnknown, identity.ErrRejected, identity.ErrRateLimited, errTooMany, errUnreadable, errNoContexts} {
		if errors.Is(err, answer) {
			return true
		}
	}
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || e.ResultCode >= ldap.ErrorNetwork {
		return false
	}
	switch e.ResultCode {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultServerDown, ldap.LDAPResultTimeout,
		ldap.LDAPResultConnectError, ldap.LDAPResultOther, ldap.LDAPResultProtocolError:
		return false
	}
	return true
}
