package tokenserver_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// noon is the current time in the tests.
var noon = time.Date(2036, 11, 23, 12, 0, 0, 0, time.UTC)

// server is a token server, with a verifier that checks its tokens.
type server struct {
	*testing.T
	handler  *tokenserver.Handler
	verifier *token.Verifier
	log      *strings.Builder
	decided  []string
}

func newServer(t *testing.T, change func(*tokenserver.Options)) *server {
	t.Helper()
	root, err := token.NewRoot("test", token.ES256, noon.Add(-time.Hour), noon.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := root.Leaf(token.ES256, noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "writers", Subjects: []string{"user:ann", "robot:ann"}, Names: []string{"team/**"}, Actions: scope.Pull | scope.Push},
		{Name: "short", Subjects: []string{"user:ann"}, Names: []string{"short/**"}, Actions: scope.Pull, Lifetime: 2 * time.Minute},
		{Name: "public", Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull},
		{Name: "office", Subjects: []string{"user:ann"}, Type: "tidewaiter", Names: []string{"journal"}, Actions: scope.Read},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{T: t, log: new(strings.Builder)}
	s.verifier, err = token.NewVerifier(token.VerifierOptions{Roots: root.Bundle(), Issuer: "tests", Audience: "Registry.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	o := tokenserver.Options{
		Issuer: "tests", Services: []string{"Registry.example.com", "other.example.com"},
		Authenticate: authenticate,
		Policy:       func() *policy.Policy { return rules },
		Signer:       func(time.Time) (*token.Signer, error) { return signer, nil },
		Decided: func(_ context.Context, r *policy.Request, d *policy.Decision) {
			for _, result := range d.Results {
				s.decided = append(s.decided, fmt.Sprintf("%s %s %s: %s", r.Principal, r.IP, result.Asked, result.Granted))
			}
		},
		Now: func() time.Time { return noon },
		Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	if s.handler, err = tokenserver.New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// authenticate accepts the user ann by password and by refresh token, and a robot of the same
// name. For some other names it returns special errors.
func authenticate(_ context.Context, r *tokenserver.Request) (*policy.Principal, error) {
	c := r.Credentials
	switch {
	case c.Kind == tokenserver.RefreshToken && c.Secret() == "refresh", c.Name == "ann" && c.Secret() == "pass:word":
		return &policy.Principal{Kind: policy.User, Name: "ann"}, nil
	case c.Name == "robot" && c.Secret() == "x":
		return &policy.Principal{Kind: policy.Robot, Name: "ann"}, nil
	case c.Name == "outage":
		return nil, fmt.Errorf("%w: the database is down", tokenserver.ErrUnavailable)
	case c.Name == "slow":
		return nil, context.DeadlineExceeded
	case c.Name == "fault":
		return nil, errors.New("nobody foresaw this")
	case c.Name == "nobody":
		return nil, nil
	case c.Name == "nil":
		return nil, (*tokenserver.Error)(nil)
	case c.Name == "guesser":
		return nil, &tokenserver.Error{Status: http.StatusTooManyRequests, Code: tokenserver.CodeTooMany, Message: "wait",
			Header: http.Header{"Retry-After": {"7"}}, Cause: errors.New("ten wrong passwords")}
	}
	return nil, fmt.Errorf("%w: no user %q", tokenserver.ErrRejected, c.Name)
}

func basic(name, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret))
}

// ask sends a GET request, or a POST request if form is not nil.
func (s *server) ask(query, authorization string, form url.Values) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequest("GET", "/token?"+query, nil)
	if form != nil {
		r = httptest.NewRequest("POST", "/token?"+query, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.RemoteAddr = "192.0.2.7:4711"
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func TestTokens(t *testing.T) {
	ann := basic("ann", "pass:word")
	repository := func(name string, actions scope.Actions) scope.Scope {
		return scope.Scope{Type: "repository", Name: name, Actions: actions}
	}
	for _, tt := range []struct {
		what, query, authorization string
		form                       url.Values
		subject                    string
		access                     []scope.Scope
		lifetime                   time.Duration
	}{
		{"a login", "service=Registry.example.com", ann, nil, "ann", nil, 5 * time.Minute},
		{"a push", "service=Registry.example.com&scope=repository:team/app:pull,push,delete", ann, nil, "ann", []scope.Scope{repository("team/app", scope.Pull|scope.Push)}, 5 * time.Minute},
		{"a lifetime that a rule shortens", "service=Registry.example.com&scope=repository:short/app:pull", ann, nil, "ann", []scope.Scope{repository("short/app", scope.Pull)}, 2 * time.Minute},
		{"nobody's pull", "service=Registry.example.com&scope=repository:public/app:pull,push", "", nil, "", []scope.Scope{repository("public/app", scope.Pull)}, 5 * time.Minute},
		{"nobody's push", "service=Registry.example.com&scope=repository:team/app:push", "", nil, "", nil, 5 * time.Minute},
		{"a robot with the name of a user", "service=Registry.example.com&scope=repository:team/app:pull", basic("robot", "x"), nil, "robot:ann", []scope.Scope{repository("team/app", scope.Pull)}, 5 * time.Minute},
		{"a service in lower case", "service=registry.example.com", ann, nil, "ann", nil, 5 * time.Minute},
		{"rights over Tidewaiter never reach a registry", "service=Registry.example.com&scope=tidewaiter:journal:read&scope=repository:team/a:pull", ann, nil, "ann", []scope.Scope{repository("team/a", scope.Pull)}, 5 * time.Minute},
		{"the parameter account does not identify the client", "service=Registry.example.com&account=ann&scope=repository:team/app:push", "", nil, "", nil, 5 * time.Minute},
		{"containerd", "", "", url.Values{"grant_type": {"password"}, "service": {"Registry.example.com"}, "username": {"ann"}, "password": {"pass:word"},
			"scope": {"repository:team/x:pull repository:team/x:pull,push"}}, "ann", []scope.Scope{repository("team/x", scope.Pull|scope.Push)}, 5 * time.Minute},
		{"a refresh token", "", "", url.Values{"grant_type": {"refresh_token"}, "service": {"Registry.example.com"}, "refresh_token": {"refresh"}}, "ann", nil, 5 * time.Minute},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := newServer(t, nil)
			w := s.ask(tt.query, tt.authorization, tt.form)
			var answer struct {
				Token       string `json:"token"`
				AccessToken string `json:"access_token"`
				ExpiresIn   int    `json:"expires_in"`
				Scope       string `json:"scope"`
				IssuedAt    string `json:"issued_at"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
				t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
			}
			c, err := s.verifier.Verify(answer.Token, noon)
			if err != nil {
				t.Fatal(err)
			}
			var granted []string
			for _, a := range c.Access {
				granted = append(granted, a.String())
			}
			if c.Subject != tt.subject || !cmp.Equal(c.Access, tt.access) || c.Expires.Sub(noon) != tt.lifetime {
				t.Errorf("%q may %v until %v", c.Subject, c.Access, c.Expires)
			}
			if answer.AccessToken != answer.Token || answer.ExpiresIn != int(tt.lifetime/time.Second) || answer.Scope != strings.Join(granted, " ") || answer.IssuedAt != "" {
				t.Errorf("answer %+v", answer)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

// All clients can show the response to a refused request. The log has the reason for the refusal.
func TestRefusals(t *testing.T) {
	const service = "service=Registry.example.com"
	for _, tt := range []struct {
		what, query, authorization string
		form                       url.Values
		change                     func(*tokenserver.Options)
		status                     int
		body, header, log          string
	}{
		{"a wrong password", service, basic("ann", "wrong"), nil, nil, 401,
			`{"errors":[{"code":"UNAUTHORIZED","message":"the name or the password is wrong"}]}`, `Basic realm="tidewaiter"`, `no user \"ann\"`},
		{"an unknown name", service, basic("eve", "wrong"), nil, nil, 401,
			`{"errors":[{"code":"UNAUTHORIZED","message":"the name or the password is wrong"}]}`, `Basic realm="tidewaiter"`, `no user \"eve\"`},
		{"by a form", "", "", url.Values{"grant_type": {"password"}, "service": {"Registry.example.com"}, "username": {"ann"}, "password": {"x"}}, nil, 401,
			`{"errors":[{"code":"UNAUTHORIZED","message":"the name or the password is wrong"}],"error":"invalid_grant","error_description":"the name or the password is wrong"}`, "Basic", "rejected"},
		{"an unknown service", "service=evil.example.com", "", nil, nil, 400, `unknown service \"evil.example.com\"`, "", "unknown service"},
		{"no service", "", "", nil, nil, 400, `\"service\" is missing`, "", "no service"},
		{"an outage", service, basic("outage", "x"), nil, nil, 503, `"UNAVAILABLE"`, "", "the database is down"},
		{"too slow", service, basic("slow", "x"), nil, nil, 503, `"UNAVAILABLE"`, "", "deadline"},
		{"a fault", service, basic("fault", "x"), nil, nil, 500, `"internal error: see the log of the token server"`, "", "nobody foresaw this"},
		{"neither a principal nor an error", service, basic("nobody", "x"), nil, nil, 500, `"internal error`, "", "neither a principal nor an error"},
		{"an error that is nil", service, basic("nil", "x"), nil, nil, 500, `"internal error`, "", "token refused"},
		{"an *Error of the program", service, basic("guesser", "x"), nil, nil, 429, `"message":"wait"`, "", "ten wrong passwords"},
		{"no policy", service, "", nil, func(o *tokenserver.Options) { o.Policy = func() *policy.Policy { return nil } }, 500, `"internal error`, "", "there is no policy"},
		{"no key", service, "", nil, func(o *tokenserver.Options) {
			o.Signer = func(time.Time) (*token.Signer, error) { return nil, errors.New("the key is locked") }
		}, 500, `"internal error`, "", "the key is locked"},
		{"a signer that is nil", service, "", nil, func(o *tokenserver.Options) {
			o.Signer = func(time.Time) (*token.Signer, error) { return nil, nil }
		}, 500, `"internal error`, "", "there is no key"},
		{"an anonymous request, which SignIn refuses", service, "", nil, func(o *tokenserver.Options) { o.SignIn = true }, 401, `docker login`, "Basic", "authentication required"},
		{"credentials, without a function Authenticate", service, basic("ann", "pass:word"), nil, func(o *tokenserver.Options) { o.Authenticate = nil }, 401, `is wrong`, "Basic", "rejected"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := newServer(t, tt.change)
			w := s.ask(tt.query, tt.authorization, tt.form)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), tt.header) {
				t.Errorf("status %d, headers %v: %s", w.Code, w.Header(), w.Body)
			}
			if !strings.Contains(s.log.String(), tt.log) || !strings.Contains(s.log.String(), "remote=192.0.2.7") {
				t.Errorf("the log has %q, want %q", s.log, tt.log)
			}
			if strings.Contains(s.log.String()+w.Body.String(), "pass:word") {
				t.Errorf("the log has a password: %s", s.log)
			}
			if len(s.decided) > 0 && tt.status != 500 {
				t.Errorf("a refused request was decided: %v", s.decided)
			}
		})
	}
}

func TestDecided(t *testing.T) {
	s := newServer(t, func(o *tokenserver.Options) {
		o.Remote = func(*http.Request) netip.Addr { return netip.MustParseAddr("198.51.100.1") }
	})
	s.ask("service=other.example.com&scope=repository:team/app:pull,delete", basic("ann", "pass:word"), nil)
	if diff := cmp.Diff([]string{"user:ann 198.51.100.1 repository:team/app:pull,delete: pull"}, s.decided); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNewRefuses(t *testing.T) {
	for what, change := range map[string]func(*tokenserver.Options){
		"no issuer":           func(o *tokenserver.Options) { o.Issuer = "" },
		"no registry":         func(o *tokenserver.Options) { o.Services = nil },
		"a nameless registry": func(o *tokenserver.Options) { o.Services = []string{""} },
		"no policy":           func(o *tokenserver.Options) { o.Policy = nil },
		"no key":              func(o *tokenserver.Options) { o.Signer = nil },
		"no clock":            func(o *tokenserver.Options) { o.Now = nil },
		"a negative lifetime": func(o *tokenserver.Options) { o.Lifetime = -1 },
	} {
		o := tokenserver.Options{
			Issuer: "i", Services: []string{"a"}, Now: time.Now,
			Policy: func() *policy.Policy { return nil }, Signer: func(time.Time) (*token.Signer, error) { return nil, nil },
		}
		if _, err := tokenserver.New(o); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if _, err := tokenserver.New(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// fmt prints a request without its secret, for every verb.
func TestARequestPrintsWithoutItsSecret(t *testing.T) {
	r := httptest.NewRequest("GET", "/token?service=a", nil)
	r.Header.Set("Authorization", basic("ann", "canary"))
	req, err := tokenserver.Decode(httptest.NewRecorder(), r)
	if err != nil || req.Credentials.Secret() != "canary" {
		t.Fatalf("%v, error %v", req, err)
	}
	text, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %v", req, req, req, &req), string(text)} {
		if strings.Contains(printed, "canary") {
			t.Errorf("the secret is printed: %s", printed)
		}
	}
}

func TestAnAnswerWithEverything(t *testing.T) {
	w := httptest.NewRecorder()
	(&tokenserver.Answer{Token: []byte("a.b.c"), ExpiresIn: 300, IssuedAt: noon.Add(time.Millisecond), RefreshToken: "r\"\n", Granted: []scope.Scope{
		{Type: "repository", Name: "a", Actions: scope.Pull}, {Type: "registry", Name: "catalog", Actions: scope.All},
	}}).Write(w)
	const want = `{"token":"a.b.c","access_token":"a.b.c","expires_in":300,"issued_at":"2036-11-23T12:00:00Z",` +
		`"scope":"repository:a:pull registry:catalog:*","refresh_token":"r\"\u000a"}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnErrorAlwaysHasAStatus(t *testing.T) {
	for _, status := range []int{0, 7, 200, 1000} {
		w := httptest.NewRecorder()
		(&tokenserver.Error{Status: status}).Write(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != http.StatusInternalServerError {
			t.Errorf("%d became %d", status, w.Code)
		}
	}
}
