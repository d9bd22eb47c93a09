package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// An outage is not a refusal. For every fault between Tidewaiter and a directory, the chain
// returns an outage within the time limit, and recovers afterwards.
func TestADirectoryThatFailsIsAnOutage(t *testing.T) {
	for _, tt := range []struct {
		fault fault
		how   string
	}{
		{refuse, "ends connections"}, {reset, "resets connections"}, {silence, "says nothing"}, {cut, "the answer stops in the middle"},
	} {
		for _, when := range []string{"at first", "on an open connection"} {
			t.Run(tt.how+" "+when, func(t *testing.T) {
				clock := clocktest.Noon()
				o := sharedDirectory(t)
				between := newProxy(t, o.Address)
				options := o.options()
				options.Servers = []string{"ldap://" + between.address()}
				options.Timeout, options.Now = time.Minute, clock.Now
				if tt.fault == silence {
					options.Timeout = time.Second
				}
				begin := func() *chain.Chain {
					return chain.New(chain.Options{Sources: []identity.Source{{Name: "ldap:corp", Authenticator: open(t, options), Remote: true}}})
				}
				chain := begin()
				if when != "at first" {
					await.Until(t, "a good connection", func(ctx context.Context) error {
						_, err := chain.Authenticate(ctx, identity.NewPresented("alice", "wonderland"))
						if err != nil { // on a slow machine, a second can be too short
							options.Timeout *= 2
							chain = begin()
						}
						return err
					})
				}
				between.setFault(tt.fault)
				_, err := chain.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
				if !errors.Is(err, identity.ErrUnavailable) || !strings.Contains(err.Error(), between.address()) {
					t.Errorf("%v: the error does not name the directory", err)
				}
				if _, err := chain.Find(t.Context(), "alice", ""); !errors.Is(err, identity.ErrUnavailable) {
					t.Errorf("Find: %v", err)
				}
				between.setFault(pass)
				await.Until(t, "the fault ends", func(ctx context.Context) error {
					clock.Pass(time.Minute)
					_, err := chain.Authenticate(ctx, identity.NewPresented("alice", "wonderland"))
					return err
				})
			})
		}
	}
}

// A restarted directory closes idle connections. Users must not notice the restart.
func TestARestartOfADirectoryIsNotNoticed(t *testing.T) {
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers = []string{"ldap://" + between.address()}
	d := open(t, options)
	for range 5 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
			t.Fatal(err)
		}
		between.setFault(reset)
		between.setFault(pass)
	}
}

func TestTheNextServerIsAskedWhenOneIsDown(t *testing.T) {
	o := sharedDirectory(t)
	for _, f := range []fault{refuse, reset, cut} {
		first, second := newProxy(t, o.Address), newProxy(t, o.Address)
		first.setFault(f)
		options := o.options()
		options.Servers, options.Timeout = []string{"ldap://" + first.address(), "ldap://" + second.address()}, time.Minute
		d := open(t, options)
		for range 5 {
			v, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
			if err != nil || v.Principal.Name != "alice" {
				t.Fatalf("fault %d: %v", f, err)
			}
			if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wrong")); !errors.Is(err, identity.ErrRejected) {
				t.Fatalf("fault %d: a wrong password: %v", f, err)
			}
		}
		if n := first.countConnections(); n != 3 {
			t.Errorf("fault %d: the first server was asked over %d connections, and must be skipped after 3", f, n)
		}
	}
}

// A silent server uses only its share of the time and leaves the rest for the next server.
func TestASilentServerLeavesTimeForTheNext(t *testing.T) {
	o := sharedDirectory(t)
	silent := newProxy(t, o.Address)
	silent.setFault(silence)
	options := o.options()
	options.Servers, options.Timeout = []string{"ldap://" + silent.address(), "ldap://" + o.Address}, time.Second
	await.Until(t, "the next server", func(ctx context.Context) error {
		options.Timeout *= 2 // until one server's share of the time is long enough on this machine
		_, err := open(t, options).Find(ctx, "alice", "")
		return err
	})
}

// A wrong password is an answer. The next server is not asked, because it would count the
// password again.
func TestARefusalIsFinal(t *testing.T) {
	o := sharedDirectory(t)
	first, second := newProxy(t, o.Address), newProxy(t, o.Address)
	options := o.options()
	options.Servers = []string{"ldap://" + first.address(), "ldap://" + second.address()}
	d := open(t, options)
	for _, c := range []identity.Presented{identity.NewPresented("alice", "wrong"), identity.NewPresented("nobody", "wrong")} {
		if _, err := d.Authenticate(t.Context(), c); err == nil {
			t.Error("it holds")
		}
	}
	if second.countConnections() != 0 {
		t.Error("the second server was asked")
	}
}

