// Command tokenserver is a token server for a product with its own users. It uses Tidewaiter's
// public packages. For registries and clients, it works in the same way as Tidewaiter. You can
// copy this program.
//
//	go run ./examples/tokenserver --keys ./keys --service registry.example.com
//
// The command writes keys/root.pem. Configure the registry with
//
//	auth:
//	  token:
//	    realm: http://localhost:9001/token
//	    service: registry.example.com
//	    issuer: shop
//	    rootcertbundle: keys/root.pem
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/rules"
	"github.com/tidewaiter/tidewaiter/token"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "address to listen at; for clients on other machines, add a proxy with TLS")
	keys := flag.String("keys", "keys", "folder with root.pem and root-key.pem; missing files are created")
	service := flag.String("service", "registry.example.com", "the registry's service name")
	flag.Parse()
	root, err := openRoot(*keys, time.Now())
	if err == nil {
		var handler http.Handler
		if handler, err = newHandler(root, *service, time.Now); err == nil {
			mux := http.NewServeMux()
			mux.Handle("/token", handler)
			server := &http.Server{Addr: *listen, Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
			err = server.ListenAndServe()
		}
	}
	fmt.Fprintln(os.Stderr, "tokenserver:", err)
	os.Exit(1)
}

//go:embed policy.yaml
var policyYAML []byte

// customers maps names to customers. A real product stores slow password hashes (argon2id,
// bcrypt), and limits failed attempts.
var customers = map[string]struct {
	password [sha256.Size]byte
	groups   []string
}{
	"ann": {sha256.Sum256([]byte("wonderland")), []string{"paying"}},
	"bob": {sha256.Sum256([]byte("can we fix it")), nil},
}

func signIn(_ context.Context, r *tokenserver.Request) (*policy.Principal, error) {
	c, known := customers[r.Credentials.Name]
	got := sha256.Sum256([]byte(r.Credentials.Secret()))
	if r.Credentials.Kind != tokenserver.Password || subtle.ConstantTimeCompare(got[:], c.password[:]) != 1 || !known {
		return nil, tokenserver.ErrRejected
	}
	return &policy.Principal{Kind: policy.User, Name: r.Credentials.Name, Groups: c.groups}, nil
}

func newHandler(root *token.Root, service string, now func() time.Time) (http.Handler, error) {
	source, _, err := rules.Read(rules.File{Name: "policy.yaml", Text: policyYAML})
	if err != nil {
		return nil, err
	}
	compiled, err := policy.Compile(source)
	if err != nil {
		return nil, err
	}
	leaves := leafIssuer{root: root}
	return tokenserver.New(tokenserver.Options{
		Issuer: "shop", Services: []string{service}, Authenticate: signIn,
		Policy: func() *policy.Policy { return compiled },
		Signer: leaves.signer,
		Now:    now,
		Log:    slog.Default(),
	})
}

// leafIssuer creates a new signing key every half day. The root certifies each key, and registries
// trust the root. So a new key needs no change in the registries.
type leafIssuer struct {
	root  *token.Root
	mu    sync.Mutex
	leaf  *token.Signer
	until time.Time // when the next leaf is issued
}

func (l *leafIssuer) signer(now time.Time) (*token.Signer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaf != nil && now.Before(l.until) {
		return l.leaf, nil
	}
	leaf, err := l.root.Leaf(token.ES256, now.Add(-time.Hour), now.Add(24*time.Hour))
	if err != nil {
		return nil, err
	}
	l.leaf, l.until = leaf, now.Add(12*time.Hour)
	return leaf, nil
}

// openRoot reads the root. If the folder has no root, openRoot creates a root.
func openRoot(folder string, now time.Time) (*token.Root, error) {
	certificate, key := filepath.Join(folder, "root.pem"), filepath.Join(folder, "root-key.pem")
	keyPEM, err := os.ReadFile(key)
	if err == nil {
		certificatePEM, err := os.ReadFile(certificate)
		if err != nil {
			return nil, err
		}
		return token.ParseRoot(certificatePEM, keyPEM)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	root, err := token.NewRoot("shop", token.ES256, now.Add(-time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		return nil, err
	}
	if keyPEM, err = root.KeyPEM(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(certificate, root.Bundle(), 0o644); err != nil {
		return nil, err
	}
	return root, os.WriteFile(key, keyPEM, 0o600)
}
