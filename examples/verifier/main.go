// Command verifier serves the SBOMs of a registry's images. A client that may pull an image gets
// the image's SBOM. The service accepts the registry's tokens, and verifies them in the same way
// as the registry.
//
//	go run ./examples/verifier --folder ./sboms --bundle keys/root.pem \
//	    --service registry.example.com --issuer shop --realm http://localhost:9001/token
//
// The SBOM of team/app is the file team/app.json, served at /sbom/team/app. A client without a
// token gets the same challenge as from a registry. So clients of registries can use their
// credentials.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9002", "address to listen at; for clients on other machines, add a proxy with TLS")
	folder := flag.String("folder", "sboms", "folder with the SBOMs")
	bundle := flag.String("bundle", "keys/root.pem", "the registry's rootcertbundle")
	service := flag.String("service", "registry.example.com", "the registry's service name")
	issuer := flag.String("issuer", "shop", "the name of the token server")
	realm := flag.String("realm", "http://localhost:9001/token", "URL of the token server")
	flag.Parse()
	roots, err := os.ReadFile(*bundle)
	if err == nil {
		var verifier *token.Verifier
		verifier, err = token.NewVerifier(token.VerifierOptions{Roots: roots, Issuer: *issuer, Audience: *service, Leeway: token.Leeway})
		if err == nil {
			challenge := tokenserver.Challenge{Realm: *realm, Service: *service}
			server := &http.Server{Addr: *listen, Handler: newHandler(verifier, challenge, os.DirFS(*folder), time.Now), ReadTimeout: 10 * time.Second}
			err = server.ListenAndServe()
		}
	}
	fmt.Fprintln(os.Stderr, "verifier:", err)
	os.Exit(1)
}

func newHandler(verifier *token.Verifier, challenge tokenserver.Challenge, sboms fs.FS, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sbom/{repository...}", func(w http.ResponseWriter, r *http.Request) {
		image := scope.Scope{Type: scope.TypeRepository, Name: r.PathValue("repository"), Actions: scope.Pull}
		if image.Check() != nil { // a valid name cannot lead outside the folder
			http.NotFound(w, r)
			return
		}
		refuse := challenge
		refuse.Scopes = []scope.Scope{image}
		signed, ok := tokenserver.Bearer(r)
		if !ok {
			refuse.Write(w, r)
			return
		}
		claims, err := verifier.Verify(signed, now())
		if err != nil {
			slog.Info("token refused", "error", err, "remote", r.RemoteAddr)
			refuse.Error = tokenserver.InvalidToken
			refuse.Write(w, r)
			return
		}
		if !claims.Allows(image) {
			slog.Info("token is not enough", "subject", claims.Subject, "wanted", image.String())
			refuse.Error = tokenserver.InsufficientScope
			refuse.Write(w, r)
			return
		}
		text, err := fs.ReadFile(sboms, image.Name+".json")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			http.NotFound(w, r)
		case err != nil:
			slog.Error("SBOM not read", "error", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(text)
		}
	})
	return mux
}
