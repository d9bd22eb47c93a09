// Command webhook is the service of a shop that includes a registry. It authenticates the shop's
// customers for Tidewaiter, and decides what each customer may pull and push. You can copy this
// program. It needs only the standard library. docs/webhook.md describes the protocol.
//
//	go run ./examples/webhook --listen 127.0.0.1:9000 --secret ./secret
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
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen at; for clients on other machines, add a proxy with TLS")
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

// shop has the customers by their names in lower case. A real product has a database with its
// customers, and slow password hashes (argon2id, bcrypt).
type shop map[string]customer

type customer struct {
	id       string // never reused
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

// handler serves sign-ins and decisions. It refuses callers without Tidewaiter's secret.
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

// signIn authenticates a customer. For refresh tokens and access tokens, it looks up a customer by
// name.
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
	name := strings.ToLower(question.Name) // the same spelling for every input
	c, known := s[name]
	if !known {
		reply(w, map[string]any{"answer": "unknown"}) // another source may know the name
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

// resource is a requested scope, with the actions that can be granted.
type resource struct {
	Type  string   `json:"type"`
	Class string   `json:"class,omitempty"`
	Name  string   `json:"name"`
	Open  []string `json:"open"`
}

// grant is a scope with the granted actions.
type grant struct {
	Type    string   `json:"type"`
	Class   string   `json:"class,omitempty"`
	Name    string   `json:"name"`
	Granted []string `json:"granted"`
}

// decide allows everybody to pull free images. For paying customers, it allows all actions in the
// customer's list Open.
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
	paid := question.Principal.Source == "webhook:shop" && c.id == question.Principal.ID && c.paid
	grants := []grant{} // if a scope is missing in grants, no action is granted
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
