package tidewaiter

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Answer is a response of the token endpoint.
type Answer struct {
	Status int
	Token  string
	Claims Claims
}

// Claims are a token's claims. This package does not verify them, because registries do so.
type Claims struct {
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	Access   []Access `json:"access"`
}

// Access is one grant.
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// Token requests a token for the user with the given name, or without a user if the name is "".
// The given parameters are added to the query.
func (tw *Tidewaiter) Token(t testing.TB, name, service string, scopes []string, more url.Values) Answer {
	t.Helper()
	query := url.Values{"service": {service}, "scope": scopes}
	for k, v := range more {
		query[k] = v
	}
	return TokenAt(t, tw.URL+"/token?"+query.Encode(), name)
}

// TokenAt requests a token from a URL for the user with the given name, or an anonymous token if
// the name is "".
func TokenAt(t testing.TB, address, name string) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		req.SetBasicAuth(name, Password(name))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer := Answer{Status: res.StatusCode}
	if res.StatusCode != http.StatusOK {
		return answer
	}
	var body struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	answer.Token = body.Token
	parts := strings.Split(body.Token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer.Claims); err != nil {
		t.Fatal(err)
	}
	return answer
}
