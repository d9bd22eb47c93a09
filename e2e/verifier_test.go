package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tidewaiter/tidewaiter/token"
)

// TestVerifierAcceptsNoMoreThanRegistries compares the verifier of package token with the
// registries' own code. The tokens have all combinations of headers and claims, most of them
// invalid.
func TestVerifierAcceptsNoMoreThanRegistries(t *testing.T) {
	logrus.SetOutput(io.Discard) // both registry versions log each rejected token
	t.Cleanup(func() { logrus.SetOutput(os.Stderr) })
	now := time.Now()
	root, err := token.NewRoot("a root for tests", token.ES256, now.Add(-time.Hour), now.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	rootKey, leafKey, strange := keyOf(t, root).(*ecdsa.PrivateKey), ecKey(t), ecKey(t)
	leaf := certificate(t, leafKey.Public(), rootKey, root.Certificate(), nil)
	stranger := certificate(t, strange.Public(), strange, nil, nil)
	with := trustedKeys{bundle: string(root.Bundle())}
	x5c := func(chain ...*x509.Certificate) string {
		var list []string
		for _, c := range chain {
			list = append(list, base64.StdEncoding.EncodeToString(c.Raw))
		}
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	jwk := func(key *ecdsa.PrivateKey, kid string) string {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"kid":%q}`, base64url(point[1:33]), base64url(point[33:]), kid)
	}

	type header struct {
		text string
		key  *ecdsa.PrivateKey
	}
	headers := []header{
		{`{"alg":"ES256","x5c":` + x5c(leaf) + `}`, leafKey},
		{`{"alg":"ES256","x5c":` + x5c(leaf, root.Certificate()) + `}`, leafKey},
		{`{"alg":"ES256","x5c":` + x5c(leaf) + `,"kid":"x","typ":"JWT"}`, leafKey},
		{`{"alg":"ES256","x5c":` + x5c(leaf) + `}`, strange},
		{`{"alg":"ES256","x5c":` + x5c(stranger) + `}`, strange},
		{`{"alg":"ES256","x5c":` + x5c(stranger, root.Certificate()) + `}`, strange},
		{`{"alg":"ES256","x5c":` + x5c(root.Certificate()) + `}`, rootKey},
		{`{"alg":"ES256","x5c":[]}`, leafKey},
		{`{"alg":"ES384","x5c":` + x5c(leaf) + `}`, leafKey},
		{`{"alg":"RS256","x5c":` + x5c(leaf) + `}`, leafKey},
		{`{"alg":"HS256","x5c":` + x5c(leaf) + `}`, leafKey},
		{`{"alg":"none","x5c":` + x5c(leaf) + `}`, nil},
		{`{"alg":"none"}`, nil},
		{`{"alg":"ES256","kid":"` + paddedThumbprint(root) + `"}`, strange},
		{`{"alg":"ES256"}`, rootKey},
		{`{"alg":"ES256","x5c":` + x5c(leaf) + `,"crit":["exp"]}`, leafKey},
		{`{"alg":"none","alg":"ES256","x5c":` + x5c(leaf) + `}`, leafKey},
		{`{"ALG":"ES256","x5c":` + x5c(leaf) + `}`, leafKey},
	}
	for _, form := range []token.KeyID{token.Libtrust, token.Thumbprint, token.Thumbprint30} {
		kid, err := root.KeyID(form)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers,
			header{`{"alg":"ES256","kid":"` + kid + `"}`, rootKey},
			header{`{"alg":"ES256","kid":"` + kid + `"}`, leafKey},
			header{`{"alg":"ES256","jwk":` + jwk(rootKey, kid) + `}`, rootKey},
			header{`{"alg":"ES256","jwk":` + jwk(strange, kid) + `}`, strange},
			header{`{"alg":"ES256","x5c":` + x5c(stranger) + `,"kid":"` + kid + `"}`, rootKey},
		)
	}

	good := fmt.Sprintf(`{"iss":%q,"sub":"a","aud":%q,"exp":%d,"nbf":%d,"access":[{"type":"repository","name":"team/app","actions":["pull"]}]}`,
		issuer, service, now.Add(time.Hour).Unix(), now.Add(-time.Minute).Unix())
	claims := []string{good, `{}`, `[]`, `null`, good + "{}", good + " ", " " + good}
	for _, change := range [][2]string{
		{`"iss":"` + issuer + `"`, `"iss":"other"`}, {`"iss":"` + issuer + `"`, `"iss":["` + issuer + `"]`}, {`"iss"`, `"ISS"`},
		{`"iss"`, `"iss":"other","iss"`}, {`"iss"`, `"iss":"` + issuer + `","iss":"other","x"`},
		{`"aud":"` + service + `"`, `"aud":"other"`}, {`"aud":"` + service + `"`, `"aud":["` + service + `"]`},
		{`"aud":"` + service + `"`, `"aud":["x","` + service + `"]`}, {`"aud":"` + service + `"`, `"aud":["` + service + `",1]`}, {`"aud":"` + service + `"`, `"aud":null`},
		{`"exp":`, `"x":`}, {`"exp":`, `"exp":1,"exp":`}, {`"exp":`, `"exp":1.5e9,"x":`}, {`"exp":`, `"exp":"9999999999","x":`}, {`"exp":`, `"exp":99999999999999,"x":`},
		{`"exp":`, fmt.Sprintf(`"exp":%d,"x":`, now.Add(-30*time.Second).Unix())}, {`"exp":`, fmt.Sprintf(`"exp":%d,"x":`, now.Add(-5*time.Minute).Unix())},
		{`"nbf":`, `"x":`}, {`"nbf":`, `"nbf":null,"x":`}, {`"nbf":`, `"nbf":-1,"x":`},
		{`"nbf":`, fmt.Sprintf(`"nbf":%d,"x":`, now.Add(10*time.Minute).Unix())},
		{`"access":[`, `"access":[],"x":[`}, {`"access":[`, `"access":null,"x":[`}, {`"access":[`, `"access":{},"x":[`},
		{`["pull"]`, `["*"]`}, {`["pull"]`, `["push"]`}, {`["pull"]`, `["Pull"]`}, {`["pull"]`, `["scan","pull"]`}, {`["pull"]`, `"pull"`}, {`["pull"]`, `[]`},
		{`team/app`, `team/APP`}, {`team/app`, `*`}, {`"type":"repository"`, `"type":"registry"`}, {`"type":"repository"`, `"type":"repository","class":"plugin"`},
		{`"type":"repository"`, `"type":"repository(plugin)"`}, {`"name"`, `"name":"x","name"`}, {`"sub":"a"`, `"sub":null`}, {`"sub":"a"`, `"sub":1`},
	} {
		changed := strings.Replace(good, change[0], change[1], 1)
		if changed == good {
			t.Fatalf("%s is not in the claims", change[0])
		}
		claims = append(claims, changed)
	}

	for _, pair := range []struct {
		name     string
		registry verifier
		ours     ownVerifier
	}{
		{"2.8.3", v28{}, ownVerifier{[]token.KeyID{token.X5C, token.Libtrust}, nil}},
		{"3.1.2", v31{}, ownVerifier{[]token.KeyID{token.X5C, token.Thumbprint}, nil}},
	} {
		t.Run(pair.name, func(t *testing.T) {
			both, neither := 0, 0
			for _, h := range headers {
				for _, c := range claims {
					message := base64url([]byte(h.text)) + "." + base64url([]byte(c))
					var signature []byte
					if h.key != nil {
						digest := sha256.Sum256([]byte(message))
						r, s, err := ecdsa.Sign(rand.Reader, h.key, digest[:])
						if err != nil {
							t.Fatal(err)
						}
						signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
					}
					text := message + "." + base64url(signature)
					if pair.name == "2.8.3" && strings.Contains(c, `"aud":[`) {
						continue // only registry 3 supports lists of audiences
					}
					switch accepted := pair.ours.isAuthorized(t, with, text); {
					case accepted && !pair.registry.isAuthorized(t, with, text):
						t.Errorf("the verifier accepts a token that the registry rejects: %s %s", h.text, c)
					case accepted:
						both++
					default:
						neither++
					}
				}
			}
			if both < 30 || neither < 1000 {
				t.Errorf("%d tokens were accepted by both and %d rejected by both: the test may not test both results", both, neither)
			}
		})
	}
}
