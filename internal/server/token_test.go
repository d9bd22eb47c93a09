package server_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

const formType = "application/x-www-form-urlencoded"

func TestTokenHoldsWhatIsRequestedAndAllowed(t *testing.T) {
	h := newHarness(t, nil)
	ann, bob, root := basic("ann", annPassword), basic("bob", bobPassword), basic("root", rootPassword)
	for _, tt := range []struct{ who, authorization, scopes, access, sub string }{
		{"docker login, without a scope", ann, "", `[]`, "ann"},
		{"a push", ann, "scope=repository:team/app:pull,push", `[{"type":"repository","name":"team/app","actions":["pull","push"]}]`, "ann"},
		{"a pull by a user who may push", ann, "scope=repository:team/app:pull", `[{"type":"repository","name":"team/app","actions":["pull"]}]`, "ann"},
		{"a push by a user who may only pull", bob, "scope=repository:team/app:push,pull", `[{"type":"repository","name":"team/app","actions":["pull"]}]`, "bob"},
		{"a push by a user without rights", bob, "scope=repository:other/app:push,pull", `[]`, "bob"},
		{"skopeo delete requests *", ann, "scope=repository:team/app:*", `[{"type":"repository","name":"team/app","actions":["pull","push","delete"]}]`, "ann"},
		{"an anonymous pull", "", "scope=repository:public/app:pull", `[{"type":"repository","name":"public/app","actions":["pull"]}]`, ""},
		{"an anonymous pull of a private repository", "", "scope=repository:team/app:pull", `[]`, ""},
		{"containerd requests a repository twice", ann, "scope=repository:team/x:pull&scope=repository:team/x:pull,push", `[{"type":"repository","name":"team/x","actions":["pull","push"]}]`, "ann"},
		{"two scopes in one parameter", ann, "scope=repository:team/x:pull+repository:team/y:pull", `[{"type":"repository","name":"team/x","actions":["pull"]},{"type":"repository","name":"team/y","actions":["pull"]}]`, "ann"},
		{"a mount from a repository that the user may not pull", ann, "scope=repository:team/x:pull,push&scope=repository:secret/y:pull", `[{"type":"repository","name":"team/x","actions":["pull","push"]}]`, "ann"},
		{"the catalog, by a user who may list it", root, "scope=registry:catalog:*", `[{"type":"registry","name":"catalog","actions":["*"]}]`, "root"},
		{"the catalog, by an ordinary user", ann, "scope=registry:catalog:*", `[]`, "ann"},
		{"the catalog, anonymously", "", "scope=registry:catalog:*", `[]`, ""},
		{"rights over Tidewaiter never reach a registry", root, "scope=tidewaiter:journal:read", `[]`, "root"},
		{"a plugin", ann, "scope=repository(plugin):team/p:pull", `[{"type":"repository","class":"plugin","name":"team/p","actions":["pull"]}]`, "ann"},
		{"account without a password does not sign in", bob, "account=ann&scope=repository:team/app:push", `[]`, "bob"},
		{"a client cannot choose the lifetime of a token", bob, "expire=999999&exp=9999999999&expires_in=99999", `[]`, "bob"},
		{"text that is not a scope is ignored", ann, "scope=nonsense&scope=repository:FOO/bar:pull&scope=repository:team/../x:pull&scope=repository:team/app:pull", `[{"type":"repository","name":"team/app","actions":["pull"]}]`, "ann"},
	} {
		t.Run(tt.who, func(t *testing.T) {
			var header []string
			if tt.authorization != "" {
				header = []string{"Authorization", tt.authorization}
			}
			got := h.ask("GET", "/token?service=a.example.com&"+tt.scopes, "", header...)
			if got.Status != http.StatusOK {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
			c := h.claims(got)
			if diff := cmp.Diff([]string{tt.access, tt.sub, `"a.example.com"`, "tidewaiter"},
				[]string{string(c.Access), c.Subject, string(c.Audience), c.Issuer}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if life := c.Expires - c.IssuedAt - 10; life > 301 { // iat lies 10 s back
				t.Errorf("a lifetime of %d s, which is longer than the configured 5 minutes", life)
			}
		})
	}
}

func TestPostIsAnsweredLikeGet(t *testing.T) {
	h := newHarness(t, nil)
	form := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	for _, tt := range []struct {
		what, target, body string
		status             int
		contains           string
	}{
		{"containerd", "/token", form("grant_type", "password", "service", "a.example.com", "client_id", "containerd-client", "username", "ann", "password", annPassword, "scope", "repository:team/app:pull repository:team/app:pull,push"), 200, ""},
		{"a realm's query that is repeated in the body", "/token?service=a.example.com", form("grant_type", "password", "service", "a.example.com", "username", "ann", "password", annPassword), 200, ""},
		{"a password in the address", "/token?password=" + url.QueryEscape(annPassword), form("grant_type", "password", "service", "a.example.com", "username", "ann"), 400, "must not be in a query"},
		{"nothing shown", "/token", form("grant_type", "password", "service", "a.example.com", "username", "", "password", ""), 200, ""},
		{"a wrong password", "/token", form("grant_type", "password", "service", "a.example.com", "username", "ann", "password", "wrong"), 401, `"error":"invalid_grant"`},
		{"an unknown grant_type", "/token", form("grant_type", "authorization_code", "service", "a.example.com"), 400, `"error":"unsupported_grant_type"`},
		{"no grant_type", "/token", form("service", "a.example.com"), 400, "grant_type"},
		{"a service in the query and another in the body", "/token?service=b.example.com", form("grant_type", "password", "service", "a.example.com", "username", "ann", "password", annPassword), 400, "two different values"},
		{"an empty password", "/token", form("grant_type", "password", "service", "a.example.com", "username", "ann", "password", ""), 401, "wrong"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got := h.ask("POST", tt.target, tt.body, "Content-Type", formType)
			if got.Status != tt.status || !strings.Contains(got.Body, tt.contains) {
				t.Errorf("status %d, body %s; want %d with %q", got.Status, got.Body, tt.status, tt.contains)
			}
			if tt.status == 200 {
				h.claims(got)
			} else if !strings.Contains(got.Body, `"errors":[{"code":`) {
				t.Errorf("no errors[]: %s", got.Body)
			}
		})
	}
}

func TestBadInputGetsAClearError(t *testing.T) {
	h := newHarness(t, nil)
	ann := basic("ann", annPassword)
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		what, method, target, body string
		header                     []string
		status                     int
		contains                   string
	}{
		{"an unknown service", "GET", "/token?service=other.example.com", "", nil, 400, `unknown service`},
		{"no service", "GET", "/token", "", nil, 400, `\"service\" is missing`},
		{"an empty service", "GET", "/token?service=", "", nil, 400, `\"service\" is missing`},
		{"a repeated service", "GET", "/token?service=a.example.com&service=b.example.com", "", nil, 400, "two different values"},
		{"the same service twice", "GET", "/token?service=a.example.com&service=a.example.com", "", nil, 200, "token"},
		{"a wrong password", "GET", "/token?service=a.example.com", "", []string{"Authorization", basic("ann", "wrong")}, 401, "UNAUTHORIZED"},
		{"an unknown name", "GET", "/token?service=a.example.com", "", []string{"Authorization", basic("nobody", "wrong")}, 401, "UNAUTHORIZED"},
		{"an empty password", "GET", "/token?service=a.example.com", "", []string{"Authorization", basic("ann", "")}, 401, "UNAUTHORIZED"},
		{"NUL in a name", "GET", "/token?service=a.example.com", "", []string{"Authorization", basic("ann\x00", annPassword)}, 401, "UNAUTHORIZED"},
		{"a newline in a name", "GET", "/token?service=a.example.com", "", []string{"Authorization", basic("ann\nmsg=forged", annPassword)}, 401, "UNAUTHORIZED"},
		{"invalid base64", "GET", "/token?service=a.example.com", "", []string{"Authorization", "Basic !!!"}, 400, "base64"},
		{"no colon", "GET", "/token?service=a.example.com", "", []string{"Authorization", "Basic YW5u"}, 400, "colon"},
		{"another scheme", "GET", "/token?service=a.example.com", "", []string{"Authorization", "Bearer abc"}, 400, "Basic"},
		{"two Authorizations", "GET", "/token?service=a.example.com", "", []string{"Authorization", ann, "Authorization", basic("bob", bobPassword)}, 400, "several Authorization headers"},
		{"a password in the query and in the form", "POST", "/token?password=" + annPassword, "grant_type=password&service=a.example.com&username=ann&password=" + annPassword, []string{"Content-Type", formType}, 400, "query"},
		{"a password in the query", "GET", "/token?service=a.example.com&username=ann&password=x", "", nil, 400, "query"},
		{"a broken escape", "GET", "/token?service=%zz", "", nil, 400, "escape"},
		{"a scope of 1 MiB", "GET", "/token?service=a.example.com&scope=repository:" + long + ":pull", "", nil, 414, "longer than"},
		{"a scope of 1 MiB in a form", "POST", "/token", "grant_type=password&service=a.example.com&scope=" + long, []string{"Content-Type", formType}, 413, "longer than"},
		{"a form that is JSON", "POST", "/token", `{"service":"a.example.com"}`, []string{"Content-Type", "application/json"}, 415, formType},
		{"another method", "DELETE", "/token?service=a.example.com", "", nil, 405, "GET"},
		{"another address", "GET", "/tokens", "", nil, 404, "/token"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got := h.ask(tt.method, tt.target, tt.body, tt.header...)
			if got.Status != tt.status || !strings.Contains(got.Body, tt.contains) {
				t.Errorf("status %d, body %.300s; want %d with %q", got.Status, got.Body, tt.status, tt.contains)
			}
			if got.Header.Get("Content-Type") != "application/json" || len(got.Body) > 4096 {
				t.Errorf("%d bytes of %s", len(got.Body), got.Header.Get("Content-Type"))
			}
		})
	}
	if strings.Contains(h.log.String(), "\nmsg=forged") {
		t.Error("a name contains a line end that is in the log")
	}
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&scope=repository:r")
		b.WriteString(strconv.Itoa(i))
		b.WriteString(":pull")
	}
	return b.String()
}

