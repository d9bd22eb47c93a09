// Limit is the fastest possible token endpoint on net/http, for comparison. It answers
//
//	/sign   after one ES256 signature, with --bytes bytes
//	/write  with --bytes bytes
//	/read   after reading the request's body, with no body
//
// It has no policy, no passwords and no journal. Compare runs Limit and a real token endpoint
// in the same run, on the same machine and with the same number of threads.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"

	"github.com/tidewaiter/tidewaiter/internal/password"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:5010", "loopback address and port; port 0: a free one")
	bytes := flag.Int("bytes", 2300, "length of an answer's body, in bytes")
	flag.Parse()
	password.AddThreads() // like Tidewaiter
	if err := serve(*listen, *bytes); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		os.Exit(1)
	}
}

// serve listens, prints its address, and answers until the process ends.
func serve(address string, bytes int) error {
	if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("%q: not a loopback address and port such as 127.0.0.1:5010", address)
	}
	handler, err := newHandler(bytes)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, handler)
}

// newHandler returns all handlers. The bodies of /sign and /write differ only in the signature.
func newHandler(bytes int) (http.Handler, error) {
	// a body contains a signature in hexadecimal; this is the length of the longest signature
	const least = 2 * 72
	if bytes < least || bytes > 64<<10 {
		return nil, fmt.Errorf("%d bytes: must be %d to %d", bytes, least, 64<<10)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, errors.New("creating a key")
	}
	body := make([]byte, bytes)
	for i := range body {
		body[i] = 'a' + byte(i%26)
	}
	length := strconv.Itoa(bytes)
	head := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/write", func(w http.ResponseWriter, _ *http.Request) {
		head(w)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/sign", func(w http.ResponseWriter, _ *http.Request) {
		// An answer contains the token twice, so a token is about half of the answer. The hash
		// is computed over the token's header and claims.
		digest := sha256.Sum256(body[:len(body)/2])
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			http.Error(w, "signing", http.StatusInternalServerError)
			return
		}
		answer := make([]byte, len(body))
		copy(answer, body)
		hex.Encode(answer, signature)
		head(w)
		_, _ = w.Write(answer)
	})
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "reading", http.StatusBadRequest)
		}
	})
	return mux, nil
}
