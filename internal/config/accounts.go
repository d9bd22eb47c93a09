package config

import (
	"cmp"
	"time"
)

// Accounts is Tidewaiter's own users, groups and robots, which are kept in the state, and all tokens that
// stand for a password.
type Accounts struct {
	RefreshIdle           time.Duration // default 2160h, which is 90 days
	MaxCredentialLifetime time.Duration // 0: no limit
}

func accountsKeys() []key[Accounts] {
	return []key[Accounts]{
		on("refresh_idle", duration(time.Hour, 10*366*24*time.Hour), func(a *Accounts, v time.Duration) { a.RefreshIdle = v }).or("2160h").
			says("How long a refresh token stays valid without being used. Docker and others store it in place of a password. The default is 90 days."),
		on("max_credential_lifetime", duration(time.Hour, 10*366*24*time.Hour), func(a *Accounts, v time.Duration) { a.MaxCredentialLifetime = v }).
			says("The maximum lifetime of an access token or a robot's secret, counted from its creation, as in `2160h`. Requests for longer lifetimes are rejected. Credentials without an expiry, or created before this was set, expire then too. Give robots a new secret with `tidewaiter robot rotate`. Without this key there is no limit."),
	}
}

// accountsName is what the accounts are called among the sources.
const accountsName = "accounts"

// Name is what principals bear as their source; "" for one that has a problem.
func (s Source) Name() string {
	switch {
	case s.Accounts != nil:
		return accountsName
	case s.Anyone != nil:
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

// Hook returns Webhook or Exec; nil if the source is of another kind.
func (s Source) Hook() *Hook { return cmp.Or(s.Webhook, s.Exec)
}

// accounts looks whether there is one source of that name.
func (x crossChecks) accounts(i int, names map[string]int) {
	if first, taken := names[accountsName]; taken {
		x.d.problem(x.at("identity", i), "another source is called accounts, in line %d", x.at("identity", first).Line)
	}
	names[accountsName] = i
}
