package main

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// These names are in the config of every server, and in every request.
const (
	service  = "registry.example.com"
	asked    = "/token?service=" + service + "&scope=repository:team/app:pull"
	user     = "alice"
	password = "not a secret: made for one benchmark"
	secret   = "not-a-secret-but-long-enough-for-one-benchmark" // of the registry
)

// keys are the files that all servers of a run share. New files for each server would not
// change the results.
type keys struct {
	certificate, key, htpasswd string
}

// newKeys creates a root for the run, and a user with a bcrypt hash of cost 10, like the output of
// htpasswd -B -C 10.
func newKeys(folder string) (keys, error) {
	k := keys{
		certificate: filepath.Join(folder, "root.pem"),
		key:         filepath.Join(folder, "root.key"),
		htpasswd:    filepath.Join(folder, "htpasswd"),
	}
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return k, fmt.Errorf("creating the root's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Tidewaiter benchmark root"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, root.Public(), root)
	if err != nil {
		return k, fmt.Errorf("creating the root: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(root)
	if err != nil {
		return k, fmt.Errorf("encoding the root's key: %w", err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		return k, fmt.Errorf("hashing a password: %w", err)
	}
	for file, content := range map[string][]byte{
		k.certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		k.key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		k.htpasswd:    fmt.Appendf(nil, "%s:%s\n", user, hash),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return k, fmt.Errorf("writing the keys of the run: %w", err)
		}
	}
	return k, nil
}

// deployment is the configuration of a server.
type deployment struct {
	name  string
	reuse bool
	rules int

	accounts bool   // the server has accounts
	quiet    bool   // the server logs no decisions
	proxied  bool   // the server trusts X-Forwarded-For from this machine
	database string // URL of the database; "": SQLite, in the deployment's folder
	users    string // htpasswd file; "": the file of the run; "none": no file
	ldap     string // address of a directory of ldaptest; "": no directory
	secret   string // file with the password of the directory's service account
}

// noUsers is the value of deployment.users for a server that has no htpasswd file.
const noUsers = "none"

// config returns a complete tidewaiter.yaml. Settings that are not measured have their defaults:
// the journal is durable, and every decision is in the journal and the log.
func (d deployment) config(k keys, file, address, metrics string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "listen:\n  - { address: %q }\n  - { address: %q, serve: [metrics] }\n", address, metrics)
	fmt.Fprintf(&b, "database: %q\n", cmp.Or(d.database, "sqlite:"+file))
	fmt.Fprintf(&b, "signing: { root: { certificate: %q, key: %q } }\n", k.certificate, k.key)
	fmt.Fprintf(&b, "token: { lifetime: 5m, reuse: %t }\n", d.reuse)
	fmt.Fprintf(&b, "registries:\n  - { service: %s, url: %q, notifications: { secret: %q } }\n", service, "https://"+service, secret)
	if d.quiet {
		b.WriteString("log: { level: warn }\n")
	}
	if d.proxied {
		b.WriteString("trusted_proxies: [127.0.0.1]\n")
	}
	b.WriteString("identity:\n")
	if d.accounts {
		b.WriteString("  - accounts: {}\n")
	}
	if d.users != noUsers {
		fmt.Fprintf(&b, "  - htpasswd: { file: %q }\n", cmp.Or(d.users, k.htpasswd))
	}
	if d.ldap != "" {
		fmt.Fprintf(&b, "  - ldap: { name: corp, servers: [%q], bind_dn: %q, bind_password_file: %q, user: { base: %q } }\n",
			"ldap://"+d.ldap, ldaptest.Reader, d.secret, ldaptest.People)
	}
	b.WriteString("policy:\n  roles: { reader: [pull], writer: [pull, push] }\n  rules:\n")
	// The rule that decides is in the middle of the others.
	for i := range d.rules {
		if i == d.rules/2 {
			b.WriteString("    - { name: everybody reads team, subjects: [anyone], repositories: [\"team/**\"], role: reader }\n")
			continue
		}
		b.WriteString(unrelatedRule(i))
	}
	return b.Bytes()
}

// unrelatedRule returns a rule that does not apply to the load: an allow rule for a team, a person
// or a public repository, or a deny rule. Most rules of a large policy do not apply to a given
// request.
func unrelatedRule(i int) string {
	switch i % 4 {
	case 0:
		return fmt.Sprintf("    - { name: team %d, subjects: [\"group:team-%d\"], repositories: [\"team-%d/**\"], role: writer }\n", i, i, i)
	case 1:
		return fmt.Sprintf("    - { name: user %d, subjects: [\"user:user-%d\"], repositories: [\"people/user-%d/*\"], role: writer }\n", i, i, i)
	case 2:
		return fmt.Sprintf("    - { name: public %d, subjects: [anyone], repositories: [\"library/image-%d\"], role: reader }\n", i, i)
	default:
		return fmt.Sprintf("    - { name: frozen %d, effect: deny, repositories: [\"archive-%d/**\"], actions: [push] }\n", i, i)
	}
}
