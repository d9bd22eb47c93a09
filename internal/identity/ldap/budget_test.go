package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit/ratestore"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

const alice = "uid=alice," + ldaptest.People

// lockingAfter returns a real directory that locks an account after n wrong passwords.
func lockingAfter(t *testing.T, failures string) directory {
	t.Helper()
	o := directory{ldaptest.New(t)}
	change := &client.ModifyRequest{DN: "cn=policy,dc=example,dc=com"}
	change.Replace("pwdMaxFailure", []string{failures})
	if err := o.Admin(t).Modify(change); err != nil {
		t.Fatal(err)
	}
	return o
}

// lockState reports whether alice is locked, and the failures that the directory has counted.
func (o directory) lockState(t *testing.T) (locked bool, failures int) {
	t.Helper()
	result, err := o.Admin(t).Search(&client.SearchRequest{BaseDN: alice, Filter: "(objectClass=*)", Attributes: []string{"pwdAccountLockedTime", "pwdFailureTime"}})
	if err != nil {
		t.Fatal(err)
	}
	e := result.Entries[0]
	return len(e.GetAttributeValues("pwdAccountLockedTime")) > 0, len(e.GetAttributeValues("pwdFailureTime"))
}

// replicas are services that share a database and a directory.
type replicas struct {
	clock  *clocktest.Clock
	store  *ratestore.Store
	db     *store.DB
	chains []*chain.Chain
}

func newReplicas(t *testing.T, o directory, most, n int) *replicas {
	t.Helper()
	return replicasOf(t, o.options(), most, n)
}

func replicasOf(t *testing.T, options ldap.Options, most, n int) *replicas {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &replicas{db: db, clock: clocktest.Noon()}
	for range n {
		shared := ratestore.New(func() *store.DB { return db })
		r.store = shared
		options.Now = r.clock.Now
		options.Budget = ratelimit.NewBudget(ratelimit.BudgetOptions{
			Source: "ldap:corp", Max: most, Window: 30 * time.Minute, Store: shared, Now: r.clock.Now,
		})
		r.chains = append(r.chains, chain.New(chain.Options{
			Limiter: ratelimit.New(ratelimit.Options{Store: shared, PlacesMatter: func() bool { return true }, Now: r.clock.Now}),
			Sources: []identity.Source{{Name: "ldap:corp", Authenticator: open(t, options), Remote: true}},
		}))
	}
	return r
}

// signIn returns "in", "wrong", "limited" or "down".
func (r *replicas) signIn(replica int, name, secret, from string) string {
	c := identity.NewPresented(name, secret)
	c.Remote = netip.MustParseAddr(from)
	switch _, err := r.chains[replica].Authenticate(context.Background(), c); {
	case err == nil:
		return "in"
	case errors.Is(err, identity.ErrRejected):
		return "wrong"
	case errors.Is(err, identity.ErrRateLimited):
		return "limited"
	}
	return "down"
}

// In authentik, Rocket.Chat and an earlier Tidewaiter, the rate limit was weaker than the
// lockout of the directory: strangers could lock a user in a directory that locks after five
// wrong passwords.
func TestStrangersDoNotLockAUserInTheDirectory(t *testing.T) {
	const office, cafe = "198.51.100.7", "192.0.2.200"
	flood := func(r *replicas) (wrong int) {
		for i := range 60 {
			if r.signIn(i%len(r.chains), "alice", fmt.Sprint("guess ", i), fmt.Sprintf("203.0.113.%d", i)) == "wrong" {
				wrong++
			}
		}
		return wrong
	}
	t.Run("without a limit, strangers lock the account", func(t *testing.T) {
		o := lockingAfter(t, "5")
		flood(newReplicas(t, o, 0, 1))
		if locked, _ := o.lockState(t); !locked {
			t.Fatal("the directory does not lock accounts, so the test proves nothing")
		}
	})
	o := lockingAfter(t, "5")
	r := newReplicas(t, o, 4, 3)
	if got := r.signIn(0, "alice", "wonderland", office); got != "in" {
		t.Fatal(got)
	}
	r.chains[0].Limiter().Flush(t.Context()) // as Run does every few seconds
	if n := flood(r); n != 2 {
		t.Errorf("%d guesses of 60 were sent to the directory, want 2", n)
	}
	// At the place that the other replica knows, alice has two more attempts before she is
	// limited.
	for i, want := range []string{"wrong", "wrong", "limited", "limited"} {
		if got := r.signIn(1, "alice", fmt.Sprint("typo ", i), office); got != want {
			t.Errorf("wrong password %d at the known place: %s, want %s", i+1, got, want)
		}
	}
	if locked, failures := o.lockState(t); locked || failures > 4 {
		t.Fatalf("locked: %v, after %d failures", locked, failures)
	}
	r.clock.Pass(31 * time.Minute)
	if got := r.signIn(1, "alice", "wonderland", office); got != "in" {
		t.Errorf("after the window, with the correct password: %s", got)
	}
	// The correct password has reset all attempts, and the count of the directory.
	r.clock.Pass(2 * time.Minute)
	if n := flood(r); n != 2 {
		t.Errorf("after the correct password, %d guesses were sent, want 2", n)
	}
	if got := r.signIn(2, "alice", "wonderland", cafe); got != "limited" {
		t.Errorf("at an unknown place, after strangers used up the attempts: %s", got)
	}
	if got := r.signIn(1, "alice", "wonderland", office); got != "in" {
		t.Errorf("at a known place: %s", got)
	}
	if locked, failures := o.lockState(t); locked || failures > 4 {
		t.Errorf("locked: %v, after %d failures", locked, failures)
	}
}

