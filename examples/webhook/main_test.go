package main

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/hook"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// ask is Tidewaiter's client, with the configuration of examples/webhook/tidewaiter.yaml.
func ask(t *testing.T, path, secret string) *hook.Hook {
	t.Helper()
	server := httptest.NewServer(handler(customers(), "secret-of-the-shop"))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := hook.New(hook.Options{Name: "shop", URL: server.URL + path, BearerFile: file, Find: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheShopIsASource(t *testing.T) {
	identitytest.Run(t, identitytest.Subject{
		Source: ask(t, "/sign-in", "secret-of-the-shop"), Kind: identity.Password, Name: "ann", Secret: "wonderland", Unknown: "nobody",
	})
}

func TestTheShopDecides(t *testing.T) {
	e := ask(t, "/decide", "secret-of-the-shop")
	for _, tt := range []struct {
		who  *policy.Principal
		want []string
	}{
		{&policy.Principal{Kind: policy.User, Source: "webhook:shop", Name: "ann", ID: "1001"}, []string{"pull,push", "pull"}},
		{&policy.Principal{Kind: policy.User, Source: "webhook:shop", Name: "bob", ID: "1002"}, []string{"", "pull"}},
		// A user of another source with the same name.
		{&policy.Principal{Kind: policy.User, Source: "htpasswd", Name: "ann", ID: "1001"}, []string{"", "pull"}},
		{nil, []string{"", "pull"}},
	} {
		rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
			{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Repository},
		}})
		if err != nil {
			t.Fatal(err)
		}
		asked, _, err := scope.Parse([]string{"repository:pro/app:pull,push repository:free/app:pull"})
		if err != nil {
			t.Fatal(err)
		}
		r := &policy.Request{Principal: tt.who, Registry: "r", Scopes: asked}
		d, err := e.Decide(t.Context(), r, rules.Decide(r))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{d.Results[0].Granted.String(), d.Results[1].Granted.String()}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got)\n%s", tt.who, diff)
		}
	}
}

func TestTheShopAnswersTidewaiterAlone(t *testing.T) {
	_, err := ask(t, "/sign-in", "another").Authenticate(t.Context(), identity.NewPresented("ann", "wonderland"))
	if err == nil || errors.Is(err, identity.ErrRejected) || errors.Is(err, identity.ErrUnknown) {
		t.Errorf("with another secret: %v", err)
	}
}