// Harbor CVE-2019-19030, Gitea CVE-2025-69413: answers must not reveal which names exist.
func TestUnknownAndWrongAreTheSameAnswer(t *testing.T) {
	h := newHarness(t, nil)
	wrong := h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic("ann", "wrong"))
	for _, name := range []string{"nobody", "", "ANN", "ann "} {
		unknown := h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic(name, "wrong"))
		if diff := cmp.Diff(wrong, unknown); diff != "" {
			t.Errorf("the answer to %q differs from the answer to ann (-ann +%s)\n%s", name, name, diff)
		}
	}
}

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374: no password is in a log or the journal.
func TestNoSecretIsLoggedOrRecorded(t *testing.T) {
	const canary = "canary-4711-secret"
	h := newHarness(t, nil)
	for _, a := range []reply{
		h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic("ann", canary)),
		h.ask("GET", "/token?service=a.example.com&password="+canary, ""),
		h.ask("POST", "/token", "grant_type=password&service=a.example.com&username=ann&password="+canary, "Content-Type", formType),
		h.ask("POST", "/token", "grant_type=refresh_token&service=a.example.com&refresh_token="+canary, "Content-Type", formType),
		h.ask("POST", "/notifications", `{"events":[]}`, "Authorization", "Bearer "+canary),
	} {
		if strings.Contains(a.Body, canary) {
			t.Errorf("shown to the client: %s", a.Body)
		}
	}
	if strings.Contains(h.log.String(), canary) {
		t.Errorf("in the log: %s", h.log)
	}
	for _, e := range h.entries() {
		text, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), canary) || strings.Contains(e.Summary(), canary) {
			t.Errorf("in the journal: %s", text)
		}
	}
}

