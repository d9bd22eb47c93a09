// Command external is a shop that has built a registry into itself: Tidewaiter asks it who its
// customers are, and what each may pull and push. It needs nothing but the standard library; take it as a
// beginning. docs/external.md describes what is asked and answered.
//
//	go run ./examples/external --listen 127.0.0.1:9000 --secret ./secret
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen at; beyond this machine, put TLS before it")
	file := flag.String("secret", "secret", "file with the secret that Tidewaiter sends (bearer_file in its config)")
	flag.Parse()
	if err := run(*listen, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen, file string) error {
	secret, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the secret: %w", err)
	}
	if strings.TrimSpace(string(secret)) == "" {
		return fmt.Errorf("reading the secret: %s is empty", file)
	}
	server := &http.Server{
		Addr:              listen,
		Handler:           handler(customers(), strings.TrimSpace(string(secret))),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
	}
	return server.ListenAndServe()
}

// shop is what the product knows. Yours has a database for it, and slow hashes (argon2id, bcrypt).
type shop map[string]customer // by name, in lower case

type customer struct {
	id       string // never given to another
	password [sha256.Size]byte
	team     string
	paid     bool
}

func customers() shop {
	return shop{
		"ann": {id: "1001", password: sha256.Sum256([]byte("wonderland")), team: "red", paid: true},
		"bob": {id: "1002", password: sha256.Sum256([]byte("can we fix it")), team: "blue"},
	}
}

// handler answers both questions, to Tidewaiter alone.
func handler(s shop, secret string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.HandleFunc("POST /decide", s.decide)
	want := sha256.Sum256([]byte("Bearer " + secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		mux.ServeHTTP(w, r)
	})
}

// signIn says whether this is one of our customers, and who somebody is who is not there to be asked: whose refresh token
// or access token was shown.
func (s shop) signIn(w http.ResponseWriter, r *http.Request) {
	var question struct {
		Name, Password string
		Find           *struct{ Name, ID string }
	}
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	if f := question.Find; f != nil {
		c, known := s[f.Name]
		if !known || f.ID != "" && f.ID != c.id {
			reply(w, map[string]any{"answer": "unknown"})
			return
		}
		reply(w, c.accepted(f.Name))
		return
	}
	name := strings.ToLower(question.Name) // one spelling, whatever is typed
	c, known := s[name]
	if !known {
		reply(w, map[string]any{"answer": "unknown"}) // perhaps somebody of another source
		return
	}
	if got := sha256.Sum256([]byte(question.Password)); subtle.ConstantTimeCompare(got[:], c.password[:]) != 1 {
		reply(w, map[string]any{"answer": "rejected"})
		return
	}
	reply(w, c.accepted(name))
}

func (c customer) accepted(name string) map[string]any {
	groups := []string{c.team}
	if c.paid {
		groups = append(groups, "paying")
	}
	return map[string]any{"answer": "accepted", "name": name, "id": c.id, "groups": groups, "claims": map[string]any{"team": c.team}}
}

// resource is a scope that is asked about, and what can be granted of it.
type resource struct {
	Type  string   `json:"type"`
	Class string   `json:"class,omitempty"`
	Name  string   `json:"name"`
	Open  []string `json:"open"`
}

// grant is what is granted of it.
type grant struct {
	Type    string   `json:"type"`
	Class   string   `json:"class,omitempty"`
	Name    string   `json:"name"`
	Granted []string `json:"granted"`
}

// decide lets everybody pull what is free, and those who have paid do all that is open to them.
func (s shop) decide(w http.ResponseWriter, r *http.Request) {
	var question struct {
		Principal struct {
			Source, Name, ID string
		}
		Scopes []resource
	}
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	c := s[question.Principal.Name]
	paid := question.Principal.Source == "external:shop" && c.id == question.Principal.ID && c.paid
	grants := []grant{} // a scope that is not in it is granted nothing
	for _, asked := range question.Scopes {
		g := grant{asked.Type, asked.Class, asked.Name, []string{}}
		for _, action := range asked.Open {
			if paid || action == "pull" && strings.HasPrefix(asked.Name, "free/") {
				g.Granted = append(g.Granted, action)
			}
		}
		grants = append(grants, g)
	}
	reply(w, map[string]any{"scopes": grants})
}

func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
