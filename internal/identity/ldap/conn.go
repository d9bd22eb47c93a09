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

// kind is the use of a connection. The kinds are separate, so that a search never runs with the
// rights of the previously bound user.
type kind uint8

const (
	reader kind = iota // bound only as the service account
	binder             // bound as one user after another
)

// conn is a connection to a server. One goroutine uses it at a time.
type conn struct {
	server *server
	kind   kind
	wire   *wire
	ldap   *ldap.Conn
	idle   time.Time // when the connection was put into the pool

	contexts     []string // naming contexts, see searchBases
	contextsHold clock.Span
}

// maxAnswer is the maximum size of the answer to one request, in bytes. An answer with maxGroups
// groups is much smaller, even if each name has 1 kB.
const maxAnswer = 16 << 20

// wire is the connection below TLS. It fails when a server sends more than maxAnswer, because a
// longer answer could fill the memory.
type wire struct {
	net.Conn
	left atomic.Int64
	sent atomic.Int64 // bytes written
}

var errFlood = fmt.Errorf("the server's answer is longer than %d MiB", maxAnswer>>20)

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

// newConn returns an LDAP connection that uses the given network connection. It adds TLS if the
// server is configured with ldaps:// or StartTLS.
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
	c.ldap.SetTimeout(s.timeout) // the library's timeout, in addition to the timeout of run
	c.ldap.Start()
	if s.startTLS {
		if err := c.run(ctx, func() error { return c.ldap.StartTLS(s.config) }); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// run calls f. The LDAP library does not support contexts. So run closes the connection when ctx
// ends, and then f fails.
func (c *conn) run(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.wire.left.Store(maxAnswer)
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	err := f()
	if !stop() { // ctx ended, so the connection is closing
		c.close()
		if err != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
	return err
}

func (c *conn) close() {
	_ = c.wire.Close() // first, to end operations that wait for the network
	_ = c.ldap.Close()
}

// isUsable reports whether the connection is open, as far as the library knows.
func (c *conn) isUsable() bool { return !c.ldap.IsClosing() }

// bind checks a password. ErrRejected means that the directory refused the bind: the password is
// wrong or expired, or the account is disabled or locked. A grace login, which a directory allows
// a few times with an expired password, is refused, too. Grace logins are for users who change
// their password. A client without a user would use up all grace logins unnoticed.
func (c *conn) bind(dn, secret string) error {
	if secret == "" || dn == "" {
		// An empty DN or password is an anonymous bind and would succeed.
		return identity.Rejected("the password is empty")
	}
	// The control requests the state of the password policy. The state is needed because, after a
	// password reset, OpenLDAP accepts a bind but then allows only a change of the password.
	answer, err := c.ldap.SimpleBind(&ldap.SimpleBindRequest{
		Username: dn, Password: secret, Controls: []ldap.Control{ldap.NewControlBeheraPasswordPolicy()},
	})
	if ldap.IsErrorAnyOf(err,
		ldap.LDAPResultInvalidCredentials,
		ldap.LDAPResultInappropriateAuthentication, // no password
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax,
		ldap.LDAPResultConstraintViolation,      // 389: locked
		ldap.LDAPResultUnwillingToPerform,       // 389: disabled
		ldap.LDAPResultInsufficientAccessRights, // may not bind
	) {
		return identity.Rejected("the directory refused the password: it is wrong, or the account is locked or expired")
	}
	if err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	for _, control := range answer.Controls {
		p, ok := control.(*ldap.ControlBeheraPasswordPolicy)
		why := ""
		switch {
		case ok && p.Error == ldap.BeheraChangeAfterReset:
			why = "the password was reset and must be changed first"
		case ok && p.Grace >= 0:
			why = fmt.Sprintf("the password has expired, and this used a grace login: %d are left to change it", p.Grace)
		}
		if why != "" {
			c.server.log.Info("refused: the account is not usable", "dn", dn, "reason", why)
			return &identity.DisabledError{Why: why}
		}
	}
	return nil
}

// errTooMany means that a search found more entries than its limit.
var errTooMany = errors.New("the search found more entries than its limit")

// search returns the entries that were found and ignores references to other servers. It
// returns errTooMany if the search found more entries than the SizeLimit of the request.
func (c *conn) search(request *ldap.SearchRequest) ([]*ldap.Entry, error) {
	request.EnforceSizeLimit = true
	request.TimeLimit = int(max(time.Second, c.server.timeout) / time.Second)
	result, err := c.ldap.Search(request)
	switch {
	case errors.Is(err, ldap.ErrSizeLimitExceeded):
		c.close() // the server still sends the other entries
		return nil, errTooMany
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded):
		return nil, errTooMany
	case err != nil:
		return nil, err
	}
	return result.Entries, nil
}

// readEntry reads one entry by its DN. If the only attribute is "1.1", no attributes are read.
func (c *conn) readEntry(dn string, attributes ...string) ([]*ldap.Entry, error) {
	return c.search(&ldap.SearchRequest{
		BaseDN: dn, Scope: ldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: attributes,
	})
}

// rootDSE is the DN of the entry that describes the server. Every directory shows this entry to
// anyone (RFC 4512, section 5.1).
const rootDSE = ""

// pageSize is the number of entries in a page. Active Directory sends at most 1,000, OpenLDAP
// 500.
const pageSize = 200

// searchResult is the result of searchAll.
type searchResult struct {
	entries    []*ldap.Entry
	references []string // references to other servers; these servers can have further entries
}

// searchAll reads all entries, page by page. If there are more entries than the given limit, it
// returns errTooMany. If the server stops at its own limit, it returns the entries that were
// found, and an
// *ldap.Error with LDAPResultSizeLimitExceeded.
func (c *conn) searchAll(request *ldap.SearchRequest, limit int) (all searchResult, err error) {
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
		case len(all.entries) > limit:
			c.close() // the server would keep state for the next page
			return all, errTooMany
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return all, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// isAnswer reports whether err is nil or an answer of the server. Any other error is an outage
// and leaves the connection in an unknown state.
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
