package e2e

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// zotVerifier checks tokens like zot. zot is not available as a Go module, so zotVerifier imitates
// the observed behavior of zot's bearer authorizer. The authorizer uses the key of its configured
// certificate, and ignores the token's key id and x5c. It checks iat and exp with its own clock,
// without leeway.
type zotVerifier struct{ key any }

type zotClaims struct {
	Access []struct {
		Type, Name string
		Actions    []string
	} `json:"access"`
	jwt.RegisteredClaims
}

func newZotVerifier(t *testing.T, certificate string) zotVerifier {
	t.Helper()
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s has no certificate", certificate)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return zotVerifier{c.PublicKey}
}

// authorize returns nil if the token authorizes an action on a repository. Otherwise it returns an
// error.
func (z zotVerifier) authorize(token, repository, action string) error {
	var claims zotClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return z.key, nil },
		jwt.WithValidMethods([]string{"EdDSA", "ES256", "ES384", "RS256"}), jwt.WithIssuedAt())
	if err != nil {
		return err
	}
	for _, a := range claims.Access {
		if a.Type == "repository" && a.Name == repository && slices.Contains(a.Actions, action) {
			return nil
		}
	}
	return fmt.Errorf("the token grants no %s on %q: %+v", action, repository, claims.Access)
}

func TestZot(t *testing.T) {
	folder := t.TempDir()
	at := fmt.Sprintf("http://localhost:%d", process.Port(t))
	out, err := process.Run(t.Context(), exec.Command(tidewaiter.Program(t), "init", "--output", "json",
		"--dir", folder, "--preset", "zot", "--service", "zot.example.com", "--public-url", at))
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Account, Password string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	tidewaiter.Serve(t, filepath.Join(folder, "tidewaiter.yaml"), at)
	var config struct {
		HTTP struct {
			Auth struct {
				Bearer struct{ Realm, Service, Cert string }
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "zot-config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	bearer := config.HTTP.Auth.Bearer
	zot := newZotVerifier(t, bearer.Cert)

	ask := func(scope string) string {
		t.Helper()
		query := url.Values{"service": {bearer.Service}, "scope": {scope}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, bearer.Realm+"?"+query.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(made.Account, made.Password)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body struct{ Token string }
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v", answer.StatusCode, err)
		}
		return body.Token
	}
	pull := ask("repository:public/app:pull")
	if err := zot.authorize(pull, "public/app", "pull"); err != nil {
		t.Errorf("a pull: %v", err)
	}
	if err := zot.authorize(pull, "public/app", "push"); err == nil {
		t.Error("a token to pull authorizes a push")
	}
	if err := zot.authorize(ask("repository::pull"), "", "pull"); err != nil {
		t.Errorf("the catalog: %v", err)
	}
	if err := zot.authorize(pull, "", "pull"); err == nil {
		t.Error("a token to pull authorizes the catalog")
	}
	if err := zot.authorize(pull[:len(pull)-8]+"AAAAAAAA", "public/app", "pull"); err == nil {
		t.Error("a forged signature is accepted")
	}
}
