package token_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// A registry needs only the root's certificate. When the leaves under the root change, nothing has
// to change at the registry.
func Example() {
	now := time.Now()
	root, err := token.NewRoot("registry.example.com", token.ES256, now.Add(-time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	bundle := root.Bundle() // the registry's rootcertbundle
	fmt.Println(string(bundle[:27]))

	leaf, err := root.Leaf(token.ES256, now.Add(-time.Hour), now.Add(24*time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := leaf.Append(nil, &token.Claims{
		Issuer:    "https://auth.example.com",
		Subject:   "ann",
		Audience:  "registry.example.com",
		IssuedAt:  now,
		NotBefore: now.Add(-10 * time.Second),
		Expires:   now.Add(5 * time.Minute),
		Access:    []scope.Scope{{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Pull}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text[:3])) // {"
	// Output:
	// -----BEGIN CERTIFICATE-----
	// eyJ
}

// Append refuses to sign claims that contain a right over Tidewaiter itself.
func ExampleSigner_Append() {
	now := time.Now()
	root, err := token.NewRoot("registry.example.com", token.ES256, now.Add(-time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := root.Direct(token.Libtrust)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = signer.Append(nil, &token.Claims{
		Issuer:   "https://auth.example.com",
		Audience: "registry.example.com",
		Expires:  now.Add(time.Minute),
		Access:   []scope.Scope{{Type: scope.TypeTidewaiter, Name: "accounts", Actions: scope.Write}},
	})
	fmt.Println(err)
	// Output: signing a token: "tidewaiter:accounts:write": tokens must not contain this
}

// Problems reports whether registries of all versions will accept the tokens of a root.
func ExampleRoot_Problems() {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	root, err := token.NewRoot("registry.example.com", token.EdDSA, begin, begin.AddDate(1, 0, 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range root.Problems(token.X5C, begin.AddDate(2, 0, 0)) {
		fmt.Printf("%s (refused by %v)\n", p.Text, p.Refuse)
	}
	// Output:
	// the certificate expired on 2027-01-01 (refused by [2.8 3.0 3.1])
	// the key is Ed25519: with this certificate in its rootcertbundle registry 2.8 does not start (refused by [2.8])
}

// A service that accepts tokens can check them in the same way as a registry.
func ExampleVerifier() {
	now := time.Now()
	root, err := token.NewRoot("registry.example.com", token.ES256, now.Add(-time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := root.Direct(token.X5C)
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := signer.Append(nil, &token.Claims{
		Issuer: "https://auth.example.com", Audience: "registry.example.com", Subject: "ann", Expires: now.Add(time.Minute),
		Access: []scope.Scope{{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Pull}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	verifier, err := token.NewVerifier(token.VerifierOptions{
		Roots: root.Bundle(), Issuer: "https://auth.example.com", Audience: "registry.example.com", Leeway: token.Leeway,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(string(signed), now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Subject, claims.Allows(scope.Scope{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Push}))

	_, err = verifier.Verify(string(signed), now.Add(time.Hour))
	fmt.Println(errors.Is(err, token.ErrExpired))
	// Output:
	// ann false
	// true
}
