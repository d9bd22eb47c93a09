package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

// service is an App with local users. Only Pass moves its clock. Otherwise limits would refill
// while a slow machine runs the test.
type service struct {
	*folder
	*app.App
	cfg *config.Config
	*clocktest.Clock
}

const alicePassword = "alice has a password"

func newService(t *testing.T, identities, state string) *service {
	t.Helper()
	s := &service{folder: newFolder(t), Clock: clocktest.Noon()}
	s.write("tidewaiter.yaml", `
database: `+state+`
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
listen: [{ address: "127.0.0.1:0", serve: [token, api] }]
identity:
  - accounts: {}
`+identities+rule("a"))
	var err error
	if s.cfg, err = config.Load(s.dir+"/tidewaiter.yaml", config.Options{}); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { closed(t, s.App) })
	return s
}

func (s *service) start(t *testing.T) {
	t.Helper()
	var err error
	if s.App, err = app.New(t.Context(), s.cfg, app.Options{Now: s.Now, Hashing: cheapHashes}); err != nil {
		t.Fatal(err)
	}
}

// restart closes the App and opens another on the same database.
func (s *service) restart(t *testing.T) {
	t.Helper()
	closed(t, s.App)
	s.start(t)
}

func (s *service) answer(r *http.Request, from string) *httptest.ResponseRecorder {
	r.RemoteAddr = from + ":4711"
	if strings.Contains(from, ":") {
		r.RemoteAddr = "[" + from + "]:4711"
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// show returns the status for a credential. It calls the chain that all endpoints use, and not an
// endpoint, because endpoints delay each response with 429, and these tests cause thousands of
// such responses.
func (s *service) show(c identity.Presented, from string) int {
	c.Remote, c.Registry = netip.MustParseAddr(from), "r.example.com"
	switch _, err := s.Chain().Authenticate(context.Background(), c); {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, identity.ErrRejected):
		return http.StatusUnauthorized
	case strings.Contains(err.Error(), "too many failed attempts"):
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// signIn signs in by name and secret.
func (s *service) signIn(name, secret, from string) int {
	return s.show(identity.NewPresented(name, secret), from)
}

func (s *service) refresh(token, from string) int { return s.show(identity.NewRefresh(token), from) }

func (s *service) withSession(secret, from string) int {
	return s.show(identity.NewSession(secret), from)
}

func (s *service) newRefresh(t *testing.T, name, password, from string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/token?service=r.example.com&offline_token=true&client_id=test", nil)
	r.SetBasicAuth(name, password)
	w := s.answer(r, from)
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.RefreshToken == "" {
		t.Fatalf("no refresh token: %d %s", w.Code, readableBody(w))
	}
	return answer.RefreshToken
}

func (s *service) addUser(t *testing.T, name, password string) {
	t.Helper()
	u := accounts.NewUser{Name: name, Password: identity.NewSecret(password), Groups: []string{admin.Administrators}}
	if _, err := s.Accounts().AddUser(t.Context(), admin.Operator("root"), u); err != nil {
		t.Fatal(err)
	}
}

// gitlab-mcp-server 619, cloud_controller_ng 2079, and Tidewaiter in 2026: a broken job presented
// an expired ID token again and again. As a result, every credential behind the same NAT was
// refused. To prevent this, a credential that cannot be guessed is verified before any limit
// applies.
func TestInvalidTokensDoNotBlockValidCredentials(t *testing.T) {
	ci := newIssuer(t)
	s := newService(t, `  - oidc: { name: ci, issuer: "`+ci.URL+`", audience: us }
`, "sqlite:state.db")
	ci.now = s.Now
	const nat = "198.51.100.1"
	s.addUser(t, "alice", alicePassword)
	robot, robotSecret, err := s.Accounts().AddRobot(t.Context(), admin.Operator("root"), accounts.NewRobot{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	_, laptop, err := s.Accounts().Credentials.AddToken(t.Context(), admin.Operator("root"), credentials.NewToken{Owner: credentials.Owner{Name: "alice"}, Name: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	refresh := s.newRefresh(t, "alice", alicePassword, nat)
	session, err := s.session(t, nat)
	if err != nil {
		t.Fatal(err)
	}

	// Invalid credentials of each kind: the same credential a hundred times, and a hundred
	// different credentials.
	revoked := madeUp
	expired := ci.issueToken(t, "us", "acme/expired", -5*time.Minute)
	job := func() int { return s.signIn("job", expired, nat) }
	bad := map[string]func(n int) int{
		"the same expired ID token": func(int) int { return job() },
		"expired ID tokens": func(n int) int {
			return s.signIn("job", ci.issueToken(t, "us", fmt.Sprint("acme/", n), -5*time.Minute), nat)
		},
		"ID tokens with a wrong signature": func(n int) int {
			token := ci.issueToken(t, "us", fmt.Sprint("acme/", n), time.Minute)
			return s.signIn("job", texttest.Altered(token), nat)
		},
		"the same revoked access token":  func() func(int) int { one := revoked('a'); return func(int) int { return s.signIn("x", one, nat) } }(),
		"access tokens":                  func(int) int { return s.signIn("x", revoked('a'), nat) },
		"robots' secrets":                func(int) int { return s.signIn("robot+ci", revoked('b'), nat) },
		"the same revoked refresh token": func() func(int) int { one := revoked('r'); return func(int) int { return s.refresh(one, nat) } }(),
		"refresh tokens":                 func(int) int { return s.refresh(revoked('r'), nat) },
		"sessions":                       func(int) int { return s.withSession(revoked('c'), nat) },
	}
	for what, show := range bad {
		for n := range 100 {
			if code := show(n); code != http.StatusUnauthorized && code != http.StatusTooManyRequests {
				t.Fatalf("%s: %d", what, code)
			}
		}
	}
	if code := s.signIn("x", revoked('a'), nat); code != http.StatusTooManyRequests {
		t.Errorf("another invalid token after 900 invalid tokens: %d, want 429", code)
	}
	good := map[string]func(n int) int{
		"robot":         func(int) int { return s.signIn(robot.Login(), robotSecret.Reveal(), nat) },
		"access token":  func(int) int { return s.signIn("alice", laptop.Reveal(), nat) },
		"refresh token": func(int) int { return s.refresh(refresh, nat) },
		"session":       func(int) int { return s.withSession(session, nat) },
		"ID token": func(n int) int {
			return s.signIn("job", ci.issueToken(t, "us", fmt.Sprint("acme/good", n), time.Minute), nat)
		},
		"password": func(int) int { return s.signIn("alice", alicePassword, nat) },
	}
	over := func(path string, sign func(*http.Request)) int {
		r := httptest.NewRequest("GET", path, nil)
		sign(r)
		return s.answer(r, nat).Code
	}
	for what, code := range map[string]int{
		"token endpoint": over("/token?service=r.example.com", func(r *http.Request) { r.SetBasicAuth("alice", laptop.Reveal()) }),
		"API, Basic":     over("/api/v1/users", func(r *http.Request) { r.SetBasicAuth("alice", laptop.Reveal()) }),
		"API, Bearer":    over("/api/v1/users", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+laptop.Reveal()) }),
		"API, session":   over("/api/v1/users", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: server.SessionCookie, Value: session}) }),
	} {
		if code != http.StatusOK {
			t.Errorf("%s: %d", what, code)
		}
	}
	if code := over("/token?service=r.example.com", func(r *http.Request) { r.SetBasicAuth("x", madeUp('a')) }); code != http.StatusTooManyRequests {
		t.Errorf("token endpoint, another invalid token: %d, want 429", code)
	}
	for what, show := range good {
		in := 0
		for n := range 41 {
			job() // the broken job runs all the time
			if show(n) == http.StatusOK {
				in++
			}
		}
		if in != 41 {
			t.Errorf("%s: accepted %d of 41 times while a job presents an expired token", what, in)
		}
	}
}

// madeUp returns a secret in the right format that was never issued. Tidewaiter handles it like
// a revoked secret.
func madeUp(letter byte) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := []byte(secret.Prefix + string(letter))
	for range 32 {
		text = append(text, letters[rand.IntN(len(letters))])
	}
	sum := crc32.ChecksumIEEE(text)
	digits := make([]byte, 6)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = letters[sum%uint32(len(letters))]
		sum /= uint32(len(letters))
	}
	return string(append(text, digits...))
}

