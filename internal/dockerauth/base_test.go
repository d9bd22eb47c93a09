package dockerauth_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
)

// Without a base, docker_auth searches from the root of the directory. At a global catalog, such
// as in this test, docker_auth then finds the whole forest. At other directories, docker_auth
// finds nothing or only a part, but Tidewaiter would search the whole directory.
func TestADirectoryWithoutABase(t *testing.T) {
	for port, want := range map[string]string{"3268": `base: ""`, "3269": `base: ""`, "636": "base is missing", "389": "base is missing"} {
		file := "ldap_auth: {addr: \"dc.example.com:" + port + "\", tls: always, filter: \"(sAMAccountName=${account})\", bind_dn: cn=x, bind_password_file: /p}\n"
		result, err := dockerauth.Import("config.yml", []byte(file), dockerauth.Options{Services: []string{"r1"}})
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			text = string(result.Text)
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s: %s\nwant %s", port, text, want)
		}
	}
}
