package htpasswd_test

import (
	"context"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"golang.org/x/crypto/bcrypt"
)

func TestSmoke(t *testing.T) {
	h, _ := bcrypt.GenerateFromPassword([]byte("wonderland"), 4)
	hashing := password.New(password.Options{})
	f, err := htpasswd.New(htpasswd.Options{Entries: []string{"ann:" + string(h)}, Groups: map[string][]string{"dev": {"ann"}}, Hashing: hashing})
	if err != nil {
		t.Fatal(err)
	}
	c := identity.NewChain(identity.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: f}}})
	v, err := c.Authenticate(context.Background(), identity.NewCredentials("ann", "wonderland"))
	t.Log(v.Principal, err)
	for _, n := range []string{"ann", "bob"} {
		_, err = c.Authenticate(context.Background(), identity.NewCredentials(n, "wrong"))
		t.Log(err, hashing.Stats())
	}
}
