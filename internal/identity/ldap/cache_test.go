package ldap_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// staffedDirectory returns a directory with ann and bob, both with the password "right".
func staffedDirectory(t testing.TB) *fake {
	f := newFake(t)
	for _, name := range []string{"ann", "bob"} {
		dn := "CN=" + name + ",DC=corp"
		f.Entries["dc=corp sub (sAMAccountName="+name+")"] = []*client.Entry{entry(dn, "sAMAccountName: "+name)}
		f.Binds[dn] = 0
	}
	return f
}

// count returns how many requests of a kind the directory has received.
func (f *fake) count(what string) (n int) {
	for _, asked := range f.Heard() {
		if strings.HasPrefix(asked, what) {
			n++
		}
	}
	return n
}

// Many pulls must not cause many binds. So an accepted password is not checked again for a while.
func TestAcceptedPasswordIsCached(t *testing.T) {
	clock := clocktest.Noon()
	f := staffedDirectory(t)
	options := f.options()
	options.Cache, options.Now = time.Minute, clock.Now
	d := open(t, options)
	attempt := func(name, password, want string, binds int) {
		t.Helper()
		v, err := d.Authenticate(t.Context(), identity.NewPresented(name, password))
		if got := outcome(v, err); got != want {
			t.Errorf("%s %q: %s, want %s", name, password, got, want)
		}
		if got := f.count("bind"); got != binds {
			t.Errorf("%s %q: %d binds so far, want %d", name, password, got, binds)
		}
	}
	attempt("ann", "right", "ann", 1)
	attempt("ann", "right", "ann", 1)
	attempt("ANN", "right", "unknown", 1) // unknown to the directory and to the cache
	attempt("ann", "rightx", "rejected", 2)
	attempt("ann", "right", "ann", 2) // a wrong password does not evict the cached result
	attempt("bob", "right", "bob", 3)
	clock.Pass(59 * time.Second)
	attempt("ann", "right", "ann", 3)
	clock.Pass(2 * time.Second)
	attempt("ann", "right", "ann", 4)
	f.SetBind("CN=ann,DC=corp", client.LDAPResultInvalidCredentials) // disabled
	clock.Pass(61 * time.Second)
	attempt("ann", "right", "rejected", 5)
}

// A refused client tries again at once. The directory would count each attempt and soon lock
// the account, so a wrong password is sent once.
func TestAWrongPasswordIsCountedOnce(t *testing.T) {
	clock := clocktest.Noon()
	f := staffedDirectory(t)
	options := f.options()
	options.Cache, options.Now = time.Minute, clock.Now
	d := open(t, options)
	for range 5 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "wrong")); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%v", err)
		}
	}
	if n := f.count("bind"); n != 1 {
		t.Errorf("the wrong password was counted %d times", n)
	}
	clock.Pass(59 * time.Second)
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "wrong")); !errors.Is(err, identity.ErrRejected) || f.count("bind") != 1 {
		t.Errorf("within a minute: %v after %d binds", err, f.count("bind"))
	}
	clock.Pass(2 * time.Second) // the password can be correct now
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "wrong")); !errors.Is(err, identity.ErrRejected) || f.count("bind") != 2 {
		t.Errorf("%v after %d binds", err, f.count("bind"))
	}
}

// Wrong passwords are cached even if Options.Cache is 0, because the directory counts each
// wrong password.
func TestWithoutCacheOnlyRefusalsAreCached(t *testing.T) {
	f := staffedDirectory(t)
	d := open(t, f.options())
	for range 3 {
		_, _ = d.Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		_, _ = d.Authenticate(t.Context(), identity.NewPresented("ann", "wrong"))
	}
	if n := f.count("bind"); n != 4 {
		t.Errorf("%d binds, want 4: three with the correct password, and one with the wrong password", n)
	}
}

// Outages are not cached.
func TestOutagesAreNotCached(t *testing.T) {
	clock := clocktest.Noon()
	o := sharedDirectory(t)
	between := newProxy(t, o.Address)
	options := o.options()
	options.Servers, options.Cache, options.Now = []string{"ldap://" + between.address()}, time.Minute, clock.Now
	d := open(t, options)
	between.setFault(refuse)
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err == nil || errors.Is(err, identity.ErrRejected) {
		t.Errorf("%v", err)
	}
	between.setFault(pass)
	for range 2 {
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
			t.Error(err)
		}
	}
	between.setFault(refuse) // cached users do not notice the fault
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
		t.Error(err)
	}
}

// Concurrent attempts with the same credentials share one bind. Attempts with different
// credentials do not share a bind.
func TestConcurrentAttemptsShareOneBind(t *testing.T) {
	f := staffedDirectory(t)
	d := open(t, f.options())
	var all sync.WaitGroup
	hold := f.Hold()
	for range 10 {
		for _, password := range []string{"right", "wrong"} {
			all.Go(func() {
				v, err := d.Authenticate(t.Context(), identity.NewPresented("ann", password))
				if got, want := outcome(v, err), map[string]string{"right": "ann", "wrong": "rejected"}[password]; got != want {
					t.Errorf("%s: %s", password, got)
				}
			})
		}
	}
	ldap.AwaitWaiting(d, 2, 20)
	hold()
	all.Wait()
	if n := f.count("bind"); n != 2 {
		t.Errorf("%d binds, want one for each password", n)
	}
}

// In Harbor, a map keyed by names that attackers choose never shrank. In Tidewaiter, the number of
// keys is limited.
func TestCacheIsBounded(t *testing.T) {
	held, refused := ldap.Remembered(t, 50_000)
	if held < 5_000 || held > 10_000 || refused < 2_000 || refused > 4_000 {
		t.Errorf("%d accepted and %d refused passwords are cached", held, refused)
	}
}

// After a password was changed, the cached result for the old password must not be exchanged for a
// longer-lived token. So the cached result has the generation that the password had when the
// directory accepted it. This also applies without a service account, if Find can see the
// generation.
func TestCachedPasswordKeepsItsGeneration(t *testing.T) {
	for name, set := range map[string]func(*ldap.Options){
		"searched":    func(*ldap.Options) {},
		"by template": func(o *ldap.Options) { o.User = ldap.User{DN: "CN={name},DC=corp", NameAttribute: "sAMAccountName"} },
	} {
		t.Run(name, func(t *testing.T) {
			f := staff(t)
			changed := func(at string) {
				for _, search := range []string{"dc=corp sub (sAMAccountName=ann)", "CN=ann,DC=corp base (objectClass=*)"} {
					f.SetEntries(search, entry("CN=ann,DC=corp", "sAMAccountName: ann", "pwdChangedTime: "+at))
				}
			}
			options := f.options()
			options.Cache = time.Hour
			set(&options)
			d := open(t, options)
			changed("20261101000000Z")
			_, first, err := d.FindGeneration(t.Context(), "ann", "")
			if err != nil {
				t.Fatal(err)
			}
			for try := range 2 {
				v, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right"))
				if err != nil || v.Generation != first {
					t.Errorf("sign-in %d: generation %q, %v; want %q", try+1, v.Generation, err, first)
				}
				changed("20261129000000Z")
			}
		})
	}
}