func TestAnIdenticalFreshAnswerReusesItsToken(t *testing.T) {
	h := newHarness(t, nil)
	ask := func(who, target string) string {
		return h.claims(h.ask("GET", target, "", "Authorization", who)).ID
	}
	ann, bob := basic("ann", annPassword), basic("bob", bobPassword)
	const pull, push = "/token?service=a.example.com&scope=repository:team/app:pull", "/token?service=a.example.com&scope=repository:team/app:pull,push"
	first := ask(ann, pull)
	if again := ask(ann, pull); again != first {
		t.Error("the same request got another token")
	}
	for what, other := range map[string]string{
		"more actions": ask(ann, push), "somebody else": ask(bob, pull),
		"another registry": ask(ann, strings.Replace(pull, "a.example", "b.example", 1)),
	} {
		if other == first {
			t.Errorf("%s, and the same token", what)
		}
	}
	if bobs := ask(bob, push); bobs != ask(bob, pull) {
		t.Error("bob requested more and was granted the same, but the tokens differ")
	}
	h.issuer.Swap(func(l issuer.Live) issuer.Live { return l })
	if ask(ann, pull) != first {
		t.Error("after a swap with the same keys, the same grant got another token")
	}
	h.issuer.Swap(func(l issuer.Live) issuer.Live { l.Name = "another issuer"; return l })
	if ask(ann, pull) == first {
		t.Error("after the issuer's name changed, an old token was reused")
	}
	h.issuer.Swap(func(l issuer.Live) issuer.Live { l.Reuse = false; return l })
	if again, last := ask(ann, pull), ask(ann, pull); again == last {
		t.Error("reuse is off, but a token was reused")
	}
}

