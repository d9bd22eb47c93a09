package chain_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// limitedChain is a chain with a limiter, a clock that tests set, and some users.
type limitedChain struct {
	*chain.Chain
	limiter *ratelimit.Limiter
	people  *identitytest.Fake
	at      atomic.Int64 // nanoseconds
}

func newLimitedChain(o ratelimit.Options) *limitedChain {
	d := &limitedChain{people: &identitytest.Fake{People: map[string]string{"ann": "wonderland", "bob": "builder"}}}
	d.at.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	o.Now = func() time.Time { return time.Unix(0, d.at.Load()) }
	d.limiter = ratelimit.New(o)
	d.Chain = chain.New(chain.Options{Limiter: d.limiter, Sources: []identity.Source{{
		Name: "fake", Authenticator: d.people,
		Kinds: []identity.Kind{identity.Password, identity.IDToken, identity.AccessToken, identity.RefreshToken},
	}}})
	return d
}

func (d *limitedChain) pass(t time.Duration) { d.at.Add(int64(t)) }

// try returns "in", "wrong", "down", or the delay.
func (d *limitedChain) try(name, secret, from string) string {
	c := identity.NewPresented(name, secret)
	c.Remote = netip.MustParseAddr(from)
	return d.show(c)
}

func (d *limitedChain) show(c identity.Presented) string {
	_, err := d.Authenticate(context.Background(), c)
	var throttled *ratelimit.Error
	switch {
	case err == nil:
		return "in"
	case errors.As(err, &throttled) && errors.Is(err, identity.ErrRateLimited):
		return throttled.After.String()
	case errors.Is(err, identity.ErrRejected):
		return "wrong"
	}
	return "down"
}

// guess tries n passwords that were not tried before.
func (d *limitedChain) guess(n int, name, from string) (last string) {
	for range n {
		last = d.try(name, fmt.Sprint("guess ", rand.Uint64()), from)
	}
	return last
}

const (
	here      = "192.0.2.1"
	elsewhere = "198.51.100.7"
)

func TestWhoGuessesWaitsTwiceAsLongEachTime(t *testing.T) {
	for _, name := range []string{"ann", "nobody"} { // the answers do not reveal which names exist
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3, MaxDelay: 10 * time.Second})
		var got []string
		for range 8 {
			got = append(got, d.guess(1, name, here))
		}
		for range 5 { // from now on, wait before each pair of guesses
			d.pass(10 * time.Second)
			got = append(got, d.guess(1, name, here), d.guess(1, name, here))
		}
		want := []string{
			"wrong", "wrong", "wrong", "1s", "1s", "1s", "1s", "1s",
			// Before each pair, the longest delay passes, and one failure is forgotten. So the
			// first guess is checked, and the second guess has to wait again.
			"wrong", "1s", "wrong", "1s", "wrong", "1s", "wrong", "1s", "wrong", "1s",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3, MaxDelay: 10 * time.Second})
	d.guess(3, "ann", here)
	var got []string
	for _, wait := range []time.Duration{1, 2, 4, 8, 9} {
		d.pass(wait * time.Second)
		got = append(got, d.guess(1, "ann", here), d.guess(1, "ann", here))
	}
	if diff := cmp.Diff([]string{"wrong", "2s", "wrong", "4s", "wrong", "8s", "wrong", "10s", "1s", "1s"}, got); diff != "" {
		t.Errorf("with a clock (-want +got)\n%s", diff)
	}
}

