package config

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Source is an entry of the list identity. Kind is the key of the entry, such as ldap. Only the
// field for this kind is set.
type Source struct {
	Kind     string
	Accounts *Accounts
	Anyone   bool // accept any name with any password
	HTPasswd *HTPasswd
	LDAP     *LDAP
	OIDC     *OIDC
	Webhook  *Hook
	Exec     *Hook
	Line     int
}

// Name returns the name of the source, as in principals. It returns "" if the source is not valid.
func (s Source) Name() string {
	switch {
	case s.Accounts != nil:
		return accountsName
	case s.Anyone:
		return "anyone"
	case s.HTPasswd != nil:
		return s.HTPasswd.Name
	case s.LDAP != nil:
		return "ldap:" + s.LDAP.Name
	case s.OIDC != nil:
		return "oidc:" + s.OIDC.Name
	case s.Hook() != nil:
		return s.Hook().Source()
	}
	return ""
}

// Hook returns Webhook or Exec, or nil if the source is of another kind.
func (s Source) Hook() *Hook { return cmp.Or(s.Webhook, s.Exec) }

// Accounts returns the settings of the accounts, or nil if the accounts are not a source.
func (c *Config) Accounts() *Accounts {
	for _, s := range c.Identity {
		if s.Accounts != nil {
			return s.Accounts
		}
	}
	return nil
}

// SourceKinds returns the keys of an entry of identity.
func SourceKinds() (kinds []string) {
	for _, k := range sourceKeys() {
		kinds = append(kinds, k.Name)
	}
	return kinds
}

const accountsName = "accounts"

// locatedSection is a section that knows the positions of its settings. Other packages need these
// positions for errors that they find after Load.
type locatedSection struct{ node *yaml.Node }

// Place returns the line and the column of a setting, such as "user.filter", or of a name or an
// index in the setting. If the file does not contain the setting, Place returns the position of
// the section.
func (l locatedSection) Place(setting string, in ...any) (line, column int) {
	if l.node == nil {
		return 0, 0
	}
	n := l.node
	for part := range strings.SplitSeq(setting, ".") {
		n = strictyaml.At(n, part)
	}
	n = strictyaml.At(n, in...)
	return n.Line, n.Column
}

func checkSource(d *strictyaml.Decoder, n *yaml.Node, s *Source) {
	s.Line = n.Line
	if len(n.Content) != 2 {
		d.Problem(n, "each entry must have one kind of source")
		return
	}
	s.Kind = n.Content[0].Value
}

// sourceName is the name of a source. A name cannot contain a colon, because a colon separates
// the kind from the name, as in ldap:corp.
func sourceName() strictyaml.Type[string] {
	return strictyaml.Scalar("name", func(d *strictyaml.Decoder, n *yaml.Node, s string) (string, bool) {
		if !sourcePattern.MatchString(s) {
			d.Problem(n, "%s is not a valid name: use up to 63 letters, digits, - and _", text.QuoteShort(s))
			return "", false
		}
		return s, true
	})
}

var sourcePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// Accounts are the settings of local accounts and of all credentials that Tidewaiter issues.
type Accounts struct {
	RefreshIdle           time.Duration // default 90 days
	MaxCredentialLifetime time.Duration // 0: no limit
}

func accountsKeys() []*strictyaml.Key[Accounts] {
	return []*strictyaml.Key[Accounts]{
		strictyaml.On("refresh_idle", duration(time.Hour, 10*366*24*time.Hour), func(a *Accounts, v time.Duration) { a.RefreshIdle = v }).Or("2160h").
			Says("The time after which an unused refresh token expires. Docker and other clients store a refresh token instead of a password. The default is 90 days."),
		strictyaml.On("max_credential_lifetime", duration(time.Hour, 10*366*24*time.Hour), func(a *Accounts, v time.Duration) { a.MaxCredentialLifetime = v }).
			Says("The maximum lifetime of an access token or a robot's secret, counted from its creation, as in `2160h`. Requests for longer lifetimes are rejected. The limit also applies to credentials without an expiry, and to credentials that were created before you set the limit. To give a robot a new secret, use `tidewaiter robot rotate`. Without this key there is no limit."),
	}
}
