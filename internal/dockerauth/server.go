package dockerauth

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/token"
)

// defaultAddress is the address of the service if the file has no usable address.
const defaultAddress = "127.0.0.1:5001"

// server reads the listener's settings.
func (i *importer) server(n *yaml.Node) map[string]*yaml.Node {
	keys := i.section(n, "addr", "net", "path_prefix", "certificate", "key", "letsencrypt", "real_ip_header", "real_ip_pos",
		"hsts", "tls_min_version", "tls_cipher_suites", "tls_curve_preferences")
	i.out.address = i.text(keys["addr"])
	_, port, err := net.SplitHostPort(i.out.address)
	if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || strings.HasPrefix(i.text(keys["net"]), "unix") {
		at := cmp.Or(keys["addr"], n)
		i.note(Todo, at, "Tidewaiter listens on a TCP address with a port, not on %q: the import uses %s; configure the proxy for it", i.out.address, defaultAddress)
		i.out.address = defaultAddress
	}
	prefix := strings.Trim(i.text(keys["path_prefix"]), "/")
	i.out.path = strings.TrimSuffix("/"+prefix, "/") + "/auth"
	i.generalNote(Kept, keys["path_prefix"], "the token endpoint is at %s and %s/token, as before", i.out.path, i.out.path)
	certificate, key := i.text(keys["certificate"]), i.text(keys["key"])
	if certificate != "" && key != "" {
		i.out.certificate, i.out.key = certificate, key
		i.noteRelativePath(keys["certificate"], certificate)
		i.noteRelativePath(keys["key"], key)
		i.note(Kept, keys["certificate"], "TLS uses the same certificate and key")
	}
	if at := keys["letsencrypt"]; at != nil {
		text := "letsencrypt: since 1.9.0, docker_auth serves plain HTTP if it is set; Tidewaiter does not request certificates"
		if i.out.certificate == "" {
			i.note(Trap, at, "%s, so the import uses plain HTTP: configure a certificate for the listener (tls), or a proxy with TLS, because passwords are sent here", text)
		} else {
			i.note(Trap, at, "%s; the import uses certificate and key", text)
		}
	}
	if at := keys["hsts"]; i.isTrue(at) {
		i.note(Left, at, "hsts: browsers do not use a token endpoint; a proxy can send the header")
	}
	for _, name := range []string{"tls_min_version", "tls_cipher_suites", "tls_curve_preferences"} {
		if at := keys[name]; at != nil {
			i.note(Left, at, "%s: Tidewaiter uses TLS 1.2 and 1.3 with Go's secure defaults", name)
		}
	}
	return keys
}

// noteRelativePath adds a note about a relative path, because Tidewaiter and docker_auth resolve it
// against different folders.
func (i *importer) noteRelativePath(n *yaml.Node, path string) {
	if path != "" && !filepath.IsAbs(path) {
		i.note(Changed, n, "the path %s is relative to the folder of the written file, not to the working directory", path)
	}
}

// Limits of a token's lifetime in tidewaiter.yaml.
const (
	minLifetime = 60
	maxLifetime = 24 * 60 * 60
)

// token reads the signing key and the lifetime.
func (i *importer) token(n *yaml.Node, server map[string]*yaml.Node) {
	keys := i.section(n, "issuer", "expiration", "certificate", "key", "disable_legacy_key_id")
	i.out.issuer = i.text(keys["issuer"])
	if i.out.issuer != "" {
		i.note(Kept, keys["issuer"], "the issuer of tokens is %q, as before", i.out.issuer)
	}
	i.expiration(keys["expiration"])
	from, certificate, key := keys["certificate"], i.text(keys["certificate"]), i.text(keys["key"])
	if certificate == "" || key == "" {
		from, certificate, key = server["certificate"], i.text(server["certificate"]), i.text(server["key"])
	}
	if certificate == "" || key == "" {
		i.note(Todo, n, "there is no certificate and key for tokens; configure a root under signing, or create one with `tidewaiter key new`")
		return
	}
	i.out.rootCertificate, i.out.rootKey = certificate, key
	if from == keys["certificate"] {
		i.noteRelativePath(from, certificate)
	}
	if !i.checkRoot(from, keys["disable_legacy_key_id"]) {
		i.generalNote(Changed, from, "tokens are signed by the same key and identify it by its certificate (x5c), not by kid: registries accept that with their current rootcertbundle, zot does not")
	}
}