// Credentials that are refused because of their form are sent to no source. A flood of such
// credentials must not fill the disk. The journal has one entry for each credential and minute.
// After the client's address has exceeded its limit, the journal has one entry for each delay.
func TestAFloodOfCredentialsThatNobodyLooksAtIsRecordedSeldom(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
	for what, shown := range map[string][2]string{
		"an empty password":            {"ann", ""},
		"a password that is long":      {"ann", strings.Repeat("x", 5_000)},
		"a name that is long":          {strings.Repeat("x", 300), "secret"},
		"an invalid name":              {"ann\n", "secret"},
		"a token in quotes":            {"ann", `"` + token + `"`},
		"a token in place of the name": {token, "secret"},
	} {
		for _, varied := range []bool{false, true} {
			d := newLimitedChain(ratelimit.Options{})
			recorded := 0
			for i := range 1000 {
				c := identity.NewPresented(shown[0], shown[1])
				if varied {
					c.Name += fmt.Sprint(i)
				}
				c.Remote = netip.MustParseAddr(here)
				_, err := d.Authenticate(t.Context(), c)
				if !errors.Is(err, identity.ErrRejected) && !errors.Is(err, identity.ErrRateLimited) {
					t.Fatalf("%s: %v", what, err)
				}
				if !chain.AlreadyRecorded(err) {
					recorded++
				}
			}
			if most := 102; recorded > most || !varied && recorded > 2 || recorded == 0 {
				t.Errorf("%s, varied: %t: %d of 1000 are recorded", what, varied, recorded)
			}
			if asked := len(d.people.Asked()); asked != 0 {
				t.Errorf("%s: the source was asked %d times", what, asked)
			}
			if got := d.try("ann", "wonderland", here); got != "in" {
				t.Errorf("%s: a correct password afterwards: %s", what, got)
			}
		}
	}
}

// An attempt that the limiter refuses causes no call of a source and no hash.
func TestWhoWaitsCostsNothing(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
	d.guess(100, "ann", here)
	d.guess(100, "nobody", here)
	if asked, dummies := len(d.people.Asked()), len(d.people.Dummies()); asked != 6 || dummies != 3 {
		t.Errorf("200 attempts asked the source %d times, and for %d dummies", asked, dummies)
	}
	if diff := cmp.Diff(ratelimit.Stats{Failed: 6, ByName: 194}, d.limiter.Stats()); diff != "" {
		t.Errorf("stats (-want +got)\n%s", diff)
	}
}

func TestNobodyIsLockedOutByOthers(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
	if got := d.try("ann", "wonderland", here); got != "in" {
		t.Fatal(got)
	}
	d.guess(1000, "ann", elsewhere)
	for i := range 3000 { // and one guess from each of 3000 addresses
		d.guess(1, "ann", fmt.Sprintf("203.0.%d.%d", i/250, i%250))
	}
	for _, tt := range []struct{ who, name, secret, from, want string }{
		{"a password that was correct before, at its place", "ann", "wonderland", here, "in"},
		{"… at another", "ann", "wonderland", "2001:db8::1", "in"},
		{"a password that was correct before, at the address of the attack", "ann", "wonderland", elsewhere, "in"},
		{"another password, at a known place, is checked", "ann", "wonderlamd", here, "wrong"},
		{"another name, from the address of the attack", "bob", "builder", elsewhere, "in"},
	} {
		if got := d.try(tt.name, tt.secret, tt.from); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.who, got, tt.want)
		}
	}
}

func TestAThousandAddressesShareTheGuessesAtOneName(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{})
	looked := 0
	for i := range 10_000 {
		if d.guess(1, "ann", fmt.Sprintf("10.0.%d.%d", i/250, i%250)) == "wrong" {
			looked++
		}
	}
	if looked != 100 {
		t.Errorf("%d guesses were checked, want 100", looked)
	}
	d.pass(61 * time.Second) // one attempt a minute is checked, and this is the first
	if got := d.try("ann", "wonderland", "172.16.0.1"); got != "in" {
		t.Errorf("the right password from a new address: %s", got)
	}
}

func TestAThousandNamesShareTheGuessesOfOneAddress(t *testing.T) {
	for _, tt := range []struct{ from, sameAs, other string }{
		{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"},
		{"2001:db8::1", "2001:db8::ffff:1:2:3", "2001:db8:0:1::1"},
		{"fe80::1%eth0", "fe80::2%eth1", "fe80:0:0:1::1"},
	} {
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerSource: 20})
		if got := d.guess(1, "first", tt.from); got != "wrong" {
			t.Fatal(got)
		}
		for i := range 19 {
			d.guess(1, fmt.Sprint("name ", i), tt.from)
		}
		if got := d.guess(1, "another", tt.sameAs); got != "1s" {
			t.Errorf("from %s after %s: %s, want a delay", tt.sameAs, tt.from, got)
		}
		if got := d.guess(1, "another", tt.other); got != "wrong" {
			t.Errorf("from %s after %s: %s, want no delay", tt.other, tt.from, got)
		}
	}
}

