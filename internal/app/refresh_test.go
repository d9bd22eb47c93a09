package app_test

import (
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/app"
)

// Docker stores a refresh token in place of a password. The token ends when the password in the
// htpasswd file changes, or when the entry is removed, even if the entry is later added again.
func TestARefreshTokenEndsWithItsPasswordInTheFile(t *testing.T) {
	f := newFolder(t)
	a, err := app.New(t.Context(), f.loadWith("identity: [{ accounts: {} }, { htpasswd: { file: users } }]\n"+anyPort+rule("a")), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	login := func(password string) string {
		t.Helper()
		code, refresh := postGrant(a.Handler(), url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {password}, "access_type": {"offline"}})
		if code != 200 || refresh == "" {
			t.Fatalf("signing in: %d", code)
		}
		return refresh
	}
	refreshes := func(what, token string, want int) {
		t.Helper()
		if code, again := postGrant(a.Handler(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}); code != want || want == 200 && again != token {
			t.Errorf("%s: %d, want %d", what, code, want)
		}
		r := httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull", nil)
		r.SetBasicAuth("<token>", token)
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if w.Code != want || strings.Contains(w.Body.String(), token) {
			t.Errorf("%s, by Basic: %d %s, want %d", what, w.Code, readableBody(w), want)
		}
	}
	reload := func(users string) {
		t.Helper()
		f.write("users", users)
		if err := a.Reload(t.Context(), f.loadWith("identity: [{ accounts: {} }, { htpasswd: { file: users } }]\n"+anyPort+rule("a"))); err != nil {
			t.Fatal(err)
		}
	}
	hash := func(password string) string {
		t.Helper()
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	users, err := os.ReadFile(filepath.Join(f.dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	other := "bob:" + hash("of bob") + "\n"
	first := login("ann-password")
	refreshes("at first", first, 200)
	reload(string(users) + other)
	refreshes("another entry was added", first, 200)
	reload(other + "ann:" + hash("another password") + "\n")
	refreshes("the password was changed", first, 401)
	second := login("another password")
	refreshes("a new one", second, 200)
	reload(other)
	refreshes("the entry was removed", second, 401)
	reload(other + "ann:" + hash("another password") + "\n")
	refreshes("the entry was added again, with the same password", second, 401)
}
