package hook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/hook"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

const canary = "canary-7f3a91"

// start starts a TLS service. It returns a Hook that calls the service, and the log of the
// Hook.
func start(t *testing.T, handler http.HandlerFunc, change func(*hook.Options)) (*hook.Hook, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	log := &bytes.Buffer{}
	o := hook.Options{
		Name: "shop", URL: server.URL + "/sign-in", CA: ca, BearerFile: write(t, "bearer", "bearer-secret\n"),
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&o)
	}
	e, err := hook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, log
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shop is a service that knows the user ann. It ignores the case of the name.
func shop(w http.ResponseWriter, r *http.Request) {
	var q struct {
		hook.Question
		Find *hook.FindTarget
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Authorization") != "Bearer bearer-secret" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	answer := hook.Answer{Answer: hook.Unknown}
	ann := hook.Answer{
		Answer: hook.Accepted, Name: "ann", ID: "42", Groups: []string{"dev"}, Claims: map[string]any{"team": "red"},
	}
	switch {
	case q.Find != nil && q.Find.Name == "ann" && (q.Find.ID == "42" || q.Find.ID == ""):
		answer = ann
	case q.Find == nil && strings.EqualFold(q.Name, "ann"):
		answer.Answer = hook.Rejected
		if q.Password == "wonderland" {
			answer = ann
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func TestAServiceIsASource(t *testing.T) {
	var down atomic.Bool
	e, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		shop(w, r)
	}, func(o *hook.Options) { o.Find = true })
	identitytest.Run(t, identitytest.Subject{
		Source: e, Kind: identity.Password, Name: "ann", Secret: "wonderland", Unknown: "nobody",
		Break: func() { down.Store(true) },
	})
	if _, err := e.Find(t.Context(), "ann", "42"); err == nil || errors.Is(err, identity.ErrUnknown) {
		t.Errorf("finding while it is down: %v, want an outage", err)
	}
}

// Without Options.Find, no FindQuestion is sent to the service.
func TestFindIsNotSentWithoutTheOption(t *testing.T) {
	var asked atomic.Int32
	e, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		shop(w, r)
	}, nil)
	if _, err := e.Find(t.Context(), "ann", "42"); !errors.Is(err, identity.ErrUnknown) || asked.Load() != 0 {
		t.Errorf("%v, and it was asked %d times", err, asked.Load())
	}
}

// A user must not inherit the tokens of another user, even if the service returns another user.
func TestFindReturnsTheRequestedUser(t *testing.T) {
	for what, answer := range map[string]hook.Answer{
		"another id":       {Answer: hook.Accepted, Name: "ann", ID: "43"},
		"no id":            {Answer: hook.Accepted, Name: "ann"},
		"another name":     {Answer: hook.Accepted, Name: "bob", ID: "42"},
		"another spelling": {Answer: hook.Accepted, Name: "Ann", ID: "42"},
		"a closed account": {Answer: hook.Rejected},
		"an unknown one":   {Answer: hook.Unknown},
	} {
		e, _ := start(t, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(answer) },
			func(o *hook.Options) { o.Find = true })
		want := identity.ErrUnknown
		if answer.Answer == hook.Rejected {
			want = identity.ErrRejected
		}
		if p, err := e.Find(t.Context(), "ann", "42"); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v, want %v", what, p, err, want)
		}
	}
}

