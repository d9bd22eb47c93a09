package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A printed config must not contain a secret, whether it is printed with a formatting verb or as
// JSON.
func TestSecretsAreNotPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[!#$(-9;-Za-z~]{16,40}`).Draw(t, "secret")
		where := rapid.SampledFrom([]string{"secret_file: s", "secret_env: NOTIFY", "secret: '" + secret + "'"}).Draw(t, "where")
		c, err := loadFrom("t.yaml", Options{Env: func(string) (string, bool) { return secret, true }}, files{
			"t.yaml!": "registries: [{service: r, notifications: {" + where + "}}]", "s!": secret + "\r\n",
		}.withKeys())
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Registries[0].Notifications.Reveal(); got != secret {
			t.Fatalf("the secret is %q, want %q", got, secret)
		}
		asJSON, err := json.Marshal(c) //nolint:staticcheck // a config without rules has no function that cannot be encoded
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "secret", c.Registries[0].Notifications)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", *c, "secret", c.Registries[0].Notifications)
		all := string(asJSON) + log.String()
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} { // all verbs
			for _, value := range []any{*c, c.Registries, c.Registries[0].Notifications, c.Warnings} {
				all += fmt.Sprintf(verb, value)
			}
		}
		if strings.Contains(all, secret) {
			t.Fatalf("the secret is printed: %s", all)
		}
	})
}

func TestSecretsAreNotInProblems(t *testing.T) {
	const secret = "hunter2hunter2hunter2" // a valid length
	for _, text := range []string{
		"registries: [{service: r, notifications: " + secret + "}]",
		"registries: [{service: r, notifications: [" + secret + "]}]",
		"registries: [{service: r, notifications: {secret: [" + secret + "]}}]",
		"registries: [{service: r, notifications: {secret: {" + secret + ": x}}}]",
		"registries: [{service: r, notifications: {secret: '" + secret + " '}}]",
		"registries: [{service: r, notifications: {secret: '" + secret + "\n}}]",
		"registries:\n- service: r\n  notifications: '" + secret + "'\n",
		"registries:\n- service: r\n  notifications:\n    secret: " + secret + ": x\n",
		"registries:\n- service: r\n  notifications:\n    secrets: " + secret + "\n",
		"identity: [{htpasswd: {entries: {ann: " + secret + "}}}]",
		"identity: [{htpasswd: {entries: 'ann:$2y$10$" + secret + "'}}]",
		"identity: [{htpasswd: {entries: ['ann$2y$10$" + secret + "']}}]",
		"database: postgres://me:" + secret + "@db/x",
		"public_url: https://me:" + secret + "@auth.example.com",
		"public_url: https://me:" + secret + "%zz@auth.example.com",
	} {
		_, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
		if err == nil {
			t.Errorf("%s: there is no error", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the secret is repeated:\n%s\n%v", text, err)
		}
	}
}

// The modes of files determine who can read them.
func TestWarningsAboutFileModes(t *testing.T) {
	dir := t.TempDir()
	writeKeys(t, dir)
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("secret", "0123456789abcdef", 0o644)
	if err := os.Chmod(filepath.Join(dir, "privatekey.pem"), 0o604); err != nil {
		t.Fatal(err)
	}
	file := write("tidewaiter.yaml", "signing: {root: {folder: .}}\nregistries:\n- {service: a, notifications: {secret_file: secret}}\n- {service: b, notifications: {secret: fedcba9876543210}}\n", 0o644)
	c, err := Load(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		file + ":1:26: all users of this machine can read " + filepath.Join(dir, "privatekey.pem"),
		file + ":3:45: all users of this machine can read " + filepath.Join(dir, "secret"),
		file + ":4:40: the secret is in a file that all users of this machine can read",
	} {
		if !strings.Contains(c.Warnings.Error(), want) {
			t.Errorf("%s\nis not among\n%v", want, c.Warnings)
		}
	}

	for _, name := range []string{"secret", "privatekey.pem", "tidewaiter.yaml"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	c, err = Load(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c.Warnings.Error(), "everybody") {
		t.Errorf("warnings although only a group can read them:\n%v", c.Warnings)
	}
}

// A secret file that is a folder or is too large is an error.
func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	writeKeys(t, dir)
	file := filepath.Join(dir, "tidewaiter.yaml")
	for _, tt := range []struct{ text, diagnostics string }{
		{"registries: [{service: a, notifications: {secret_file: .}}]", "it is a folder"},
		{"registries: [{service: a, notifications: {secret_file: large}}]", "it is larger than 1026 bytes"},
		{base + "policy: {files: [.]}", "it is a folder"},
		{base + "signing: {root: {certificate: ., key: privatekey.pem}}", "it is a folder"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 2000), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file, Options{})
		if err == nil || !strings.Contains(err.Error(), tt.diagnostics) {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
	if _, err := Load(dir, Options{}); err == nil || err.Error() != "opening "+dir+": it is a folder" {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.yaml"), Options{}); err == nil || !strings.HasPrefix(err.Error(), "opening "+filepath.Join(dir, "none.yaml")+": ") {
		t.Errorf("a missing config: %v", err)
	}
}