func TestAServerIsSkippedAfterThreeFailures(t *testing.T) {
	clock := clocktest.Noon()
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Now = []string{"ldap://" + between.address()}, clock.Now
	d := open(t, options)
	attempt := func(wants string, connections int) {
		t.Helper()
		v, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
		if got := outcome(v, err); !strings.Contains(got, wants) {
			t.Errorf("%s, want %s", got, wants)
		}
		if got := between.countConnections(); got != connections {
			t.Errorf("%d connections, want %d", got, connections)
		}
	}
	between.setFault(refuse)
	attempt("outage", 1)
	attempt("outage", 2)
	attempt("outage", 3)
	attempt("skipped for now after 3 failures", 3)
	attempt("skipped for now", 3)
	clock.Pass(11 * time.Second)
	attempt("outage", 4) // one request tests the server
	attempt("skipped for now after 4 failures", 4)
	between.setFault(pass)
	attempt("skipped for now", 4)
	clock.Pass(11 * time.Second)
	attempt("alice", 6) // one search and one bind
	attempt("alice", 6)
	between.setFault(refuse)
	attempt("outage", 7)
	attempt("outage", 8)
	between.setFault(pass)
	attempt("alice", 10) // failures before an answer do not count
}

// While one request tests whether a server is back, other requests skip the server. If the
// testing request is abandoned, another request tests the server.
func TestOneTriesWhetherAServerIsBack(t *testing.T) {
	clock := clocktest.Noon()
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Now = []string{"ldap://" + between.address()}, clock.Now
	options.Timeout = time.Minute // long enough not to matter
	d := open(t, options)
	between.setFault(refuse)
	for range 3 {
		_, _ = d.Find(t.Context(), "alice", "")
	}
	between.setFault(silence)
	clock.Pass(11 * time.Second)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		tries := make(chan error)
		before := between.countConnections()
		go func() {
			_, err := d.Find(ctx, "alice", "")
			tries <- err
		}()
		between.await(before + 1)
		if _, err := d.Find(t.Context(), "alice", ""); err == nil || !strings.Contains(err.Error(), "skipped for now") {
			t.Errorf("another request during the test: %v", err)
		}
		cancel()
		if err := <-tries; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
	}
	between.setFault(pass)
	if _, err := d.Find(t.Context(), "alice", ""); err != nil {
		t.Errorf("when the server is back: %v", err)
	}
}

// A wrong password of the service account is an outage, not a refusal of the user.
func TestAServiceAccountThatIsRefusedIsAnOutage(t *testing.T) {
	o := sharedDirectory(t)
	options := o.options()
	options.BindPasswordFile = write(t, "password", "not the one\n")
	d := open(t, options)
	_, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
	if err == nil || errors.Is(err, identity.ErrRejected) || !strings.Contains(err.Error(), "binding as cn=reader") || strings.Contains(err.Error(), "not the one") {
		t.Errorf("%v", err)
	}
	rewrite(t, options.BindPasswordFile, "reads everything") // each connection reads the file
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
		t.Errorf("with the correct password: %v", err)
	}
}

// If a server refuses the service account, the other servers still answer. Tidewaiter asks such a
// server only rarely, so that the service account is not locked.
func TestAServerThatRefusesTheAccountIsSkipped(t *testing.T) {
	o := sharedDirectory(t)
	other := newFake(t) // this server does not know the service account
	options := o.options()
	options.Servers = []string{"ldap://" + other.Address, "ldap://" + o.Address}
	d := open(t, options)
	for range 5 {
		if _, err := d.Find(t.Context(), "alice", ""); err != nil {
			t.Error(err)
		}
	}
	if n := other.count("bind"); n != 3 {
		t.Errorf("the server was asked %d times, and must be skipped after 3", n)
	}
}

// If a server does not support StartTLS, its connection is closed and the next server is asked.
func TestAServerWithoutStartTLSIsPassedOver(t *testing.T) {
	o := sharedDirectory(t)
	other := newFake(t)
	options := o.options()
	options.Servers, options.StartTLS, options.CA = []string{"ldap://" + other.Address, "ldap://" + o.Address}, true, o.File(ldaptest.CAFile)
	if _, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
		t.Error(err)
	}
	if heard := other.Heard(); len(heard) > 0 {
		t.Errorf("the server received %q", heard)
	}
}

func TestRunEndsWithItsContextAndSoDoConnections(t *testing.T) {
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers = []string{"ldap://" + between.address()}
	d, err := ldap.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		d.Run(ctx)
		close(ended)
	}()
	if _, err := d.Find(t.Context(), "alice", ""); err != nil {
		t.Fatal(err)
	}
	if n := ldap.Idle(d); n != 1 {
		t.Errorf("%d connections are idle, want 1", n)
	}
	cancel()
	<-ended
	if n := ldap.Idle(d); n != 0 {
		t.Errorf("%d connections are idle after Run", n)
	}
}

// If the base does not exist, the configuration is wrong. So the result is an outage and not an
// unknown user.
func TestABaseThatIsNotThereIsAnOutage(t *testing.T) {
	options := sharedDirectory(t).options()
	options.User.Bases = []string{"ou=nowhere,dc=example,dc=com"}
	if _, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, identity.ErrRejected) {
		t.Errorf("%v", err)
	}
}

