package delivery_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
)

// The shell commands of the page compute the same signature.
func TestTheCommandsOfThePageVerifyASignature(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindSubmatch(page)
	if script == nil {
		t.Fatal("the page has no shell commands")
	}
	const secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"a": "ü"}`
	dir := t.TempDir()
	for name, text := range map[string]string{"ci-webhook": secret + "\n", "body.json": body} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-ec", string(script[1]))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "id=019ad4f2", "timestamp="+signature.Timestamp(noon))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, err := signature.Parse(secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := "v1,"+strings.TrimSpace(string(out)), key.Sign("019ad4f2", noon, []byte(body)); got != want {
		t.Errorf("the commands print %s, want %s", got, want)
	}
}