func (s *service) session(t *testing.T, from string) (string, error) {
	shown := identity.NewPresented("alice", alicePassword)
	who, err := s.Accounts().Authenticate(t.Context(), shown)
	if err != nil {
		return "", err
	}
	_, secret, err := s.Accounts().Credentials.StartSession(t.Context(), shown, who)
	return secret.Reveal(), err
}

// Tidewaiter in 2026: after wrong passwords from many addresses, a user could sign in only from
// addresses that the process had seen for this user. After a restart, the process had seen no
// address, so the user could not sign in anywhere. Attackers must not be able to lock a user out.
func TestAFloodOnANameLocksNoUserOutAtAKnownAddress(t *testing.T) {
	floods := map[string]func(i int) string{
		"from IPv4 addresses":         func(i int) string { return fmt.Sprintf("203.0.%d.%d", i/250, i%250) },
		"from sixteen /64 of one /60": func(i int) string { return fmt.Sprintf("2001:db8:0:%x::%x", i%16, i) },
	}
	for name, from := range floods {
		t.Run(name, func(t *testing.T) {
			s := newService(t, "  - htpasswd: { file: users }\n", "sqlite:state.db")
			testFlood(t, s, from)
		})
	}
}

func testFlood(t *testing.T, s *service, from func(int) string) {
	const office, home, elsewhere = "198.51.100.7", "2001:db8:ffff:1::7", "192.0.2.200"
	s.addUser(t, "alice", alicePassword)
	// ann is an htpasswd user, alice a local account. Both sign in at two addresses.
	people := map[string]string{"alice": alicePassword, "ann": "ann-password"}
	for who, password := range people {
		for _, place := range []string{office, home} {
			if code := s.signIn(who, password, place); code != http.StatusOK {
				t.Fatalf("%s, before the flood: %d", who, code)
			}
		}
	}
	flood := func(n int) (checked map[string]int) {
		checked = make(map[string]int)
		for i := range n {
			for who := range people {
				if s.signIn(who, fmt.Sprint("guess ", s.Now().Unix(), i), from(i)) == http.StatusUnauthorized {
					checked[who]++
				}
			}
		}
		return checked
	}
	for who, n := range flood(200) {
		if n > 100 {
			t.Errorf("%s: %d of 200 guesses were checked", who, n)
		}
	}
	s.restart(t)
	for who, n := range flood(20) {
		if n > 1 {
			t.Errorf("%s: after a restart %d of 20 more guesses were checked", who, n)
		}
	}
	for range 10 {
		s.Pass(10 * time.Second)
		flood(2)
	}
	if code := s.signIn("alice", alicePassword, elsewhere); code != http.StatusTooManyRequests {
		t.Errorf("the right password, from an unknown address: %d, want 429", code)
	}
	// An operator can allow an address without signing in, even for the last administrator.
	if _, err := s.Accounts().AllowPlace(t.Context(), admin.Operator("root"), "alice", netip.MustParsePrefix("192.0.2.0/24")); err != nil {
		t.Fatal(err)
	}
	s.Pass(61 * time.Second) // the process caches for a minute that the address is unknown
	flood(10)
	if code := s.signIn("alice", alicePassword, elsewhere); code != http.StatusOK {
		t.Errorf("at an address that was allowed: %d", code)
	}
	for who, password := range people {
		in := 0
		for i := range 10 {
			s.restart(t) // so that the password is not cached
			flood(110)
			if s.signIn(who, password, []string{office, home, "198.51.100.99"}[i%3]) == http.StatusOK {
				in++
			}
		}
		if in != 10 {
			t.Errorf("%s signed in at known addresses %d of 10 times", who, in)
		}
	}
	// A name has the 100 attempts that NIST allows, and one more attempt each minute. The test
	// checks only the rate, for half an hour.
	checked := 0
	for range 30 {
		s.Pass(time.Minute)
		checked += flood(5)["alice"]
	}
	if checked > 31 {
		t.Errorf("%d guesses were checked in 30 minutes", checked)
	}
}

