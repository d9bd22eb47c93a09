package config

import "time"

// Accounts is Tidewaiter's own users, groups and robots, which are kept in the state, and all tokens that
// stand for a password.
type Accounts struct {
	RefreshIdle           time.Duration // default 2160h, which is 90 days
	MaxCredentialLifetime time.Duration // 0: no limit
}

func accountsKeys() []key[Accounts] {
	return []key[Accounts]{
		on("refresh_idle", duration(time.Hour, 10*366*24*time.Hour), func(a *Accounts, v time.Duration) { a.RefreshIdle = v }).or("2160h").
			says("How long a refresh token, which docker and others keep in place of a password, is good for without being used. The default is 90 days."),
		on("max_credential_lifetime", duration(time.Hour, 10*366*24*time.Hour), func(a *Accounts, v time.Duration) { a.MaxCredentialLifetime = v }).
			says("How long an access token or a robot's secret lasts at most, from when it was made, as in `2160h`. One that is asked to last longer is refused; one without an end, or from before the setting, ends then. A robot goes on with another secret (`tidewaiter robot rotate`). Without it they last as long as they were made for, which may be for ever."),
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
	}
	return ""
}

// accounts looks whether there is one source of that name.
func (x cross) accounts(i int, names map[string]int) {
	if first, taken := names[accountsName]; taken {
		x.d.problem(x.at("identity", i), "another source is called accounts, in line %d", x.at("identity", first).Line)
	}
	names[accountsName] = i
}
