package token_test

import (
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/token"
)

// For every key and form, the key under a kid verifies the tokens with this kid.
func TestKeySetVerifiesTokens(t *testing.T) {
	for _, name := range []string{"ec", "p384", "p521", "rsa", "ed25519"} {
		r := parse(t, name+"-cert.pem", name+".pem")
		forms := []token.KeyID{token.Libtrust, token.Thumbprint, token.Thumbprint30}
		if r.Algorithm() == token.EdDSA {
			forms = []token.KeyID{token.Thumbprint}
		}
		text, err := r.JWKS(forms...)
		if err != nil {
			t.Fatal(err)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatal(err)
		}
		for _, form := range forms {
			s, err := r.Direct(form)
			if err != nil {
				t.Fatal(err)
			}
			keys := set.Key(s.KeyID())
			if len(keys) != 1 {
				t.Fatalf("%s %s: %d keys for %s in %s", name, form, len(keys), s.KeyID(), text)
			}
			if k := keys[0]; k.Use != "sig" || k.Algorithm != string(s.Algorithm()) || !k.IsPublic() {
				t.Errorf("%s %s: key %+v", name, form, k)
			}
			signed := sign(t, s, claims())
			verify(t, signed, keys[0].Key)
			if _, err := verifier(t, func(o *token.VerifierOptions) { o.JWKS = text }).Verify(string(signed), noon); err != nil {
				t.Errorf("%s %s: %v", name, form, err)
			}
		}
	}
}

func TestKeySetListsAKidOnce(t *testing.T) {
	rsa := parse(t, "rsa-cert.pem", "rsa.pem") // registries 3.0 and 3.1 compute the same kid
	ec := root(t, token.ES256)
	for _, tt := range []struct {
		root  *token.Root
		forms []token.KeyID
		keys  int
	}{
		{rsa, []token.KeyID{token.Thumbprint, token.Thumbprint30, token.Thumbprint}, 1},
		{ec, []token.KeyID{token.Thumbprint, token.Thumbprint30}, 2},
		{ec, []token.KeyID{token.X5C}, 1},
		{ec, nil, 0},
	} {
		text, err := tt.root.JWKS(tt.forms...)
		if err != nil {
			t.Fatal(err)
		}
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil || len(set.Keys) != tt.keys {
			t.Errorf("%v: error %v, %s", tt.forms, err, text)
		}
		for _, key := range set.Keys {
			for private := range map[string]bool{"d": true, "p": true, "q": true, "k": true} {
				if _, ok := key[private]; ok {
					t.Errorf("a private part %q is listed", private)
				}
			}
		}
	}
	if text, err := root(t, token.EdDSA).JWKS(token.Libtrust); err == nil {
		t.Errorf("a kid that does not exist is listed: %s", text)
	}
}