func TestAnAcceptedAnswerMustNameTheUser(t *testing.T) {
	e, _ := start(t, shop, nil)
	v, err := e.Authenticate(t.Context(), identity.NewPresented("ANN", "wonderland"))
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Verified{Credential: "password", Principal: &policy.Principal{
		Kind: policy.User, Name: "ann", ID: "42", Source: "webhook:shop", Groups: []string{"dev"}, Claims: map[string]any{"team": "red"},
	}}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Claims keep their types, so that a rule can distinguish the number 2 from the text "2".
func TestClaimsKeepTheirTypes(t *testing.T) {
	e, _ := start(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"answer": "accepted", "name": "ann", "claims": {"text": "2", "number": 2.0, "id": 12345678901234567890, "flag": true,
			"null": null, "list": [1, "1", {"a": 1e0}], "half": 0.50}}`)
	}, nil)
	v, err := e.Authenticate(t.Context(), identity.NewPresented("ann", "wonderland"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"text": "2", "number": json.Number("2"), "id": json.Number("12345678901234567890"), "flag": true,
		"list": []any{json.Number("1"), "1", map[string]any{"a": json.Number("1")}}, "half": json.Number("0.5"),
	}
	if diff := cmp.Diff(want, v.Principal.Claims); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// If groups are possibly missing, the sign-in is refused, because there could be a deny rule for a
// missing group. The refusal does not count as a failure of the service, so other users can still
// sign in.
func TestGroupsThatMayBeMissingRefuseSignIn(t *testing.T) {
	many := `"g` + strings.Repeat(`","g`, 1000) + `"`
	for _, tt := range []struct {
		what, groups string
		wanted, in   bool
	}{
		{"a list", `,"groups":["dev"]`, true, true},
		{"an empty list", `,"groups":[]`, true, true},
		{"none", ``, true, false},
		{"null", `,"groups":null`, true, false},
		{"no list, and no list is required", ``, false, true},
		{"an empty name", `,"groups":["dev",""]`, false, false},
		{"a name of two lines", `,"groups":["a\nb"]`, false, false},
		{"a long name", `,"groups":["` + strings.Repeat("x", username.MaxLength+1) + `"]`, false, false},
		{"too many", `,"groups":[` + many + `]`, false, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			e, log := start(t, func(w http.ResponseWriter, r *http.Request) {
				text, _ := io.ReadAll(r.Body)
				if strings.Contains(string(text), "bob") {
					_, _ = io.WriteString(w, `{"answer":"accepted","name":"bob","groups":["dev"]}`)
					return
				}
				_, _ = io.WriteString(w, `{"answer":"accepted","name":"ann","id":"1"`+tt.groups+`}`)
			}, func(o *hook.Options) { o.Groups, o.Find = tt.wanted, true })
			for range 10 {
				_, err := e.Authenticate(t.Context(), identity.NewPresented("ann", "wonderland"))
				_, found := e.Find(t.Context(), "ann", "1")
				for _, err := range []error{err, found} {
					if _, incomplete := errors.AsType[*identity.IncompleteError](err); incomplete == tt.in || err != nil && !incomplete {
						t.Fatal(err)
					}
				}
			}
			if _, err := e.Authenticate(t.Context(), identity.NewPresented("bob", "builder")); err != nil {
				t.Errorf("somebody else: %v", err)
			}
			if told := strings.Contains(log.String(), "not all groups are known"); told == tt.in {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

// An outage is not a refusal and not a grant. An invalid answer is an outage, too.
func TestAnInvalidAnswerIsAnOutage(t *testing.T) {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	for what, handler := range map[string]http.HandlerFunc{
		"nothing":                     say(""),
		"an empty object":             say("{}"),
		"no JSON":                     say("<html>sign in here</html>"),
		"accepted without a name":     say(`{"answer":"accepted"}`),
		"another word":                say(`{"answer":"ok","name":"ann"}`),
		"a misspelt key":              say(`{"answer":"accepted","name":"ann","group":["dev"]}`),
		"two answers":                 say(`{"answer":"accepted","name":"ann"}{"answer":"rejected"}`),
		"two answers in one":          say(`{"answer":"rejected","name":"ann"}`),
		"a name of two lines":         say(`{"answer":"accepted","name":"ann\nroot"}`),
		"too much":                    say(`{"answer":"accepted","name":"ann","id":"` + strings.Repeat("x", 70_000) + `"}`),
		"an answer without an end":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10<<20)) },
		"the status 401":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"the status 204":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"a cut connection":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"an answer that breaks off":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "100") },
		"no answer in the time limit": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() },
	} {
		t.Run(what, func(t *testing.T) {
			e, log := start(t, handler, func(o *hook.Options) { o.Timeout = 500 * time.Millisecond })
			_, err := e.Authenticate(t.Context(), identity.NewPresented("ann", canary))
			if err == nil || errors.Is(err, identity.ErrRejected) || errors.Is(err, identity.ErrUnknown) {
				t.Errorf("%v, want an outage", err)
			}
			if strings.Contains(fmt.Sprint(err, log), canary) {
				t.Errorf("the password is in %v or %s", err, log)
			}
		})
	}
}

// A password is sent only to the service in the config.
func TestARedirectIsNotFollowed(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		e, _ := start(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) }, nil)
		if _, err := e.Authenticate(t.Context(), identity.NewPresented("ann", canary)); err == nil || errors.Is(err, identity.ErrRejected) {
			t.Errorf("%d: %v, want an outage", status, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the target of the redirect was asked %d times", n)
	}
}

func TestAServiceWithAnotherCertificateIsNotAsked(t *testing.T) {
	var asked atomic.Int32
	e, _ := start(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }, func(o *hook.Options) { o.CA = "" })
	if _, err := e.Authenticate(t.Context(), identity.NewPresented("ann", canary)); err == nil || asked.Load() != 0 {
		t.Errorf("%v, and it was asked %d times", err, asked.Load())
	}
}

func TestAPeerThatIsDownIsSkipped(t *testing.T) {
	var asked atomic.Int32
	var up atomic.Bool
	now := time.Unix(1_800_000_000, 0)
	e, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		shop(w, r)
	}, func(o *hook.Options) { o.Now = func() time.Time { return now } })
	ann := identity.NewPresented("ann", "wonderland")
	for range 20 {
		if _, err := e.Authenticate(t.Context(), ann); err == nil || errors.Is(err, identity.ErrRejected) {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("asked %d times, want 5", n)
	}
	up.Store(true)
	now = now.Add(11 * time.Second)
	for range 2 {
		if _, err := e.Authenticate(t.Context(), ann); err != nil {
			t.Errorf("when the service is back: %v", err)
		}
	}
}

func TestConcurrentRequestsAreBounded(t *testing.T) {
	began, release := make(chan struct{}, 10), make(chan struct{})
	e, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-release
		shop(w, r)
	}, func(o *hook.Options) { o.MaxConcurrent, o.Timeout = 2, time.Minute })
	answers := make(chan error, 10)
	for range 2 {
		go func() {
			_, err := e.Authenticate(t.Context(), identity.NewPresented("ann", "wonderland"))
			answers <- err
		}()
		<-began
	}
	ctx, cancel := context.WithCancel(t.Context())
	third := make(chan error)
	go func() {
		_, err := e.Authenticate(ctx, identity.NewPresented("ann", "wonderland"))
		third <- err
	}()
	cancel()
	if err := <-third; !errors.Is(err, context.Canceled) {
		t.Errorf("a request cancelled while it waited: %v", err)
	}
	if len(began) != 0 {
		t.Error("a third question was sent while two were running")
	}
	close(release)
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

func TestInvalidOptions(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		o    hook.Options
		want string
	}{
		{hook.Options{Name: "a"}, "url: not a URL such as https://auth.example.com/sign-in"},
		{hook.Options{Name: "a", URL: "http://auth.example.com"}, "url: passwords would travel unencrypted: use https://, or an address of this machine"},
		{hook.Options{Name: "a", URL: "https://u:p@auth.example.com"}, "url: the URL contains a name or password; use bearer_file for a secret"},
		{hook.Options{Name: "a", URL: "auth.example.com"}, "url: not a URL such as https://auth.example.com/sign-in"},
		{hook.Options{Name: "a", Command: []string{"true"}}, "command: the path of the program must be absolute"},
		{hook.Options{Name: "a", Command: []string{dir}}, "command: " + dir + " is not an executable file"},
	} {
		if _, err := hook.New(tt.o); err == nil || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8000/", "http://localhost/", "http://[::1]:1/"} {
		if _, err := hook.New(hook.Options{Name: "a", URL: url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// request returns a request to pull and push, and the decision of a policy about it. The policy
// allows the principal to pull.
func request(t *testing.T, p *policy.Principal) (*policy.Request, policy.Decision) {
	t.Helper()
	rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "read", Subjects: []string{"anyone"}, Names: []string{"team/*"}, Actions: scope.Pull},
		{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/frozen"}, Actions: scope.Push},
	}})
	if err != nil {
		t.Fatal(err)
	}
	asked, _, err := scope.Parse([]string{"repository:team/app:pull,push repository:team/frozen:push repository:other:pull"})
	if err != nil {
		t.Fatal(err)
	}
	r := &policy.Request{Principal: p, Registry: "r", Scopes: asked, IP: netip.MustParseAddr("192.0.2.1"), Client: "docker"}
	return r, rules.Decide(r)
}

// grantLines returns the granted actions of each scope, and the rule.
func grantLines(d policy.Decision) (lines []string) {
	for _, r := range d.Results {
		line := fmt.Sprintf("%s %s", r.Asked.Name, r.Granted)
		var all scope.Actions
		for _, c := range r.Causes {
			all |= c.Actions
			rule := "none"
			if c.Rule != nil {
				rule = c.Rule.Name
			}
			line += fmt.Sprintf("; %s %d %s", c.Actions, c.Reason, rule)
		}
		if all != r.Asked.Actions {
			line += "; the other actions have no cause"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestAServiceDecides(t *testing.T) {
	const (
		everything = `{"scopes":[{"type":"repository","name":"team/app","granted":["*"]},` +
			`{"type":"repository","name":"team/frozen","granted":["*"]},{"type":"repository","name":"other","granted":["*"]}]}`
		tooMuch = `{"scopes":[{"type":"repository","name":"team/app","granted":["pull","push","delete"]},` +
			`{"type":"repository","name":"other","granted":["push"]}]}`
	)
	ann := &policy.Principal{Kind: policy.User, Name: "ann", Source: "htpasswd", ID: "ann"}
	narrowed := &policy.Principal{
		Kind: policy.User, Name: "ann", Source: "htpasswd", ID: "ann",
		Limits: []policy.Limit{{Names: []string{"team/**"}, Actions: scope.Pull}},
	}
	for _, tt := range []struct {
		what    string
		replace bool
		who     *policy.Principal
		says    string
		want    []string
	}{
		{"the service removes no action", false, ann, everything, []string{
			"team/app pull; pull 1 read; push 0 none", "team/frozen ; push 2 freeze", "other ; pull 0 none"}},
		{"the service removes all actions", false, ann, `{"scopes":[]}`, []string{
			"team/app ; push 0 none; pull 2 webhook:shop", "team/frozen ; push 2 freeze", "other ; pull 0 none"}},
		{"the service cannot grant more than the policy", false, ann, tooMuch, []string{
			"team/app pull; pull 1 read; push 0 none", "team/frozen ; push 2 freeze", "other ; pull 0 none"}},
		{"the service can grant actions, except those that a rule denies", true, ann, everything, []string{
			"team/app pull,push; pull,push 1 webhook:shop", "team/frozen ; push 2 freeze", "other pull; pull 1 webhook:shop"}},
		{"the service grants at most the requested actions", true, ann, tooMuch, []string{
			"team/app pull,push; pull,push 1 webhook:shop", "team/frozen ; push 2 freeze", "other ; pull 2 webhook:shop"}},
		{"the service grants at most the actions that the credential's restrictions allow", true, narrowed, everything, []string{
			"team/app pull; push 0 none; pull 1 webhook:shop", "team/frozen ; push 2 freeze", "other ; pull 0 none"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			e, _ := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.says) },
				func(o *hook.Options) { o.Replace = tt.replace })
			r, d := request(t, tt.who)
			decided, err := e.Decide(t.Context(), r, d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, grantLines(decided)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestADecisionQuestionHasTheWholeRequest(t *testing.T) {
	var q hook.DecisionQuestion
	e, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&q)
		_, _ = io.WriteString(w, `{"scopes":[]}`)
	}, func(o *hook.Options) { o.Replace = true })
	r, d := request(t, &policy.Principal{Kind: policy.Robot, Name: "ci", Source: "accounts", ID: "7", Groups: []string{"g"}, Claims: map[string]any{"x": "y"}})
	if _, err := e.Decide(t.Context(), r, d); err != nil {
		t.Fatal(err)
	}
	want := hook.DecisionQuestion{
		Principal: hook.Principal{Kind: "robot", Name: "ci", Source: "accounts", ID: "7", Groups: []string{"g"}, Claims: map[string]any{"x": "y"}},
		Registry:  "r", Address: "192.0.2.1", Client: "docker",
		Scopes: []hook.AskedScope{
			{Resource: hook.Resource{Type: "repository", Name: "team/app"}, Asked: []string{"pull", "push"}, Open: []string{"pull", "push"}},
			{Resource: hook.Resource{Type: "repository", Name: "team/frozen"}, Asked: []string{"push"}, Open: []string{}},
			{Resource: hook.Resource{Type: "repository", Name: "other"}, Asked: []string{"pull"}, Open: []string{"pull"}},
		},
	}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnUnclearDecisionIsAnOutage(t *testing.T) {
	for what, says := range map[string]string{
		"an empty object":                `{}`,
		"nothing":                        ``,
		"a scope that was not requested": `{"scopes":[{"type":"repository","name":"team/*","granted":["pull"]}]}`,
		"a scope twice":                  `{"scopes":[{"type":"repository","name":"other","granted":[]},{"type":"repository","name":"other","granted":["pull"]}]}`,
		"an unknown action":              `{"scopes":[{"type":"repository","name":"other","granted":["pul"]}]}`,
		"an unknown key":                 `{"allow":true}`,
		"scopes that are not objects":    `{"scopes":null}`,
	} {
		t.Run(what, func(t *testing.T) {
			e, _ := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, says) }, nil)
			r, d := request(t, nil)
			decided, err := e.Decide(t.Context(), r, d)
			if err == nil || decided.Results != nil {
				t.Errorf("%v, %v", grantLines(decided), err)
			}
		})
	}
}

func TestNoQuestionIfNothingMayBeGranted(t *testing.T) {
	var asked atomic.Int32
	e, _ := start(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }, nil)
	r, d := request(t, nil)
	r.Scopes, d.Results = r.Scopes[1:], d.Results[1:]
	decided, err := e.Decide(t.Context(), r, d)
	if diff := cmp.Diff(d, decided); err != nil || diff != "" || asked.Load() != 0 {
		t.Errorf("%v, asked %d times %s", err, asked.Load(), diff)
	}
}