// Replicas on one PostgreSQL share known addresses and the counts of each name.
func TestReplicasShareKnownPlacesAndCounts(t *testing.T) {
	database := storetest.NewServer(t)
	state := fmt.Sprintf("%q", database.Database(t, "template0"))
	first := newService(t, "", state)
	const office = "198.51.100.7"
	first.addUser(t, "alice", alicePassword)
	if code := first.signIn("alice", alicePassword, office); code != http.StatusOK {
		t.Fatal(code)
	}
	first.restart(t) // a restart writes the known addresses
	second := &service{folder: first.folder, Clock: first.Clock, cfg: first.cfg}
	second.start(t)
	defer closed(t, second.App)
	checked := 0
	for i := range 300 {
		if []*service{first, second}[i%2].signIn("alice", fmt.Sprint("guess ", i), fmt.Sprintf("203.0.%d.%d", i/250, i%250)) == http.StatusUnauthorized {
			checked++
		}
	}
	if checked > 100+25 { // the second replica has up to 25 counts that are not in the database yet
		t.Errorf("%d guesses were checked by two replicas", checked)
	}
	if code := second.signIn("alice", alicePassword, office); code != http.StatusOK {
		t.Errorf("at an address that another replica knows: %d", code)
	}
	if code := second.signIn("alice", alicePassword+"!", "192.0.2.200"); code != http.StatusTooManyRequests {
		t.Errorf("at an unknown address: %d, want 429", code)
	}
}