// A job that repeats an old password costs one wrong password a minute, not one for each
// request.
func TestAWrongPasswordIsNotSentAgainForAMinute(t *testing.T) {
	o := lockingAfter(t, "100")
	r := newReplicas(t, o, 0, 1)
	for range 10 {
		r.signIn(0, "alice", "old", "198.51.100.7")
		r.clock.Pass(5 * time.Second)
	}
	if _, failures := o.lockState(t); failures != 1 {
		t.Errorf("the directory counted %d failures in 50 seconds, want 1", failures)
	}
}

// When the limit of attempts is reached, the answers for unknown names and known names are the
// same.
func TestBudgetDoesNotRevealNames(t *testing.T) {
	o := lockingAfter(t, "5")
	r := newReplicas(t, o, 4, 1)
	answers := func(name string) (list []string) {
		for i, guess := range []string{"a", "a", "b", "b", "c", "c", "a", "d"} {
			list = append(list, r.signIn(0, name, guess, fmt.Sprintf("203.0.113.%d", i)))
		}
		r.clock.Pass(2 * time.Minute)
		return append(list, r.signIn(0, name, "a", "203.0.113.100"), r.signIn(0, name, "e", "203.0.113.101"))
	}
	if diff := cmp.Diff(answers("alice"), answers("nobody")); diff != "" {
		t.Errorf("alice (-), and a name that nobody has (+)\n%s", diff)
	}
	if locked, _ := o.lockState(t); locked {
		t.Error("locked")
	}
}

// All spellings of a name share one budget.
func TestASpellingHasNoBudgetOfItsOwn(t *testing.T) {
	o := lockingAfter(t, "5")
	r := newReplicas(t, o, 4, 1)
	for i, name := range []string{"alice", "ALICE", "Alice ", " alice", "aLiCe", "alicE", "ALICe"} {
		r.signIn(0, name, fmt.Sprint("guess ", i), fmt.Sprintf("203.0.113.%d", i))
	}
	if locked, failures := o.lockState(t); locked || failures > 2 {
		t.Errorf("locked: %v, after %d failures", locked, failures)
	}
}

// directoryWithTemplate returns a directory with the user ann. Its options have a template, so no
// search precedes the bind.
func directoryWithTemplate(t *testing.T) (*fake, ldap.Options) {
	t.Helper()
	f := newFake(t)
	f.SetBind("uid=ann,dc=corp", 0)
	f.Entries["uid=ann,dc=corp base (objectClass=*)"] = []*client.Entry{entry("uid=ann,dc=corp", "uid: ann", "entryUUID: of ann")}
	o := f.options()
	o.User = ldap.User{DN: "uid={name},dc=corp"}
	return f, o
}

// Invented names must not fill the store if there is no service account to look them up.
func TestMadeUpNamesAreNotWritten(t *testing.T) {
	_, o := directoryWithTemplate(t)
	r := replicasOf(t, o, 4, 1)
	for n := range 300 {
		if got := r.signIn(0, fmt.Sprint("name-", n), "guess", fmt.Sprintf("203.0.%d.1", n%250)); got != "wrong" {
			t.Fatal(got)
		}
	}
	if n := r.countAttempts(t); n != 0 {
		t.Errorf("300 unknown names cause %d rows", n)
	}
}

