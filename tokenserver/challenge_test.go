package tokenserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

func TestChallenge(t *testing.T) {
	app := []scope.Scope{{Type: "repository", Name: "team/app", Actions: scope.Pull | scope.Push}}
	for _, tt := range []struct {
		challenge tokenserver.Challenge
		want      string
	}{
		{tokenserver.Challenge{Realm: "https://auth.example.com/token", Service: "registry.example.com"},
			`Bearer realm="https://auth.example.com/token",service="registry.example.com"`},
		{tokenserver.Challenge{Realm: "https://a/?x=1,y=2", Service: `a "b" \c`, Scopes: app, Error: tokenserver.InsufficientScope},
			`Bearer realm="https://a/?x=1,y=2",service="a \"b\" \\c",scope="repository:team/app:pull,push",error="insufficient_scope"`},
		{tokenserver.Challenge{Realm: "a\r\nX-Evil: b", Service: "s", Scopes: append(app, scope.Scope{Type: "repository", Name: "b", Actions: scope.Pull})},
			`Bearer realm="a  X-Evil: b",service="s",scope="repository:team/app:pull,push repository:b:pull"`},
	} {
		if diff := cmp.Diff(tt.want, tt.challenge.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	w := httptest.NewRecorder()
	tokenserver.Challenge{Realm: "r", Service: "s", Scopes: app, Error: tokenserver.InsufficientScope}.Write(w, httptest.NewRequest("GET", "/v2/", nil))
	if w.Code != http.StatusUnauthorized || len(w.Header()["Www-Authenticate"]) != 1 || !strings.Contains(w.Body.String(), `"code":"DENIED"`) {
		t.Errorf("status %d, %v: %s", w.Code, w.Header(), w.Body)
	}
}

// A client reads the original realm, service and error from a challenge. These values can contain
// any characters.
func TestAChallengeIsReadBack(t *testing.T) {
	text := rapid.StringMatching(`[ -~]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{"realm": text.Draw(t, "realm"), "service": text.Draw(t, "service"), "error": "x" + text.Draw(t, "error")}
		got, ok := readChallenge(tokenserver.Challenge{Realm: want["realm"], Service: want["service"], Error: want["error"]}.String())
		if !ok || !cmp.Equal(want, got) {
			t.Fatalf("%v was read as %v", want, got)
		}
	})
}

// readChallenge parses the parameters of a challenge as RFC 9110, section 11, requires.
func readChallenge(text string) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(text, "Bearer ")
	if !ok {
		return nil, false
	}
	got := map[string]string{}
	for {
		name, after, ok := strings.Cut(rest, `="`)
		if !ok {
			return nil, false
		}
		var value strings.Builder
		i := 0
		for ; i < len(after) && after[i] != '"'; i++ {
			if after[i] == '\\' {
				i++
			}
			value.WriteByte(after[i])
		}
		got[name] = value.String()
		if rest = after[i+1:]; rest == "" {
			return got, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
	}
}

func TestBearer(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		token   string
		ok      bool
	}{
		{[]string{"Bearer a.b.c"}, "a.b.c", true},
		{[]string{"bearer  a.b.c "}, "a.b.c", true},
		{nil, "", false},
		{[]string{"Bearer"}, "", false},
		{[]string{"Bearer "}, "", false},
		{[]string{"Basic a.b.c"}, "a.b.c", false},
		{[]string{"Bearer a", "Bearer b"}, "", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if tt.headers != nil {
			r.Header["Authorization"] = tt.headers
		}
		if token, ok := tokenserver.Bearer(r); ok != tt.ok || ok && token != tt.token {
			t.Errorf("%q: %q, %v", tt.headers, token, ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("service=a&scope=repository:a:pull", "", "Basic YTpi")
	f.Add("", "grant_type=password&username=a&password=b&service=a", "")
	f.Add("service=a&service=b", "%", "Bearer x")
	f.Fuzz(func(t *testing.T, query, form, authorization string) {
		method := http.MethodGet
		if form != "" {
			method = http.MethodPost
		}
		r := httptest.NewRequest(method, "/token", strings.NewReader(form))
		r.URL.RawQuery = query
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		w := httptest.NewRecorder()
		req, err := tokenserver.Decode(w, r)
		if err == nil {
			if req.Service == "" || len(req.Scopes) > scope.MaxScopes || len(req.Client) > 256 {
				t.Fatalf("decoded %+v", req)
			}
			return
		}
		e, ok := err.(*tokenserver.Error) //nolint:errorlint // the error is documented to be one
		if !ok || e.Status < 400 || e.Status > 415 {
			t.Fatalf("error %v", err)
		}
		e.Write(w, r)
	})
}
