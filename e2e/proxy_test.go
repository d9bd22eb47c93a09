package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// The hosts in docs/home.md, and the port at which the test's proxy serves both hosts.
const (
	registryHost = "registry.example.com"
	authHost     = "auth.example.com"
)

// TestInitBehindAProxy migrates an existing registry, which has its own password file and a
// proxy, to Tidewaiter. The output of init is not edited, and the proxy's config is copied from
// docs/home.md.
func TestInitBehindAProxy(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version registry.Version
		proxy   func(t *testing.T, ports *strings.Replacer, port int) (roots *x509.CertPool)
	}{
		{"registry 2.8 behind nginx", registry.V28, nginx},
		{"registry 3.1 behind Caddy", registry.V31, caddy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const secret = "correct horse battery"
			folder := t.TempDir()
			line, err := process.Run(t.Context(), exec.Command(process.Need(t, "htpasswd", "apache2-utils"), "-nbBC", "5", "bob", secret))
			if err != nil {
				t.Fatal(err)
			}
			passwords, config := filepath.Join(folder, "htpasswd"), filepath.Join(folder, "config.yml")
			put(t, passwords, strings.TrimSpace(line)+"\n")
			put(t, config, fmt.Sprintf("version: 0.1\nstorage: { filesystem: { rootdirectory: %s } }\nhttp: { addr: %q, host: \"https://%s\" }\nauth: { htpasswd: { realm: ours, path: %q } }\n",
				registry.Storage, registry.Address, registryHost, passwords))

			ours, port := process.Port(t), process.Port(t)
			program, dir := tidewaiter.Program(t), filepath.Join(folder, "tidewaiter")
			if _, err := process.Run(t.Context(), exec.Command(program, "init", "--dir", dir, "--registry-config", config,
				"--public-url", "https://"+authHost, "--listen", fmt.Sprintf("localhost:%d", ours))); err != nil {
				t.Fatal(err)
			}
			check := exec.Command(program, "check", "--config", filepath.Join(dir, "tidewaiter.yaml"))
			if out, err := check.CombinedOutput(); err != nil || strings.Contains(string(out), "warning") {
				t.Fatalf("check: %v: %s", err, out)
			}
			tw := tidewaiter.Serve(t, filepath.Join(dir, "tidewaiter.yaml"), fmt.Sprintf("http://localhost:%d", ours))
			merged, err := os.ReadFile(filepath.Join(dir, "registry-config.yml"))
			if err != nil {
				t.Fatal(err)
			}
			r := registry.StartConfig(t, tt.version, string(merged))
			theirs := strings.TrimPrefix(r.Host, "localhost:")
			roots := tt.proxy(t, strings.NewReplacer("127.0.0.1:5000", "127.0.0.1:"+theirs, "127.0.0.1:5001", fmt.Sprintf("127.0.0.1:%d", ours)), port)

			// Every client has the address 127.0.0.2, so that its address differs from the
			// proxy's.
			from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			over := &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots},
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if address != registryHost+":443" && address != authHost+":443" {
						return nil, fmt.Errorf("the client connects to %s", address)
					}
					return from.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
				},
			}
			process.Await(t, "the proxy", func(ctx context.Context) error {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+authHost+"/", nil)
				if err != nil {
					return err
				}
				res, err := over.RoundTrip(req)
				if err != nil {
					return err
				}
				return res.Body.Close()
			})
			img := image.New(t, image.OCI)
			index, err := layout.ImageIndexFromPath(img.Layout)
			if err != nil {
				t.Fatal(err)
			}
			list, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := index.Image(list.Manifests[0].Digest)
			if err != nil {
				t.Fatal(err)
			}
			push := func(password string) error {
				return crane.Push(loaded, registryHost+"/team/app:"+image.Tag, crane.WithContext(t.Context()), crane.WithTransport(over),
					crane.WithAuth(&authn.Basic{Username: "bob", Password: password}))
			}
			if err := push(secret); err != nil {
				t.Fatal(err)
			}
			if stored := r.Tag("team/app", image.Tag); stored != img.Manifest.Digest {
				t.Errorf("pushed %s, the registry has %q", img.Manifest.Digest, stored)
			}
			newcomer{tw: tw}.awaitPush(t, "bob", img.Manifest.Digest)
			if err := push("wrong"); err == nil {
				t.Error("a wrong password was accepted")
			}
			journal := tw.Journal(t)
			process.Await(t, "the client's address in the journal", func(context.Context) error {
				for _, e := range journal.Entries() {
					if e.Decision != nil && e.Decision.Principal.Name == "bob" && e.Decision.Remote == "127.0.0.2" {
						return nil
					}
				}
				return errors.New("the journal has another address")
			})
		})
	}
}

// homeBlock returns the code block of docs/home.md that begins with the given text.
func homeBlock(t *testing.T, begins string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(process.Home(), "..", "docs", "home.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```[a-z]*\n(.*?)```").FindAllSubmatch(text, -1) {
		if strings.HasPrefix(string(block[1]), begins) {
			return string(block[1])
		}
	}
	t.Fatalf("docs/home.md has no block that begins with %q", begins)
	return ""
}

// nginx starts nginx with a minimal config that includes the config of docs/home.md.
func nginx(t *testing.T, ports *strings.Replacer, port int) *x509.CertPool {
	t.Helper()
	program := process.Need(t, "nginx", "nginx")
	folder := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"}, DNSNames: []string{registryHost, authHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := filepath.Join(folder, "example.com.pem")
	put(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, filepath.Join(folder, "example.com.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	page := strings.NewReplacer(
		"/etc/ssl/example.com.pem", certificate, "/etc/ssl/private/example.com.key", filepath.Join(folder, "example.com.key"),
		"listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", port),
	).Replace(ports.Replace(homeBlock(t, "# /etc/nginx/")))
	put(t, filepath.Join(folder, "registry.conf"), page)
	var temporary strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s;\n", kind, filepath.Join(folder, kind))
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	put(t, filepath.Join(folder, "nginx.conf"), fmt.Sprintf("%sdaemon off;\npid %s;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n%sinclude %s;\n}\n",
		user, filepath.Join(folder, "pid"), temporary.String(), filepath.Join(folder, "registry.conf")))
	process.Start(t, exec.Command(program, "-e", "stderr", "-p", folder, "-c", filepath.Join(folder, "nginx.conf")))
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return roots
}

// caddy starts Caddy with the config of docs/home.md and Caddy's internal CA.
func caddy(t *testing.T, ports *strings.Replacer, port int) *x509.CertPool {
	t.Helper()
	program := process.Need(t, "caddy", "caddy")
	folder := t.TempDir()
	put(t, filepath.Join(folder, "Caddyfile"), fmt.Sprintf("{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n\thttps_port %d\n\tdefault_bind 127.0.0.1\n}\n%s",
		port, ports.Replace(homeBlock(t, registryHost))))
	cmd := exec.Command(program, "run", "--config", filepath.Join(folder, "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	p := process.Start(t, cmd)
	roots := x509.NewCertPool()
	p.Await(t, "Caddy's root", func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(folder, "caddy", "pki", "authorities", "local", "root.crt"))
		if err == nil && !roots.AppendCertsFromPEM(text) {
			err = errors.New("the file is incomplete")
		}
		return err
	})
	return roots
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