// In docker_auth, ALICE and "alice " were alice to a directory. In Tidewaiter, all spellings share
// the limits of one name.
func TestASpellingIsNoNewName(t *testing.T) {
	for _, name := range []string{"ANN", "Ann", " ann ", "a nn", "ａｎｎ", "a\u00adnn", "a\u200bnn", "ánn"} {
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
		d.guess(3, "ann", here)
		if got := d.guess(1, name, here); got != "1s" {
			t.Errorf("%q after ann: %s, want a delay", name, got)
		}
	}
}

// containerd and docker build send a password by POST, and, if it is refused, the same password
// again by GET.
func TestAPasswordThatArrivesTwiceIsOneAttempt(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
	var got []string
	for i := range 3 {
		got = append(got, d.try("ann", fmt.Sprint("typo ", i), here), d.try("ann", fmt.Sprint("typo ", i), here))
	}
	got = append(got, d.try("ann", "typo 9", here))
	if diff := cmp.Diff([]string{"wrong", "wrong", "wrong", "wrong", "wrong", "wrong", "1s"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	t.Run("the thousandth attempt", func(t *testing.T) {
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
		looked := 0
		for range 1000 {
			if d.try("ann", "typo", here) == "wrong" {
				looked++
			}
		}
		if looked > 10 {
			t.Errorf("%d of 1000 equal attempts were checked", looked)
		}
	})
	t.Run("a job with an old password uses up only its own attempts", func(t *testing.T) {
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3, MaxFailuresPerSource: 10})
		looked := 0
		for range 1000 { // every 11 seconds, for three hours
			if d.try("ann", "old", here) == "wrong" {
				looked++
			}
			d.pass(11 * time.Second)
		}
		// 3 attempts are free, 9 attempts are checked while the delay grows, and then one attempt
		// every 5 minutes.
		if looked > 3+9+1000*11/300 {
			t.Errorf("%d of 1000 equal attempts were checked in three hours", looked)
		}
		if got := d.try("ann", "wonderland", here); got != "in" {
			t.Errorf("the right password, which was never used before, at the same address: %s", got)
		}
	})
}

func TestTheRightPasswordEndsTheCount(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
	d.guess(2, "ann", here)
	if got := d.try("ann", "wonderland", here); got != "in" {
		t.Fatal(got)
	}
	if got := d.guess(3, "ann", here); got != "wrong" {
		t.Errorf("after the correct password: %s, want three more attempts", got)
	}
	t.Run("the correct password clears only the failures of its own name", func(t *testing.T) {
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerSource: 10})
		for range 10 {
			d.try("bob", "builder", here)
			d.guess(1, "ann", here)
		}
		if got := d.guess(1, "carol", here); got != "1s" {
			t.Errorf("%s, want a delay", got)
		}
	})
}

func TestAnOutageCountsNothing(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3, MaxFailuresPerSource: 3})
	d.people.Fail(errCut)
	if got := d.guess(100, "ann", here); got != "down" {
		t.Errorf("while the source is down: %s", got)
	}
	d.people.Fail(nil)
	if got := d.try("ann", "wonderland", here); got != "in" {
		t.Errorf("when the source is back: %s", got)
	}
}

// After a password has been changed, the old password is no longer exempt from the limits.
func TestAPasswordThatIsRightNoMoreIsCounted(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3})
	d.try("ann", "wonderland", here)
	d.people.People = map[string]string{"ann": "looking-glass"}
	looked := 0
	for range 1000 {
		if d.try("ann", "wonderland", here) == "wrong" {
			looked++
		}
	}
	if looked > 10 {
		t.Errorf("a job with an old password was checked %d times without a delay", looked)
	}
}

// A thousand jobs of one company have the same address, each with a different token. If their
// tokens are refused, passwords from this address are still checked.
func TestTokensDoNotStandInTheWayOfPasswords(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3, MaxFailuresPerSource: 50})
	token := func(i int) identity.Presented {
		return identity.Presented{
			Kind: identity.IDToken, Name: "oidc", Secret: identity.NewSecret(fmt.Sprint("token ", i)), Remote: netip.MustParseAddr(here),
		}
	}
	for i := range 50 {
		if got := d.show(token(i)); got != "wrong" {
			t.Fatalf("token %d: %s", i, got)
		}
	}
	if got := d.show(token(50)); got != "1s" {
		t.Errorf("after 50: %s", got)
	}
	if got := d.guess(1, "ann", here); got != "wrong" {
		t.Errorf("a password: %s", got)
	}
}

