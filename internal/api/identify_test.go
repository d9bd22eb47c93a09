package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// unsignedBy returns an ID token with the given claims and an invalid signature.
func unsignedBy(claims fields) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(fields{"alg": "ES256"}) + "." + part(claims) + "." + part("signature")
}

// Administrators can identify the credential in a leaked text. They learn who owns the
// credential, whether it is valid, and for which requests it was used. The text must not appear
// in the response, the log and the journal.
func TestLeakedCredentialsAreIdentified(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		setup, _, err := h.accounts.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.addUser("root", "tidewaiter-admins")
		h.addUser("ann")
		_, rootSecret := h.createToken("root", "admin")
		root := bearer(rootSecret)
		var leaked []string
		identify := func(text string) fields {
			t.Helper()
			leaked = append(leaked, text)
			return h.read(h.requireStatus(200, root, "POST", "/tokens/identify", fields{"secret": text}))
		}
		check := func(what string, got fields, parts string) {
			t.Helper()
			text, _ := json.Marshal(got)
			for part := range strings.SplitSeq(parts, " ") {
				if missing, unwanted := strings.CutPrefix(part, "!"); strings.Contains(string(text), missing) == unwanted {
					t.Errorf("%s: %s %s", what, part, text)
				}
			}
		}

		// An access token, its use, and the refresh token that was exchanged for it.
		access, value := h.createToken("ann", "laptop", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull})
		h.clock.Pass(time.Minute)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/token?service=r.example.com&scope=repository:team/app:pull", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("ann", value)
		answer := h.read(h.send(request))
		registryToken, _ := answer["token"].(string)
		presented := identity.NewPresented("ann", value)
		presented.Registry = "r.example.com"
		who, err := h.accounts.Authenticate(t.Context(), presented)
		if err != nil {
			t.Fatal(err)
		}
		refreshSecret, err := h.accounts.Credentials.IssueRefresh(t.Context(), presented, who)
		if err != nil || registryToken == "" {
			t.Fatal(err)
		}
		refresh := refreshSecret.Reveal()
		// The decision is in the queue of the journal before this entry.
		if err := h.journal.Append(t.Context(), journal.Entry{Time: h.clock.Now(), Text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		used := `"kind":"access" "known":true "valid":true "owner":"user:ann" "name":"laptop" "id":"` + access.ID + `" "count":1 "derived":1 team/** "summary":"decision`
		check("an access token", identify(value), used)
		check("an access token in quotes", identify("'"+value+"'\n"), used)
		check("an access token in a header", identify("Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("ann:"+value))), used)
		check("an access token with a line break", identify(value[:20]+"\n  "+value[20:]), used)
		check("a refresh token", identify(refresh), `"kind":"refresh" "known":true "valid":true "owner":"user:ann" "registry":"r.example.com" "count":0`)
		issued := `"kind":"registry" "known":true "valid":true "signer":"the "owner":"user:ann" "access":["repository:team/app:pull"] "count":1`
		check("a registry's token", identify(registryToken), issued)
		check("a registry's token with a header", identify("Authorization: Bearer "+registryToken), issued)
		check("a registry's token with a wrong signature", identify(registryToken[:len(registryToken)-8]+"AAAAAAAA"), `"kind":"registry" "known":false "valid":false id`)
		check("a forged token", identify(unsignedBy(fields{"iss": "tidewaiter", "aud": "r.example.com", "jti": "x"})), `"kind":"registry" "known":false !"owner"`)

		// The other kinds of credentials.
		check("for the first administrator", identify(setup.Reveal()), `"kind":"setup" "known":true "valid":false administrator already`)
		_, briefSecret, err := h.accounts.AddRobot(t.Context(), operator, accounts.NewRobot{Name: "brief", Expires: h.clock.Now().Add(10 * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		check("of a robot that expires", identify(briefSecret.Reveal()), `"kind":"robot" "valid":true`)
		robot, robotSecret, err := h.accounts.AddRobot(t.Context(), operator, accounts.NewRobot{Name: "ci"})
		if err != nil {
			t.Fatal(err)
		}
		check("a robot's secret", identify(robotSecret.Reveal()), `"kind":"robot" "valid":true "owner":"robot:`+robot.Name+`"`)
		session := h.requireStatus(201, nobody, "POST", "/session", fields{"name": "ann", "password": secretOf("ann")})
		cookie, _, _ := strings.Cut(session.Header.Get("Set-Cookie"), ";")
		_, sessionSecret, _ := strings.Cut(cookie, "=")
		check("a session", identify(cookie), `"kind":"session" "valid":true "owner":"user:ann"`)
		other, _ := secret.New(secret.Access)
		check("an access token of another installation", identify(other), `"kind":"access" "known":false "valid":false stored`)
		check("an access token with a wrong checksum", identify(value[:len(value)-1]+"~"), `"kind":"access" "known":false checksum`)
		check("a password", identify(secretOf("ann")), `"kind":"none" "known":false`)
		check("an ID token without a signature", identify(strings.TrimRight(unsignedBy(fields{"iss": "x"}), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")), `"known":false "valid":false`)

		// ID tokens.
		idToken := unsignedBy(fields{"iss": "https://ci.example.com", "aud": "x"})
		h.verifyIDToken = func(identity.Presented) (string, identity.Verified, error) {
			return "", identity.Verified{}, identity.ErrUnknown
		}
		check("an ID token of another issuer", identify(idToken), `"kind":"id_token" "known":false "issuer":"https://ci.example.com"`)
		h.verifyIDToken = func(c identity.Presented) (string, identity.Verified, error) {
			if c.Secret.Reveal() != idToken {
				t.Error("another text was verified")
			}
			return "oidc:ci", identity.Verified{Principal: &policy.Principal{Kind: policy.Workload, Name: "ci:job", Source: "oidc:ci"}, Credential: identity.CredentialIDToken}, nil
		}
		check("an ID token of a configured issuer", identify("token: "+idToken), `"known":true "valid":true "source":"oidc:ci" "owner":"workload:ci:job"`)
		h.verifyIDToken = func(identity.Presented) (string, identity.Verified, error) {
			return "oidc:ci", identity.Verified{}, &identity.ExplainedError{What: "the ID token", Reason: "it has expired"}
		}
		check("an expired ID token", identify(idToken), `"known":true "valid":false expired`)
		h.verifyIDToken = func(identity.Presented) (string, identity.Verified, error) {
			return "oidc:ci", identity.Verified{}, identity.Rejected("the signature is wrong")
		}
		check("a forged ID token", identify(idToken), `"known":false "valid":false signature`)
		h.verifyIDToken = func(identity.Presented) (string, identity.Verified, error) {
			return "oidc:ci", identity.Verified{}, context.DeadlineExceeded
		}
		check("an ID token during an outage", identify(idToken), `"known":false "valid":false verified now`)

		// Credentials that are no longer valid.
		if _, err := h.accounts.Disable(t.Context(), operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		check("an access token of a disabled user", identify(value), `"known":true "valid":false disabled "count":1`)
		h.clock.Pass(time.Hour)
		check("of an expired robot", identify(briefSecret.Reveal()), `"known":true "valid":false owner expired`)
		check("an expired token", identify(registryToken), `"known":true "valid":false expired "owner":"user:ann"`)
		if err := h.accounts.Credentials.Revoke(t.Context(), operator, access.ID); err != nil {
			t.Fatal(err)
		}
		check("a revoked access token", identify(value), `"known":false "valid":false revoked`)
		check("a refresh token that was created with the revoked token", identify(refresh), `"known":false revoked`)

		// A request that identifies a secret does not count as a use of the secret. Such a
		// request also must not write the secret anywhere.
		leaked = append(leaked, value, refresh, sessionSecret, robotSecret.Reveal())
		h.requireStatus(403, bearer(robotSecret.Reveal()), "POST", "/tokens/identify", fields{"secret": "x"})
		h.requireStatus(422, root, "POST", "/tokens/identify", fields{"secret": strings.Repeat(value, 1000)})
		var written strings.Builder
		for e, err := range h.journal.Read(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(e)
			written.Write(text)
		}
		written.WriteString(h.log.String())
		for _, text := range leaked {
			if text != secretOf("ann") && strings.Contains(written.String(), text) {
				t.Errorf("the log or the journal has %.12s…", text)
			}
		}
	})
}
