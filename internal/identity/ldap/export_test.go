package ldap

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// AwaitWaiting returns when the given number of calls are running, and all calls together have the
// given number of callers.
func AwaitWaiting(d *Directory, calls, callers int) {
	for {
		if n, waiting := d.calls.Count(); n == calls && waiting == callers {
			return
		}
		runtime.Gosched()
	}
}

// Remembered adds the results of n accepted and n refused passwords to a new cache. It returns how
// many results of each kind are in the cache.
func Remembered(t testing.TB, n int) (accepted, refused int) {
	m := newResultCache(time.Minute, time.Now)
	for i := range n {
		m.remember(m.keys.Of(signIn, fmt.Sprint("held ", i)), identity.Verified{}, nil)
		m.remember(m.keys.Of(signIn, fmt.Sprint("refused ", i)), identity.Verified{}, identity.ErrRejected)
	}
	return m.held.Len(), m.refused.Len()
}

// RefusalsHeld returns the number of cached refusals.
func RefusalsHeld(d *Directory) int { return d.cache.refused.Len() }

// Fill replaces the placeholders of a filter.
func Fill(filter, dn, name string) string {
	return fill(filter, func(placeholder string) string {
		return map[string]string{"{dn}": dn, "{name}": name, "{attribute:a}": name}[placeholder]
	})
}

// DNOf fills in a DN template.
func DNOf(template, name string) string {
	return (&Directory{o: Options{User: User{DN: template}}}).dnOf(name)
}

// CanonicalDN returns the same text for all spellings of a DN.
func CanonicalDN(dn string) string { return canonicalDN(dn) }

// SecretAttributes returns the attributes that cannot be claims.
func SecretAttributes() []string {
	var list []string
	for name := range secretAttributes {
		list = append(list, strings.ToLower(name))
	}
	return list
}

// AsGlobalCatalog makes the servers of a directory global catalogs. Outside of tests, a server
// is a global catalog if its port is 3268 or 3269.
func AsGlobalCatalog(d *Directory) {
	for _, s := range d.servers {
		s.catalog = true
	}
}

// GlobalCatalog reports whether a URL is the URL of a global catalog.
func GlobalCatalog(url string) bool {
	s, _ := parseServer(url)
	return s.catalog
}

// Idle returns the number of idle connections.
func Idle(d *Directory) int {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return len(d.pool.idle)
}

// AwaitQueue waits until the given number of requests wait for a connection, and the given number
// of connections are in use.
func AwaitQueue(d *Directory, waiting, taken int) {
	for d.pool.slots.Waiting() != waiting || d.pool.slots.Taken() != taken {
		runtime.Gosched()
	}
}

// BreakIdle makes writes to the idle connections fail. It does not close the connections.
func BreakIdle(d *Directory) {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for _, c := range d.pool.idle {
		_ = c.wire.SetWriteDeadline(time.Unix(1, 0))
	}
}
