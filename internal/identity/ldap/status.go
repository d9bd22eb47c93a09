package ldap

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// statusAttributes are where directories keep that somebody is disabled, expired or locked, or has to change the password first.
var statusAttributes = []string{
	"userAccountControl", "accountExpires", "pwdLastSet", // Active Directory, Samba
	"nsAccountLock",                        // 389, FreeIPA
	"krbPrincipalExpiration",               // FreeIPA, MIT Kerberos
	"loginDisabled", "loginExpirationTime", // eDirectory
	"pwdAccountLockedTime", "pwdReset", // OpenLDAP's password policies …
	"pwdStartTime", "pwdEndTime", // … and those of their newer drafts
	"shadowExpire", // POSIX
}

// disabled says why an entry is not to be used; "" if nothing shows it. At a bind the directory refuses most of it, but not all:
// POSIX leaves it to who asks, and a refresh shows no password that could be refused. What cannot be read is a refusal.
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

// statusProblem says what one value of an attribute has against its entry; bound says that the directory has just accepted the password.
func statusProblem(attribute, value string, bound bool, now time.Time) string {
	switch attribute {
	case "userAccountControl":
		return accountDisabled(value)
	case "accountExpires":
		return windowsTimePassed(value, now)
	case "pwdLastSet":
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n == 0 {
			return "is 0: the password has to be changed first"
		}
	case "nsAccountLock", "loginDisabled":
		if strings.EqualFold(value, "true") {
			return "is set"
		}
	case "pwdReset":
		if strings.EqualFold(value, "true") {
			return "is set: the password has to be changed first"
		}
	case "pwdAccountLockedTime":
		// Of the year 0: until an administrator unlocks it. Other times are of a lock after wrong passwords, whose end is in a policy
		// that we do not see, and may be none. It is gone with the next password that is right.
		if strings.HasPrefix(value, "0000") {
			return "has no end"
		}
		if !bound {
			return "is set: it is locked, or nobody has signed in since it was"
		}
	case "krbPrincipalExpiration", "loginExpirationTime", "pwdEndTime":
		if ends, err := parseTime(value); err != nil {
			return "is no time"
		} else if !now.Before(ends) {
			return "has passed"
		}
	case "pwdStartTime":
		if begins, err := parseTime(value); err != nil {
			return "is no time"
		} else if now.Before(begins) {
			return "has not come"
		}
	case "shadowExpire": // days since 1970; negative: never
		if day, err := strconv.ParseInt(value, 10, 64); err != nil {
			return "is no number of days"
		} else if day >= 0 && now.Unix()/86400 >= day {
			return "has passed"
		}
	}
	return ""
}

// parseTime reads a GeneralizedTime (RFC 4517, section 3.3.13). Minutes and seconds may be left out; a fraction means nothing here.
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
	return time.Time{}, fmt.Errorf("%q is no GeneralizedTime", text)
}

// generationAttributes are where directories keep when a password was changed.
var generationAttributes = []string{"pwdChangedTime", "pwdLastSet", "krbLastPwdChange", "shadowLastChange", "passwordChangedTime"}

// generation says of which generation the password of an entry is (identity.Generations).
func generation(e *ldap.Entry) string {
	text := "ldap" // a directory that says nothing today may do tomorrow: that is a change, too
	for _, attribute := range generationAttributes {
		if value := e.GetEqualFoldAttributeValue(attribute); value != "" {
			text += "\x00" + attribute + "=" + value
		}
	}
	return text
}
