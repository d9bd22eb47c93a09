package ldap

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
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
	"pwdStartTime", "pwdEndTime", // in newer drafts
	"shadowExpire", // POSIX
}

// disabledReason returns the reason why the account is not usable, or "". A bind refuses most
// disabled accounts. The attributes must be checked, too, because directories do not check POSIX
// attributes, and a refresh makes no bind. A value that cannot be parsed counts as disabled.
func disabledReason(u *user, now time.Time) string {
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

// statusProblem returns the reason why an attribute value makes the account unusable, or "". If
// passwordAccepted is true, the directory has accepted the password of this sign-in.
func statusProblem(attribute, value string, passwordAccepted bool, now time.Time) string {
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
		// The year 0 means locked until an administrator unlocks the account. Any other time is
		// the time of a lock after wrong passwords. A policy, which is not read here, decides when
		// such a lock ends. The correct password removes the lock.
		if strings.HasPrefix(value, "0000") {
			return "is permanent"
		}
		if !passwordAccepted {
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

// generalizedTime is the syntax of a GeneralizedTime (RFC 4517, section 3.3.13). The digits of
// the fraction can be missing.
var generalizedTime = regexp.MustCompile(`^([0-9]+)([.,][0-9]*)?(Z|[+-][0-9]+)$`)

// parseTime parses a GeneralizedTime. Without a check of the syntax, the library would accept the
// fractions "1_0" and "8E5". The fraction "8E5" would mean 800,000 hours.
func parseTime(value string) (time.Time, error) {
	parts := generalizedTime.FindStringSubmatch(value)
	if parts == nil {
		return time.Time{}, ber.ErrInvalidTimeFormat
	}
	if len(parts[2]) == 1 { // without digits
		value = parts[1] + parts[3]
	}
	return ber.ParseGeneralizedTime([]byte(value))
}

// generationAttributes show when a password was changed.
var generationAttributes = []string{"pwdChangedTime", "pwdLastSet", "krbLastPwdChange", "shadowLastChange", "passwordChangedTime"}

// generation returns the generation of an entry's password, taken from generationAttributes
// (see chain.Generations).
func generation(e *ldap.Entry) string {
	// The text is never empty, so that the generation changes if an attribute appears later.
	text := "ldap"
	for _, attribute := range generationAttributes {
		if value := e.GetEqualFoldAttributeValue(attribute); value != "" {
			text += "\x00" + attribute + "=" + value
		}
	}
	return text
}