func TestAFloodAtOneMomentGetsNoMoreGuesses(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{})
	var looked atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				if d.guess(1, "ann", here) == "wrong" {
					looked.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := looked.Load(); n != 10 {
		t.Errorf("%d guesses were checked, want 10", n)
	}
}

// After a restart, the limiter knows no correct passwords, and all clients retry at the same time.
func TestOnePasswordFromManyAtOnceIsOneAttempt(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 1})
	started, release := make(chan struct{}, 200), make(chan struct{})
	slow := slowly{d.people, func() { started <- struct{}{}; <-release }}
	chain := chain.New(chain.Options{Limiter: d.limiter, Sources: []identity.Source{{Name: "slow", Authenticator: slow}}})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			c := identity.NewPresented("ann", "wonderland")
			c.Remote = netip.MustParseAddr(here)
			if _, err := chain.Authenticate(t.Context(), c); err != nil {
				t.Errorf("one of a hundred: %v", err)
				started <- struct{}{} // nobody waits for it
			}
		})
		<-started // the source is called, and no caller has an answer yet
	}
	close(release)
	all.Wait()
}

type slowly struct {
	identity.Authenticator
	wait func()
}

func (s slowly) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	s.wait()
	return s.Authenticator.Authenticate(ctx, c)
}

// In Harbor, a map of failed log-ins, keyed by names that attackers choose, never shrank.
func TestManyNamesLeaveMemoryFlat(t *testing.T) {
	limiter := ratelimit.New(ratelimit.Options{MaxFailuresPerSource: 1e9})
	chain := chain.New(chain.Options{Limiter: limiter, Sources: []identity.Source{{Name: "nobody", Authenticator: refusing{}}}})
	before := heap()
	for i := range 100_000 { // six times the size of the tables
		c := identity.NewPresented(fmt.Sprint("name ", i), "guess")
		c.Remote = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if _, err := chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrRejected) {
			t.Fatalf("name %d: %v", i, err)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	runtime.KeepAlive(chain)
}

type refusing struct{}

func (refusing) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	return identity.Verified{}, identity.ErrRejected
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A flood of names cannot evict the count of the name whose password is being guessed.
func TestManyNamesDoNotHideOne(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: 3, MaxFailuresPerSource: 1e9})
	d.guess(3, "ann", here)
	for range 50_000 { // 24 names for each slice of the table; a slice has space for 8
		d.guess(1, fmt.Sprint("name ", rand.Uint64()), here)
	}
	if got := d.guess(1, "ann", here); got != "1s" {
		t.Errorf("%s, want a delay", got)
	}
}

// For any attempts in any order from one address:
//   - a password that was right before is accepted;
//   - of the wrong passwords, the free ones are checked, and one more for each delay that has
//     passed;
//   - a refused attempt is not checked.
func TestTheThrottleKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const free, longest = 3, 8 * time.Second
		d := newLimitedChain(ratelimit.Options{MaxFailuresPerPair: free, MaxFailuresPerSource: 1e9, MaxDelay: longest})
		d.try("bob", "builder", here)
		var passed time.Duration
		looked := 0
		for range rapid.IntRange(1, 200).Draw(t, "attempts") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				d.pass(time.Second)
				passed += time.Second
			case 1:
				if got := d.try("bob", "builder", here); got != "in" {
					t.Fatalf("a password that was correct before: %s", got)
				}
			default:
				before := len(d.people.Asked())
				got := d.guess(1, "ann", here)
				if asked := len(d.people.Asked()) - before; (got == "wrong") != (asked == 1) {
					t.Fatalf("%s, and the source was asked %d times", got, asked)
				}
				if got == "wrong" {
					looked++
				}
			}
		}
		if most := free + int(passed/time.Second); looked > most {
			t.Fatalf("%d guesses in %s", looked, passed)
		}
		if d.pass(longest); d.try("ann", "wonderland", here) != "in" {
			t.Fatal("the longest delay is over, but the correct password is refused")
		}
	})
}

