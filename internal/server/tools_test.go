package server_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// These are the requests of other tools, according to the tools' source code. Requests that are
// the same as docker's are left out.
func TestWhatToolsSend(t *testing.T) {
	h := newHarness(t, nil)
	ann := basic("ann", annPassword)
	query := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	const push = `{"type":"repository","name":"team/app","actions":["pull","push"]}`
	for _, tt := range []struct {
		tool, method, target, body string
		header                     []string
		status                     int
		access                     string
	}{
		{"BuildKit with the client's credentials", "POST", "/token", query("grant_type", "password", "username", "ann", "password", annPassword, "client_id", "buildkit-client",
			"service", "a.example.com", "scope", "repository:team/app:pull,push repository:team/base:pull"), nil, 200,
			"[" + push + `,{"type":"repository","name":"team/base","actions":["pull"]}]`},
		{"BuildKit with the client's identity token that has ended", "POST", "/token", query("grant_type", "refresh_token", "refresh_token", "gone", "client_id", "buildkit-client",
			"service", "a.example.com", "scope", "repository:team/app:pull"), nil, 401, ""},
		{"BuildKit with the daemon's credentials", "GET", "/token?" + query("scope", "repository:team/app:pull,push", "scope", "repository:team/base:pull", "service", "a.example.com"), "",
			[]string{"Authorization", ann, "User-Agent", "buildkit/v0.23"}, 200, "[" + push + `,{"type":"repository","name":"team/base","actions":["pull"]}]`},
		{"BuildKit without credentials", "GET", "/token?" + query("scope", "repository:public/base:pull", "service", "a.example.com"), "",
			[]string{"User-Agent", "buildkit/v0.23"}, 200, `[{"type":"repository","name":"public/base","actions":["pull"]}]`},
		{"kaniko pushes after a challenge for a pull", "GET", "/token?" + query("scope", "repository:team/app:pull", "scope", "repository:team/app:push,pull", "service", "a.example.com"), "",
			[]string{"Authorization", ann, "User-Agent", "kaniko/v1.23.2"}, 200, "[" + push + "]"},
		{"kaniko cancels an upload that it has started as a check", "GET", "/token?" + query("scope", "repository:team/app:delete", "scope", "repository:team/app:push,pull", "service", "a.example.com"), "",
			[]string{"Authorization", basic("bob", bobPassword), "User-Agent", "kaniko/v1.23.2"}, 200, `[{"type":"repository","name":"team/app","actions":["pull"]}]`},
		{"Renovate: no account, no client, the challenge's scope before the service", "GET", "/token?scope=repository%3Ateam%2Fapp%3Apull&service=a.example.com", "",
			[]string{"Authorization", basic("bob", bobPassword), "User-Agent", "RenovateBot/41.1.0 (https://github.com/renovatebot/renovate)"}, 200, `[{"type":"repository","name":"team/app","actions":["pull"]}]`},
		{"Renovate's plus for a space", "GET", "/token?scope=repository%3Ateam%2Fapp%3Apull+repository%3Ateam%2Fb%3Apull&service=a.example.com", "",
			[]string{"Authorization", basic("bob", bobPassword)}, 200, `[{"type":"repository","name":"team/app","actions":["pull"]},{"type":"repository","name":"team/b","actions":["pull"]}]`},
		{"docker manifest push mounts from two others", "GET", "/token?" + query("account", "ann", "scope", "repository:team/app:pull,push", "scope", "repository:team/x:pull", "scope", "repository:team/y:pull", "service", "a.example.com"), "",
			[]string{"Authorization", ann}, 200, "[" + push + `,{"type":"repository","name":"team/x","actions":["pull"]},{"type":"repository","name":"team/y","actions":["pull"]}]`},
		{"containers/image repeats the scope and the realm's query in a form", "POST", "/token?service=a.example.com", query("grant_type", "password", "username", "ann", "password", annPassword,
			"service", "a.example.com", "scope", "repository:team/app:pull,push", "scope", "repository:team/x:pull", "client_id", "containers/image"), nil, 200,
			"[" + push + `,{"type":"repository","name":"team/x","actions":["pull"]}]`},
		{"a registry 3.1 as a mirror", "GET", "/token?" + query("scope", "repository:team/app:pull", "service", "a.example.com"), "",
			[]string{"Authorization", basic("bob", bobPassword), "User-Agent", "distribution/v3.1.2"}, 200, `[{"type":"repository","name":"team/app","actions":["pull"]}]`},
		{"Watchtower, in lower case", "GET", "/token?" + query("service", "b.EXAMPLE.com", "scope", "repository:team/app:pull"), "",
			[]string{"Authorization", basic("bob", bobPassword)}, 200, `[{"type":"repository","name":"team/app","actions":["pull"]}]`},
	} {
		t.Run(tt.tool, func(t *testing.T) {
			if tt.body != "" {
				tt.header = append(tt.header, "Content-Type", formType)
			}
			got := h.ask(tt.method, tt.target, tt.body, tt.header...)
			if got.Status != tt.status {
				t.Fatalf("status %d, want %d: %s", got.Status, tt.status, got.Body)
			}
			if tt.status != http.StatusOK {
				return
			}
			if diff := cmp.Diff(tt.access, string(h.claims(got).Access)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A password can have any characters. It must arrive unchanged by Basic authentication and in a
// form. ISO-8859-1 from an old client is a different password, not a bad request.
func TestOddPasswordsArrive(t *testing.T) {
	for _, secret := range []string{
		":", "::a::", ` " ' \ `, "  leads", "trails  ", "tab\tin it", "50%", "%41", "a+b&c=d;e#f?g", "€uro", "日本", "🚢", "e\u0301", strings.Repeat("x", 72), "null", "{}", "Bearer x", "dGVzdA==",
	} {
		h := newHarness(t, func(_ *server.Options, l *issuer.Live) {
			users, err := htpasswd.New(htpasswd.Options{Hashing: password.New(password.Options{}), Entries: []string{entry(t, "ann", secret)}})
			if err != nil {
				t.Fatal(err)
			}
			l.Chain = chain.New(chain.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: users}}})
		})
		latin := make([]byte, 0, len(secret)) // the password in ISO-8859-1
		for _, r := range secret {
			latin = append(latin, byte(r))
		}
		for _, tt := range []struct {
			how, sent string
			status    int
		}{
			{"unchanged", secret, 200},
			{"with a blank before it", " " + secret, 401},
			{"without its last character", secret[:len(secret)-1], 401},
			{"in ISO-8859-1", string(latin), map[bool]int{true: 200, false: 401}[string(latin) == secret]},
			{"in bytes that are not UTF-8", secret + "\xff", 401},
			{"with a line end", secret + "\n", 401},
			{"very long", strings.Repeat(secret, 500), 401},
		} {
			form := url.Values{"grant_type": {"password"}, "service": {"a.example.com"}, "username": {"ann"}, "password": {tt.sent}}.Encode()
			basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+tt.sent))
			for way, got := range map[string]reply{
				"Basic":  h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic),
				"a form": h.ask("POST", "/token", form, "Content-Type", formType),
			} {
				if got.Status != tt.status {
					t.Errorf("%.20q %s by %s: status %d, want %d: %.200s", secret, tt.how, way, got.Status, tt.status, got.Body)
				}
			}
		}
	}
}
