package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// The ports in examples/dockerauth, which the tests replace by free ports.
const (
	tokenPort  = "8443"
	notifyPort = "8080"
)

// TestDockerauth runs the proof of concept in examples/dockerauth with its own commands: keys
// from openssl, the token service over HTTPS, the notification service over HTTP, a registry
// with the example's config, and a Docker Engine. In one subtest, Tidewaiter runs as a container.
// In the others, it runs as a program.
func TestDockerauth(t *testing.T) {
	docker := engine.Start(t)
	t.Run("registry 2.8", func(t *testing.T) {
		d := newDockerauth(t, docker)
		d.serve(t)
		d.journey(t, registry.V28)
	})
	t.Run("registry 3.1", func(t *testing.T) {
		d := newDockerauth(t, docker)
		d.serve(t)
		d.journey(t, registry.V31)
	})
	t.Run("registry 2.8 with libtrust key ids", func(t *testing.T) {
		d := newDockerauth(t, docker)
		d.change(t, "# key_id: libtrust", "key_id: libtrust")
		d.kid = true
		d.serve(t)
		d.journey(t, registry.V28)
	})
	t.Run("in a container", func(t *testing.T) {
		d := newDockerauth(t, docker)
		d.build(t)
		d.run(t)
		d.journey(t, registry.V31)
	})
}

// dockerauth is a copy of examples/dockerauth in a folder of its own.
type dockerauth struct {
	folder string // contains signingkey/ and the example's tidewaiter.yaml
	docker *engine.Engine
	ports  *strings.Replacer
	token  string        // port of the token service
	notify string        // port of the notification service
	kid    bool          // the tokens have a key id instead of the certificate
	log    func() string // output of Tidewaiter
}

func newDockerauth(t *testing.T, docker *engine.Engine) *dockerauth {
	t.Helper()
	d := &dockerauth{folder: t.TempDir(), docker: docker}
	d.token, d.notify = fmt.Sprint(process.Port(t)), fmt.Sprint(process.Port(t))
	d.ports = strings.NewReplacer(":"+tokenPort, ":"+d.token, ":"+notifyPort, ":"+d.notify)

	process.Need(t, "openssl", "openssl")
	d.sh(t, `
		mkdir signingkey
		openssl ecparam -name secp256r1 -genkey | openssl pkcs8 -topk8 -nocrypt -out signingkey/privatekey.pem
		openssl req -new -x509 -key signingkey/privatekey.pem -out signingkey/cert.pem -days 365 -subj /CN=registry.com
	`)
	d.write(t, "tidewaiter.yaml", d.ports.Replace(example(t, "tidewaiter.yaml")))
	return d
}

// example returns a file of examples/dockerauth.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(process.Home(), "..", "examples", "dockerauth", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{tokenPort, notifyPort} {
		if !strings.Contains(string(text), ":"+port) {
			t.Fatalf("examples/dockerauth/%s no longer has port %s", name, port)
		}
	}
	return string(text)
}

// change replaces a line of the config.
func (d *dockerauth) change(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.folder, "tidewaiter.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("the config has no %q", from)
	}
	d.write(t, "tidewaiter.yaml", strings.Replace(string(text), from, to, 1))
}

// serve starts Tidewaiter as a program.
func (d *dockerauth) serve(t *testing.T) {
	t.Helper()
	cmd := exec.Command(tidewaiter.Program(t), "serve", "--config", "tidewaiter.yaml", "--keys", "./signingkey")
	cmd.Dir = d.folder
	p := process.Start(t, cmd)
	d.log = p.Text
	d.await(t, p.Await)
}

// build builds the container image from the project's Dockerfile.
func (d *dockerauth) build(t *testing.T) {
	t.Helper()
	project := filepath.Join(process.Home(), "..")
	build := filepath.Join(d.folder, "build")
	d.sh(t, fmt.Sprintf(`
		mkdir -p build/bin build/deploy build/examples/dockerauth
		cp %[1]s/Dockerfile build/
		cp -r %[1]s/deploy/image build/deploy/
		cp %[2]s build/bin/tidewaiter
		cp tidewaiter.yaml build/examples/dockerauth/
	`, project, tidewaiter.Program(t)))
	d.command(t, "build", "--target", "dockerauth", "--tag", "dockerauth", build)
}