func TestAChainWithoutAThrottleLetsEverybodyTry(t *testing.T) {
	d := newLimitedChain(ratelimit.Options{})
	d.Chain = chain.New(chain.Options{Sources: []identity.Source{{Name: "fake", Authenticator: d.people}}})
	if got := d.guess(1000, "ann", here); got != "wrong" || d.Chain.Limiter().Stats() != (ratelimit.Stats{}) {
		t.Errorf("%s, %+v", got, d.Chain.Limiter().Stats())
	}
}

// instantSource is a source that returns a principal without any work.
type instantSource struct{ identity.Verified }

func (a instantSource) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	return a.Verified, nil
}

func TestTheThrottleCostsASuccessNoMemory(t *testing.T) {
	chain, c := throttled(ratelimit.New(ratelimit.Options{}))
	if n := testing.AllocsPerRun(100, func() { _, _ = chain.Authenticate(t.Context(), c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func throttled(limiter *ratelimit.Limiter) (*chain.Chain, identity.Presented) {
	chain := chain.New(chain.Options{Limiter: limiter, Sources: []identity.Source{
		{Name: "at", Authenticator: instantSource{identity.Verified{Principal: &policy.Principal{Kind: policy.User, Name: "ann"}}}},
	}})
	c := identity.NewPresented("ann", "wonderland and its rabbits")
	c.Remote = netip.MustParseAddr("2001:db8::1")
	return chain, c
}

// The difference between the two results is the cost of the limiter for a known password.
func BenchmarkThrottle(b *testing.B) {
	for name, limiter := range map[string]*ratelimit.Limiter{"without": nil, "with": ratelimit.New(ratelimit.Options{})} {
		b.Run(name, func(b *testing.B) {
			chain, c := throttled(limiter)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chain.Authenticate(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// spentSource is a source whose limit of attempts for a name is reached.
type spentSource struct{ asked *int }

func (s spentSource) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	*s.asked++
	return identity.Verified{}, &ratelimit.Error{After: time.Minute}
}

// The directory is searched before the source knows that the limit of attempts is reached. So the
// number of such attempts is limited for each address. These attempts do not count for the name,
// because the password was not checked.
func TestWhoAsksForASpentBudgetIsCountedAsASource(t *testing.T) {
	asked := 0
	chain := chain.New(chain.Options{
		Limiter: ratelimit.New(ratelimit.Options{MaxFailuresPerSource: 10}),
		Sources: []identity.Source{{Name: "ldap:corp", Authenticator: spentSource{&asked}}},
	})
	for n := range 100 {
		c := identity.NewPresented("ann", fmt.Sprint("guess ", n))
		c.Remote = netip.MustParseAddr("192.0.2.1")
		if _, err := chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrRateLimited) {
			t.Fatal(err)
		}
	}
	if asked > 11 {
		t.Errorf("the directory was asked %d times, want ten", asked)
	}
}

// leavingSource is a source. While it checks a password, the client disconnects.
type leavingSource struct{ leave context.CancelFunc }

func (l leavingSource) Authenticate(ctx context.Context, _ identity.Presented) (identity.Verified, error) {
	l.leave()
	<-ctx.Done()
	return identity.Verified{}, ctx.Err()
}

// If a client disconnects while its password is hashed, the attempt still counts, because the hash
// was computed.
func TestWhoGoesAwayBeforeTheAnswerIsCounted(t *testing.T) {
	limiter := ratelimit.New(ratelimit.Options{MaxFailuresPerSource: 10})
	limited := 0
	for n := range 20 {
		ctx, leave := context.WithCancel(t.Context())
		chain := chain.New(chain.Options{Limiter: limiter, Sources: []identity.Source{{Name: "slow", Authenticator: leavingSource{leave}}}})
		c := identity.NewPresented("ann", fmt.Sprint("guess ", n))
		c.Remote = netip.MustParseAddr("192.0.2.1")
		if _, err := chain.Authenticate(ctx, c); errors.Is(err, identity.ErrRateLimited) {
			limited++
		}
		leave()
	}
	if limited != 10 {
		t.Errorf("%d of twenty were refused, want 10", limited)
	}
}