// Clients that show the text of a refusal get a refusal. All other clients get a token with
// less access, as the specification prefers.
func TestRefusalIsExplainedToClientsThatShowIt(t *testing.T) {
	h := newHarness(t, func(_ *server.Options, l *issuer.Live) { l.Registries["a.example.com"].Explained = true })
	bob := basic("bob", bobPassword)
	const docker = "docker/20.10.24 go/go1.19 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/20.10.24)"
	for _, tt := range []struct {
		what, authorization, query, agent string
		status                            int
		contains                          string
	}{
		{"docker push without push", bob, "client_id=docker&scope=repository:team/app:push,pull", docker, 403, "bob may not push to team/app: no rule allows it (decision "},
		{"docker pull, anonymous", "", "client_id=docker&scope=repository:team/app:pull", docker, 200, "token"},
		{"crane", bob, "scope=repository:team/app:push,pull", "crane/0.22 go-containerregistry/v0.22.1", 403, "DENIED"},
		{"oras", bob, "scope=repository:team/app:pull,push", "oras/1.3.6", 403, "DENIED"},
		{"a pull that is granted", bob, "client_id=docker&scope=repository:team/app:pull", docker, 200, "token"},
		{"a login", bob, "client_id=docker", docker, 200, "token"},
		{"a mount from a repository that the user may not pull", bob, "client_id=docker&scope=repository:team/app:pull&scope=repository:x/y:pull", docker, 200, "token"},
		{"crane delete by a reader", bob, "scope=repository:team/app:push,pull,delete", "go-containerregistry/v0.22.1", 403, "bob may not delete in team/app: no rule allows it"},
		{"skopeo", bob, "scope=repository:team/app:pull,push", "skopeo/1.9.3", 200, "token"},
		{"containerd with docker's User-Agent", bob, "client_id=docker&scope=repository:team/app:pull,push", "containerd/2.0", 200, "token"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			header := []string{"User-Agent", tt.agent}
			if tt.authorization != "" {
				header = append(header, "Authorization", tt.authorization)
			}
			got := h.ask("GET", "/token?service=a.example.com&"+tt.query, "", header...)
			if got.Status != tt.status || !strings.Contains(got.Body, tt.contains) {
				t.Errorf("status %d, body %.300s; want %d with %q", got.Status, got.Body, tt.status, tt.contains)
			}
		})
	}
	for _, e := range h.entries() {
		if e.Decision.Refused != "" && (len(e.Decision.Results) != 1 || !e.Decision.Token.IsZero()) {
			t.Errorf("the journal lacks the reason, or names a token: %s", e.Summary())
		}
	}
}

func TestAnonymousRequestsCanBeRefused(t *testing.T) {
	h := newHarness(t, func(_ *server.Options, l *issuer.Live) { l.Anonymous = false })
	got := h.ask("GET", "/token?service=a.example.com&scope=repository:public/app:pull", "")
	if got.Status != 401 || got.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("status %d, headers %v: %s", got.Status, got.Header, got.Body)
	}
}