// run starts Tidewaiter as a detached container, and removes the container when the test ends.
func (d *dockerauth) run(t *testing.T) {
	t.Helper()
	// The program is not root in its container, so all users must be allowed to read the key.
	d.sh(t, "chmod a+r signingkey/privatekey.pem && chmod a+rx .")
	// The test's Engine creates no network, so the container uses the host's network instead of
	// -p 8080:8080 -p 8443:8443.
	id := d.command(t, "run", "--detach", "--network=host", "--volume", filepath.Join(d.folder, "signingkey")+":/keys", "dockerauth")
	d.log = func() string {
		ctx := context.WithoutCancel(t.Context())
		out, err := d.docker.Command(ctx, d.folder, "logs", id).CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(d.log())
		}
		d.command(t, "stop", id)
		if code := d.command(t, "inspect", "--format", "{{.State.ExitCode}}", id); code != "0" {
			t.Errorf("the container ended with %s", code)
		}
		d.command(t, "rm", id)
	})
	d.await(t, process.Await)
	if user := d.command(t, "inspect", "--format", "{{.Config.User}}", id); user == "" || strings.HasPrefix(user, "0") || user == "root" {
		t.Errorf("the container runs as %q", user)
	}
	// The health check of the image.
	d.command(t, "exec", id, "/tidewaiter", "health", "--config", "/etc/tidewaiter/tidewaiter.yaml")
}

// await waits until the token service answers.
func (d *dockerauth) await(t *testing.T, await func(testing.TB, string, func(context.Context) error)) {
	t.Helper()
	await(t, "the services", func(ctx context.Context) error {
		for _, url := range []string{"https://localhost:" + d.token, "http://localhost:" + d.notify + "/healthz"} {
			if _, err := process.Run(ctx, exec.CommandContext(ctx, "curl", "-ks", url)); err != nil {
				return err
			}
		}
		return nil
	})
}

// journey runs the steps of the proof of concept.
func (d *dockerauth) journey(t *testing.T, v registry.Version) {
	url := "'https://localhost:" + d.token + "/dockerauth-1.0/dockerAuth?service=my.registry.com&scope=repository:username/reponame:push,pull'"

	answer := d.sh(t, "curl -sk -H 'Authorization: Basic dW5hbWU6cHdk' "+url)
	if header := tokenHeader(t, answer); strings.Contains(header, `"kid"`) != d.kid || strings.Contains(header, `"x5c"`) == d.kid {
		t.Errorf("the token begins with %s", header)
	}
	if status := d.sh(t, "curl -sk -o /dev/null -w '%{http_code}' "+url); status != "401" {
		t.Errorf("without credentials, the token service answers %s", status)
	}

	d.sh(t, `curl -sf -X POST -d '{"event":"data"}' http://localhost:`+d.notify+`/dockerauth-1.0/dockerNotify`)
	d.awaitLogLine(t, "event", "data")

	config := d.ports.Replace(example(t, "config.yml"))
	for from, to := range map[string]string{
		"/certs/cert.pem":      filepath.Join(d.folder, "signingkey", "cert.pem"),
		"host.docker.internal": "localhost", // the registry runs outside a container here
	} {
		if !strings.Contains(config, from) {
			t.Fatalf("the registry's config has no %s", from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	r := registry.StartConfig(t, v, config)

	docker := client.Docker(func(testing.TB) *engine.Engine { return d.docker })
	uname, stranger := docker.New(t), docker.New(t)
	ref := client.Ref{Host: r.Host, Repository: "username/reponame", Tag: image.Tag}
	if err := uname.Login(t.Context(), r.Host, "uname", "pwd"); err != nil {
		t.Fatal(err)
	}
	digest, err := uname.Push(t.Context(), ref, image.New(t, image.OCI))
	if err != nil {
		t.Fatal(err)
	}
	if stored := r.Tag(ref.Repository, ref.Tag); stored != digest {
		t.Errorf("docker pushed %s, but the registry has %q", digest, stored)
	}
	if _, err := stranger.Pull(t.Context(), ref); err == nil {
		t.Error("docker pulled without a login")
	}
	pulled, err := uname.Pull(t.Context(), ref)
	if err != nil || pulled != digest {
		t.Errorf("docker pulled %s: %v", pulled, err)
	}
	d.awaitLogLine(t, "push", ref.Repository, "uname")
	d.awaitLogLine(t, "pull", ref.Repository, "uname")
}

// tokenHeader returns the header of the token in an answer of the token service.
func tokenHeader(t *testing.T, answer string) string {
	t.Helper()
	var body struct{ Token string }
	if err := json.Unmarshal([]byte(answer), &body); err != nil || body.Token == "" {
		t.Fatalf("the token service answers %s", answer)
	}
	first, _, _ := strings.Cut(body.Token, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	return string(header)
}

// awaitLogLine waits until the log has a line with all of these words.
func (d *dockerauth) awaitLogLine(t *testing.T, words ...string) {
	t.Helper()
	process.Await(t, fmt.Sprintf("a line with %q in the log", words), func(context.Context) error {
	lines:
		for line := range strings.Lines(d.log()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return nil
		}
		return errors.New("no such line")
	})
}

// sh runs shell commands in d's folder and returns their output.
func (d *dockerauth) sh(t *testing.T, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", commands)
	cmd.Dir = d.folder
	out, err := process.Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// command runs a docker command and returns its output without the final newline.
func (d *dockerauth) command(t *testing.T, args ...string) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // command is also called during the test's cleanup
	out, err := process.Run(ctx, d.docker.Command(ctx, d.folder, args...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (d *dockerauth) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.folder, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