// The size of the pool is limited. If a request waits too long for a connection, the result is an
// outage, but not a failure of a server.
func TestAFullPoolIsAnOutage(t *testing.T) {
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Pool, options.Timeout = []string{"ldap://" + between.address()}, 2, time.Minute
	d := open(t, options)
	between.setFault(silence)
	busy := make(chan error)
	for range 2 {
		go func() {
			_, err := d.Find(t.Context(), "alice", "")
			busy <- err
		}()
	}
	between.await(2)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 5 {
		if _, err := d.Find(ctx, "bob", ""); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%v", err)
		}
	}
	between.setFault(pass)
	for range 2 {
		if err := <-busy; err != nil {
			t.Error(err)
		}
	}
	if n := between.countConnections(); n != 2 {
		t.Errorf("%d connections, want at most 2", n)
	}
}

func TestConnectionsAreSharedAndEnd(t *testing.T) {
	clock := clocktest.Noon()
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Now, options.Pool = []string{"ldap://" + between.address()}, clock.Now, 3
	d := open(t, options)
	for i := range 20 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := between.countConnections(); n != 2 {
		t.Errorf("%d connections for 20 requests, one after another; want one to look up and one to bind", n)
	}
	clock.Pass(2 * time.Minute)
	if _, err := d.Find(t.Context(), "alice", ""); err != nil {
		t.Fatal(err)
	}
	if n := between.countConnections(); n != 3 {
		t.Errorf("%d connections, want a new connection, because the old connection was idle for too long", n)
	}
	d.Close()
	for range 2 {
		if _, err := d.Find(t.Context(), "alice", ""); err != nil {
			t.Errorf("after Close, as under a reload: %v", err)
		}
	}
	if n := between.countConnections(); n != 5 {
		t.Errorf("%d connections are idle after Close, want 0", n)
	}
}

// Idle connections count, too. If a connection for binds needs the place of an idle connection
// for searches, the idle connection is closed.
func TestThePoolIsOfAllConnectionsTogether(t *testing.T) {
	options := sharedDirectory(t).options()
	options.Pool = 1
	d := open(t, options)
	for range 3 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
			t.Fatal(err)
		}
		if n := ldap.Idle(d); n != 1 {
			t.Errorf("%d connections are idle, want 1", n)
		}
	}
}

// A server or an attacker on the network must not be able to fill the memory of Tidewaiter.
func TestAServerThatSendsTooMuchIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				// These bytes announce an answer of 2 GiB.
				_, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
				junk := make([]byte, 64<<10)
				for err == nil {
					_, err = c.Write(junk)
				}
			}()
		}
	}()
	options := sharedDirectory(t).options()
	options.Servers = []string{"ldap://" + l.Addr().String()}
	if _, err := open(t, options).Find(t.Context(), "alice", ""); err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Errorf("%v", err)
	}
}

// A cancelled request does not cancel the concurrent requests with the same credentials.
func TestACancelledRequestDoesNotFailOthers(t *testing.T) {
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Timeout = []string{"ldap://" + between.address()}, time.Minute
	d := open(t, options)
	between.setFault(silence)
	impatient, cancel := context.WithCancel(t.Context())
	type answer struct {
		v   identity.Verified
		err error
	}
	ask := func(ctx context.Context) chan answer {
		c := make(chan answer, 1)
		go func() {
			v, err := d.Authenticate(ctx, identity.NewPresented("alice", "wonderland"))
			c <- answer{v, err}
		}()
		return c
	}
	first := ask(impatient)
	between.await(1)
	var others []chan answer
	for range 9 {
		others = append(others, ask(t.Context()))
	}
	ldap.AwaitWaiting(d, 1, 10)
	cancel()
	if a := <-first; !errors.Is(a.err, context.Canceled) {
		t.Errorf("who gave up: %v", a.err)
	}
	between.setFault(pass)
	for _, c := range others {
		if a := <-c; a.err != nil || a.v.Principal.Name != "alice" {
			t.Errorf("a waiting request: %v", a.err)
		}
	}
	if n := between.countConnections(); n != 2 {
		t.Errorf("%d connections, want one to look up and one to bind for all ten", n)
	}
}

// If all waiting requests are cancelled, the call ends, and the next request starts a new call.
func TestACallWithoutWaitersEnds(t *testing.T) {
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Timeout, options.Pool = []string{"ldap://" + between.address()}, time.Hour, 1
	d := open(t, options)
	between.setFault(silence)
	for i := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := d.Authenticate(ctx, identity.NewPresented("alice", "wonderland"))
			done <- err
		}()
		between.await(i + 1) // the pool has one connection, so the previous call must have ended
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	between.setFault(pass)
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
		t.Error(err)
	}
}

func ExampleDirectory() {
	_, err := ldap.New(ldap.Options{
		Name:    "corp",
		Servers: []string{"ldaps://a.example.com", "ldap://b.example.com"},
		User:    ldap.User{Bases: []string{"ou=people,dc=example,dc=com"}, Filter: "(uid={user})"},
	})
	fmt.Println(err)
	// Output:
	// servers: passwords would travel unencrypted: use ldaps:// or start_tls (or plain: true to allow it)
	// user.filter: braces may only be part of {name}
}
