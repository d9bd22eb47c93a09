package tokenserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// This is a complete token endpoint. The program examples/tokenserver is a token endpoint with
// keys that rotate.
func Example() {
	now := time.Now()
	root, err := token.NewRoot("registry.example.com", token.ES256, now.Add(-time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Actions: scope.Repository},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler, err := tokenserver.New(tokenserver.Options{
		Issuer:   "my product",
		Services: []string{"registry.example.com"},
		Authenticate: func(_ context.Context, r *tokenserver.Request) (*policy.Principal, error) {
			// A product stores slow hashes instead of passwords, and limits attempts.
			if r.Credentials.Name != "ann" || r.Credentials.Secret() != "wonderland" {
				return nil, tokenserver.ErrRejected
			}
			return &policy.Principal{Kind: policy.User, Name: "ann"}, nil
		},
		Policy: func() *policy.Policy { return rules },
		Signer: func(now time.Time) (*token.Signer, error) {
			// A product uses the same leaf for some hours.
			return root.Leaf(token.ES256, now.Add(-time.Hour), now.Add(time.Hour))
		},
		Now: time.Now,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, password := range []string{"wonderland", "wrong"} {
		r := httptest.NewRequest("GET", "/token?service=registry.example.com&scope=repository:ann/app:pull,push", nil)
		r.SetBasicAuth("ann", password)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 401
}

// This is the response of a registry to a client without a token.
func ExampleChallenge() {
	challenge := tokenserver.Challenge{
		Realm:   "https://auth.example.com/token",
		Service: "registry.example.com",
		Scopes:  []scope.Scope{{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Pull}},
	}
	w := httptest.NewRecorder()
	challenge.Write(w, httptest.NewRequest(http.MethodGet, "/v2/team/app/tags/list", nil))
	fmt.Println(w.Code)
	fmt.Println(strings.ReplaceAll(w.Header().Get("WWW-Authenticate"), ",", "\n"))
	// Output:
	// 401
	// Bearer realm="https://auth.example.com/token"
	// service="registry.example.com"
	// scope="repository:team/app:pull"
}
