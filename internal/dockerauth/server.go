package dockerauth

import (
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

// server reads where docker_auth listens.
func (i *importer) server(n *yaml.Node) map[string]*yaml.Node {
	keys := i.section(n, "addr", "net", "path_prefix", "certificate", "key", "letsencrypt", "real_ip_header", "real_ip_pos",
		"hsts", "tls_min_version", "tls_cipher_suites", "tls_curve_preferences")
	i.out.address = i.text(keys["addr"])
	_, port, err := net.SplitHostPort(i.out.address)
	if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || strings.HasPrefix(i.text(keys["net"]), "unix") {
		at := keys["addr"]
		if at == nil {
			at = n
		}
		i.note(Todo, at, "Tidewaiter listens at addresses with a port, and not at %q: it is 127.0.0.1:5001 now; let the proxy go there", i.out.address)
		i.out.address = "127.0.0.1:5001"
	}
	prefix := strings.Trim(i.text(keys["path_prefix"]), "/")
	i.out.path = "/auth"
	if prefix != "" {
		i.out.path = "/" + prefix + "/auth"
	}
	i.general(Kept, keys["path_prefix"], "the token endpoint stays at %s, and at %s/token", i.out.path, i.out.path)
	certificate, key := i.text(keys["certificate"]), i.text(keys["key"])
	if certificate != "" && key != "" {
		i.out.certificate, i.out.key = certificate, key
		i.absolute(keys["certificate"], certificate)
		i.absolute(keys["key"], key)
		i.note(Kept, keys["certificate"], "TLS is spoken with the same certificate and key")
	}
	if at, ok := keys["letsencrypt"]; ok && !empty(at) {
		text := "letsencrypt: docker_auth has served plain HTTP with it since 1.9.0; Tidewaiter gets no certificates by itself"
		if i.out.certificate == "" {
			i.note(Trap, at, "%s, so plain HTTP is written: give the listener a certificate (tls), or let a proxy speak TLS, since passwords travel here", text)
		} else {
			i.note(Trap, at, "%s; certificate and key are used", text)
		}
	}
	if at, ok := keys["hsts"]; ok && i.yes(at) {
		i.note(Left, at, "hsts: no browser comes to a token endpoint; a proxy can send the header")
	}
	for _, name := range []string{"tls_min_version", "tls_cipher_suites", "tls_curve_preferences"} {
		if at, ok := keys[name]; ok && !empty(at) {
			i.note(Left, at, "%s: Tidewaiter speaks TLS 1.2 and 1.3 with what Go holds safe", name)
		}
	}
	return keys
}

// absolute tells of a path that counts from somewhere else now.
func (i *importer) absolute(n *yaml.Node, path string) {
	if path != "" && !filepath.IsAbs(path) {
		i.note(Changed, n, "the path %s counts from the folder of the written file, and not from where the service is started", path)
	}
}

// Bounds of a token's life, as tidewaiter.yaml has them.
const (
	leastLife = 60
	mostLife  = 24 * 60 * 60
)

// token reads what signs, and for how long.
func (i *importer) token(n *yaml.Node, server map[string]*yaml.Node) {
	keys := map[string]*yaml.Node{}
	if n != nil && !empty(n) {
		keys = i.section(n, "issuer", "expiration", "certificate", "key", "disable_legacy_key_id")
	}
	i.out.issuer = i.text(keys["issuer"])
	if i.out.issuer != "" {
		i.note(Kept, keys["issuer"], "the issuer of tokens stays %q", i.out.issuer)
	}
	i.expiration(keys["expiration"])
	from, certificate, key := keys["certificate"], i.text(keys["certificate"]), i.text(keys["key"])
	if certificate == "" || key == "" {
		from, certificate, key = server["certificate"], i.text(server["certificate"]), i.text(server["key"])
	}
	if certificate == "" || key == "" {
		i.note(Todo, n, "there is neither a certificate nor a key for tokens; name a root under signing, or make one with `tidewaiter key new`")
		return
	}
	i.out.rootCertificate, i.out.rootKey = certificate, key
	if from == keys["certificate"] {
		i.absolute(from, certificate)
	}
	if !i.root(from, keys["disable_legacy_key_id"]) {
		i.general(Changed, from, "tokens are signed by the same key, and name it by its certificate (x5c) and not by kid: registries take that with the rootcertbundle that they have, zot does not")
	}
}

// expiration reads the life of a token.
func (i *importer) expiration(n *yaml.Node) {
	if n == nil || empty(n) {
		return
	}
	seconds, err := strconv.Atoi(n.Value)
	switch {
	case err != nil || seconds <= 0:
		i.problem(n, "expiration is a number of seconds, and %q is none: write one, as 900", n.Value)
		return
	case seconds < leastLife:
		i.note(Changed, n, "tokens are good for 60 s and not for %d: some clients refuse less", seconds)
		seconds = leastLife
	case seconds > mostLife:
		i.note(Changed, n, "tokens are good for a day and not for %s: they cannot be taken back", time.Duration(seconds)*time.Second)
		seconds = mostLife
	case seconds > 60:
		i.general(Trap, n, "docker_auth does not tell clients how long a token is good for, so that they take it for 60 s; Tidewaiter tells them %d s, and a right outlives its end by as much", seconds)
	}
	i.out.lifetime = seconds
}

// root looks at the certificate that signs, if it is here, and says whether registries will
// refuse it.
func (i *importer) root(n, legacy *yaml.Node) (refused bool) {
	certificatePEM, err := i.Read(i.out.rootCertificate)
	if err != nil {
		i.note(Todo, n, "the certificate cannot be read here: run `tidewaiter check` where it can; one that has expired works by kid alone, which docker_auth used, and is refused with x5c")
		return false
	}
	block, _ := pem.Decode(certificatePEM)
	if block == nil {
		i.note(Todo, n, "the certificate is no PEM file: run `tidewaiter check`")
		return false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		i.note(Todo, n, "the certificate cannot be read: run `tidewaiter check`")
		return false
	}
	if certificate.PublicKeyAlgorithm == x509.ECDSA && legacy != nil && i.yes(legacy) {
		i.note(Trap, legacy, "with a key of this kind (EC) and disable_legacy_key_id, docker_auth gives every key the same kid; x5c does not need one")
	}
	if refused = i.Now().After(certificate.NotAfter); refused {
		i.note(Todo, n, "the certificate expired on %s: registries took it by kid alone, and refuse it now; make a root (`tidewaiter key new`), put it into their rootcertbundle, and name it under signing", certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	keyPEM, err := i.Read(i.out.rootKey)
	if err != nil {
		return refused // check says it
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
				i.note(Changed, n, "%s: %s. It goes on working (signing.shared_root: true); a root of its own is better: `tidewaiter key new`", p.Text, p.Hint)
			}
			i.out.shared = true
		}
	}
	return refused
}
