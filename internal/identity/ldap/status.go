package ldap

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// statusAttributes show that an account is disabled, expired or locked, or that its password
// must be changed first.
var statusAttributes = []string{
	"userAccountControl", "accountExpires", "pwdLastSet", // Active Directory, Samba
	"nsAccountLock",                        // 389, FreeIPA
	"krbPrincipalExpiration",               // FreeIPA, MIT Kerberos
	"loginDisabled", "loginExpirationTime", // eDirectory
	"pwdAccountLockedTime", "pwdReset", // OpenLDAP password policy
	"pwdStartTime", "pwdEndTime", // newer drafts of it
	"shadowExpire", // POSIX
}

// disabled returns why the account is not usable, or "". A bind refuses most such accounts, but
// not all: POSIX attributes are for the client to check, and a refresh sends no password. A
// value that cannot be parsed counts as disabled.
func disabled(u *user, now time.Time) string {
	for _, attribute := range statusAttributes {
		for _, value := range u.entry.GetEqualFoldAttributeValues(attribute) {
			if value == "" {
				continue
			}
			if why := statusProblem(attribute, value, u.bound, now); why != "" {
				return attribute + " " + why
			}
		}
	}
	return ""
}

// statusProblem returns what one value says against the account, or "". bound means that the
// directory has just accepted the password.
func statusProblem(attribute, value string, bound bool, now time.Time) string {
	switch attribute {
	case "userAccountControl":
		return accountDisabled(value)
	case "accountExpires":
		return windowsTimePassed(value, now)
	case "pwdLastSet":
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n == 0 {
			return "is 0: the password must be changed first"
		}
	case "nsAccountLock", "loginDisabled":
		if strings.EqualFold(value, "true") {
			return "is set"
		}
	case "pwdReset":
		if strings.EqualFold(value, "true") {
			return "is set: the password must be changed first"
		}
	case "pwdAccountLockedTime":
		// The year 0 means locked until an administrator unlocks the account. Other times are
		// locks after wrong passwords. Their end, if they have one, is in a policy that is not
		// read here. A right password removes them.
		if strings.HasPrefix(value, "0000") {
			return "is permanent"
		}
		if !bound {
			return "is set: the account is locked, or has had no sign-in since it was locked"
		}
	case "krbPrincipalExpiration", "loginExpirationTime", "pwdEndTime":
		if ends, err := parseTime(value); err != nil {
			return "is not a time"
		} else if !now.Before(ends) {
			return "has passed"
		}
	case "pwdStartTime":
		if begins, err := parseTime(value); err != nil {
			return "is not a time"
		} else if now.Before(begins) {
			return "is in the future"
		}
	case "shadowExpire": // days since 1970; negative: never
		if day, err := strconv.ParseInt(value, 10, 64); err != nil {
			return "is not a number of days"
		} else if day >= 0 && now.Unix()/86400 >= day {
			return "has passed"
		}
	}
	return ""
}

// parseTime parses a GeneralizedTime (RFC 4517, section 3.3.13). Minutes and seconds are
// optional, and fractions are ignored.
func parseTime(text string) (time.Time, error) {
	digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		return time.Time{}, fmt.Errorf("%q has no time zone", text)
	}
	zone := text[digits:]
	if zone[0] == '.' || zone[0] == ',' {
		zone = strings.TrimLeft(zone[1:], "0123456789")
	}
	for _, layout := range []string{"20060102150405", "200601021504", "2006010215"} {
		if len(layout) != digits {
			continue
		}
		if zone == "Z" {
			return time.Parse(layout, text[:digits])
		}
		if len(zone) == 3 {
			zone += "00"
		}
		return time.Parse(layout+"-0700", text[:digits]+zone)
	}
	return time.Time{}, fmt.Errorf("%q is not a GeneralizedTime", text)
}

// generationAttributes show when a password was changed.
var generationAttributes = []string{"pwdChangedTime", "pwdLastSet", "krbLastPwdChange", "shadowLastChange", "passwordChangedTime"}

// generation returns the generation of the password of an entry (see identity.Generations).
func generation(e *ldap.Entry) string {
	// Never "": an attribute that appears later is then a new generation.
	text := "ldap"
	for _, attribute := range generationAttributes {
		if value := e.GetEqualFoldAttributeValue(attribute); value != "" {
			text += "\x00" + attribute + "=" + value
		}
	}
	return text
}
