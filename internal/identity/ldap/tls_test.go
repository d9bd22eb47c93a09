package ldap_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

func TestPasswordsTravelEncrypted(t *testing.T) {
	o := sharedDirectory(t)
	other := write(t, "other.pem", certificate(t))
	for _, tt := range []struct {
		how    string
		change func(*ldap.Options)
		want   string
	}{
		{"LDAPS", func(c *ldap.Options) { c.Servers = []string{"ldaps://" + o.Secure} }, "alice"},
		{"StartTLS", func(c *ldap.Options) { c.StartTLS = true }, "alice"},
		{"LDAPS, unknown authority", func(c *ldap.Options) { c.Servers, c.CA = []string{"ldaps://" + o.Secure}, other }, "unknown authority"},
		{"LDAPS, only the system's authorities", func(c *ldap.Options) { c.Servers, c.CA = []string{"ldaps://" + o.Secure}, "" }, "unknown authority"},
		{"StartTLS, unknown authority", func(c *ldap.Options) { c.StartTLS, c.CA = true, other }, "unknown authority"},
		{"LDAPS, another host", func(c *ldap.Options) { c.Servers = []string{"ldaps://localhost:" + port(o.Secure)} }, "match localhost"},
		{"StartTLS, another host", func(c *ldap.Options) { c.StartTLS, c.Servers = true, []string{"ldap://localhost:" + port(o.Address)} }, "match localhost"},
		{"LDAPS to a port without TLS", func(c *ldap.Options) { c.Servers = []string{"ldaps://" + o.Address} }, "encrypting"},
		{"StartTLS to a port with TLS", func(c *ldap.Options) { c.StartTLS, c.Servers = true, []string{"ldap://" + o.Secure} }, "encrypting"},
	} {
		t.Run(tt.how, func(t *testing.T) {
			options := o.options()
			options.CA = o.File(ldaptest.CAFile)
			tt.change(&options)
			v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
			if got := outcome(v, err); !strings.Contains(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// If an attacker on the network prevents the encryption, Tidewaiter must not send a password of a
// user or of the service account.
func TestNoFallbackToUnencryptedConnections(t *testing.T) {
	o := sharedDirectory(t)
	spy := &spy{}
	between := newProxy(t, o.Address)
	between.listen(spy)
	options := o.options()
	options.Servers, options.StartTLS, options.CA = []string{"ldap://" + between.address()}, true, write(t, "other.pem", certificate(t))
	if _, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err == nil {
		t.Error("it holds")
	}
	if !spy.has("1.3.6.1.4.1.1466.20037") {
		t.Error("the connection did not ask for encryption, so the test proves nothing")
	}
	if spy.has("wonderland") || spy.has("reads everything") {
		t.Error("a password was sent")
	}
}

// spy records the received data.
type spy struct {
	mu    sync.Mutex
	heard bytes.Buffer
}

func (s *spy) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard.Write(p)
}

func (s *spy) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.heard.String(), text)
}
