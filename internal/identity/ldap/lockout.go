package ldap

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Lockout is the lockout rule of a password policy in the directory.
type Lockout struct {
	Policy string        // DN of the policy
	After  int           // wrong passwords until an account is locked; 0: never
	Within time.Duration // time for which a wrong password counts, or Forever; 0: unknown
}

// Forever means that a wrong password counts until the correct password is used.
const Forever = time.Duration(math.MaxInt64)

// lockoutPolicies are the object classes and attributes of lockout policies. An attribute can
// be absent for two reasons: it is not set, or the service account is not allowed to see it.
var lockoutPolicies = []struct {
	class, after, enabled, within string
	unit                          time.Duration // unit of the values of the attribute within
	forever                       bool          // without that attribute, failures count forever
}{
	// OpenLDAP
	{"pwdPolicy", "pwdMaxFailure", "pwdLockout", "pwdFailureCountInterval", time.Second, true},
	// Active Directory
	{"domainDNS", "lockoutThreshold", "", "lockOutObservationWindow", -100 * time.Nanosecond, false},
	// AD fine-grained policies
	{"msDS-PasswordSettings", "msDS-LockoutThreshold", "", "msDS-LockoutObservationWindow", -100, false},
	// FreeIPA
	{"krbPwdPolicy", "krbPwdMaxFailure", "", "krbPwdFailureCountInterval", time.Second, true},
	// 389
	{"passwordPolicy", "passwordMaxFailure", "passwordLockout", "passwordResetFailureCount", time.Second, false},
}

// Lockouts returns the lockout policies that the service account can see. It does not report
// which policy applies to which user. Even if the list is empty, there can be a lockout policy
// that the service account cannot see.
func (d *Directory) Lockouts(ctx context.Context) (list []Lockout, err error) {
	var classes strings.Builder
	attributes := []string{"objectClass"}
	for _, p := range lockoutPolicies {
		classes.WriteString("(objectClass=" + p.class + ")")
		for _, name := range []string{p.after, p.enabled, p.within} {
			if name != "" {
				attributes = append(attributes, name)
			}
		}
	}
	ctx, cancel := context.WithTimeout(withoutPassword(ctx), d.o.Timeout)
	defer cancel()
	err = d.ask(ctx, reader, func(c *conn) error {
		list = nil
		bases, err := c.searchBases([]string{wholeDirectory})
		if err != nil {
			return err
		}
		for _, base := range bases {
			all, err := c.searchAll(&ldap.SearchRequest{
				BaseDN: base, Scope: ldap.ScopeWholeSubtree, Filter: "(|" + classes.String() + ")", Attributes: attributes,
			}, maxGroups)
			if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) {
				continue
			}
			if err != nil {
				return err
			}
			for _, e := range all.entries {
				if one, ok := readLockout(e); ok {
					list = append(list, one)
				}
			}
		}
		return nil
	})
	return list, err
}

// readLockout reads a lockout policy. It returns false if the policy has no threshold.
func readLockout(e *ldap.Entry) (Lockout, bool) {
	classes := e.GetEqualFoldAttributeValues("objectClass")
	for _, p := range lockoutPolicies {
		if !slices.ContainsFunc(classes, func(class string) bool { return strings.EqualFold(class, p.class) }) {
			continue
		}
		switch enabled := e.GetEqualFoldAttributeValue(p.enabled); {
		case p.enabled == "":
		case strings.EqualFold(enabled, "false") || strings.EqualFold(enabled, "off"):
			return Lockout{Policy: e.DN}, true
		case enabled == "":
			continue
		}
		after, err := strconv.Atoi(e.GetEqualFoldAttributeValue(p.after))
		if err != nil || after < 0 {
			continue
		}
		one := Lockout{Policy: e.DN, After: after}
		switch n, err := strconv.ParseInt(e.GetEqualFoldAttributeValue(p.within), 10, 64); {
		case err != nil || n == 0:
			if p.forever {
				one.Within = Forever
			}
		case n == math.MinInt64 || n > int64(Forever/time.Second):
			one.Within = Forever
		default:
			one.Within = time.Duration(n) * p.unit
		}
		return one, true
	}
	return Lockout{}, false
}