// expiration reads the lifetime of tokens.
func (i *importer) expiration(n *yaml.Node) {
	if n == nil {
		return
	}
	seconds, err := strconv.Atoi(n.Value)
	switch {
	case err != nil || seconds <= 0:
		i.problem(n, "expiration must be a number of seconds, but it is %q: write a number, such as 900", n.Value)
		return
	case seconds < minLifetime:
		i.note(Changed, n, "tokens are valid for 60 s and not for %d s: some clients reject shorter lifetimes", seconds)
		seconds = minLifetime
	case seconds > maxLifetime:
		i.note(Changed, n, "tokens are valid for a day and not for %s: a longer lifetime is not allowed, because tokens cannot be revoked", time.Duration(seconds)*time.Second)
		seconds = maxLifetime
	case seconds > 60:
		i.generalNote(Trap, n, "docker_auth does not tell clients how long a token is valid, so they assume 60 s; Tidewaiter tells them %d s, so a client may keep a revoked right that long", seconds)
	}
	i.out.lifetime = seconds
}

// checkRoot checks the certificate of the signing key, if this process can read the file. It
// reports whether registries will reject the certificate.
func (i *importer) checkRoot(n, legacy *yaml.Node) (refused bool) {
	certificatePEM, err := i.Read(i.out.rootCertificate)
	if err != nil {
		i.note(Todo, n, "the certificate cannot be read here: run `tidewaiter check` where it can be read. If it has expired, registries reject tokens with the certificate (x5c), though they accepted docker_auth's tokens, which have only the key's ID (kid)")
		return false
	}
	var certificate *x509.Certificate
	if block, _ := pem.Decode(certificatePEM); block != nil {
		certificate, _ = x509.ParseCertificate(block.Bytes)
	}
	if certificate == nil {
		i.note(Todo, n, "the certificate is not a PEM file with a certificate: run `tidewaiter check`")
		return false
	}
	if certificate.PublicKeyAlgorithm == x509.ECDSA && i.isTrue(legacy) {
		i.note(Trap, legacy, "with disable_legacy_key_id, docker_auth gives every EC key the same key ID (kid); Tidewaiter's tokens have the certificate (x5c) instead of a kid")
	}
	if refused = i.Now().After(certificate.NotAfter); refused {
		i.note(Todo, n, "the certificate expired on %s: registries accepted docker_auth's tokens, which have only the key's ID (kid), but reject tokens with this certificate; create a root (`tidewaiter key new`), add it to the rootcertbundle of each registry, and configure it under signing", certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	keyPEM, err := i.Read(i.out.rootKey)
	if err != nil {
		return refused // tidewaiter check reports the error
	}
	root, err := token.ParseRoot(certificatePEM, keyPEM)
	if err != nil {
		i.note(Todo, n, "%v: run `tidewaiter check`", err)
		return refused
	}
	if !root.IssuesLeaves() && root.Algorithm() != token.ES256 {
		i.out.algorithm = string(root.Algorithm())
	}
	for _, p := range root.Problems(token.X5C, i.Now()) {
		switch p.Kind {
		case "server-authentication", "public-issuer", "shared-issuer":
			if !i.out.shared {
				i.note(Changed, n, "%s: %s. It keeps working (signing.shared_root: true); a separate root is better: `tidewaiter key new`", p.Text, p.Hint)
			}
			i.out.shared = true
		}
	}
	return refused
}