// countAttempts returns how many attempts are in the store.
func (r *replicas) countAttempts(t *testing.T) (n int) {
	t.Helper()
	if err := r.db.Read().QueryRow("SELECT count(*) FROM limit_attempts").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Some attempts are counted only in memory. The number of these attempts, summed over all
// replicas, must stay below the directory's lockout threshold.
func TestWhatIsNotWrittenStaysWithinTheBudget(t *testing.T) {
	for _, tt := range []struct {
		name     string
		signedIn bool
		replicas int
		want     int
	}{
		{"one replica", false, 1, 2},
		{"three replicas, no earlier sign-in", false, 3, 4},
		{"three replicas, an earlier sign-in", true, 3, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, o := directoryWithTemplate(t)
			r := replicasOf(t, o, 4, tt.replicas)
			if tt.signedIn {
				if got := r.signIn(0, "ann", "right", "198.51.100.7"); got != "in" {
					t.Fatal(got)
				}
				r.clock.Pass(24 * time.Hour) // a sign-in is remembered for longer than an attempt
			}
			wrong := 0
			for i := range 60 {
				if r.signIn(i%tt.replicas, "ann", fmt.Sprint("guess ", i), fmt.Sprintf("203.0.113.%d", i)) == "wrong" {
					wrong++
				}
			}
			if wrong != tt.want {
				t.Errorf("%d guesses were sent, want %d: %q", wrong, tt.want, f.Heard())
			}
		})
	}
}

// A password that was never sent does not count.
func TestAConnectionThatTakesNothingSpendsNothing(t *testing.T) {
	f, o := directoryWithTemplate(t)
	o.Budget = ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:ad", Max: 2, Window: time.Hour})
	o.Cache = -1
	d := open(t, o)
	for n := range 5 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right")); err != nil {
			t.Fatalf("sign-in %d: %v", n+1, err)
		}
		if ldap.Idle(d) == 0 {
			t.Fatal("no connection is idle")
		}
		ldap.BreakIdle(d)
	}
	binds := 0
	for n := range 3 {
		_, _ = d.Authenticate(t.Context(), identity.NewPresented("ann", fmt.Sprint("guess ", n)))
		ldap.BreakIdle(d)
	}
	for _, asked := range f.Heard() {
		if strings.HasPrefix(asked, "bind ") {
			binds++
		}
	}
	if binds != 5+1 {
		t.Errorf("the directory got %d passwords, want five correct and one wrong", binds)
	}
}

// If a password was sent, the directory can have counted the password, even if the directory did
// not answer.
func TestAPasswordThatIsSentAgainIsCountedAgain(t *testing.T) {
	f, o := directoryWithTemplate(t)
	p := newProxy(t, f.Address)
	o.Servers = []string{"ldap://" + p.address()}
	o.Budget = ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:ad", Max: 6, Window: time.Hour})
	o.Cache = -1
	d := open(t, o)
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right")); err != nil {
		t.Fatal(err)
	}
	p.setFault(cut)
	for n := range 5 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", fmt.Sprint("guess ", n))); err == nil {
			t.Error("signed in")
		}
	}
	var binds []string
	for _, asked := range f.Heard() {
		if strings.HasPrefix(asked, "bind ") {
			binds = append(binds, asked)
		}
	}
	if len(binds) != 1+3 {
		t.Errorf("the directory got %d passwords, want one correct and three wrong", len(binds))
	}
}

// slowStore is a store in which the first claim waits.
type slowStore struct {
	ratelimit.Store
	later         atomic.Bool
	asked, answer chan struct{}
}

func (s *slowStore) Claim(ctx context.Context, account string, slots int, now, until time.Time) (int, time.Duration, error) {
	if !s.later.Swap(true) {
		close(s.asked)
		<-s.answer
	}
	return s.Store.Claim(ctx, account, slots, now, until)
}

// A request that waits for its budget must not occupy a connection.
func TestNoConnectionIsHeldWhileABudgetIsAsked(t *testing.T) {
	f, o := directoryWithTemplate(t)
	f.SetBind("uid=bob,dc=corp", 0)
	f.Entries["uid=bob,dc=corp base (objectClass=*)"] = []*client.Entry{entry("uid=bob,dc=corp", "uid: bob", "entryUUID: of bob")}
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	asked := &slowStore{Store: ratestore.New(func() *store.DB { return db }), asked: make(chan struct{}), answer: make(chan struct{})}
	o.Pool = 1
	o.Budget = ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:ad", Max: 4, Window: time.Hour, Store: asked})
	d := open(t, o)
	signIn := func(name string) error {
		c := identity.NewPresented(name, "right")
		c.KnownPlace = true
		_, err := d.Authenticate(context.Background(), c)
		return err
	}
	var ann sync.WaitGroup
	ann.Go(func() {
		if err := signIn("ann"); err != nil {
			t.Errorf("ann: %v", err)
		}
	})
	<-asked.asked
	if err := signIn("bob"); err != nil {
		t.Errorf("bob, while ann waits for a slot: %v", err)
	}
	close(asked.answer)
	ann.Wait()
}
