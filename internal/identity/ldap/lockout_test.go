package ldap_test

import (
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

func TestTheLockThresholdOfADirectory(t *testing.T) {
	options := sharedDirectory(t).options()
	list, err := open(t, options).Lockouts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ldap.Lockout{{Policy: "cn=policy,dc=example,dc=com", After: 100, Within: ldap.Forever}}, list); diff != "" {
		t.Error(diff)
	}
	options.BindDN, options.BindPasswordFile = "", "" // anonymous, which sees no policy
	if list, err := open(t, options).Lockouts(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("nobody: %v %v", list, err)
	}
}

func TestPoliciesOfLockedAccounts(t *testing.T) {
	const filter = "(|(objectClass=pwdPolicy)(objectClass=domainDNS)(objectClass=msDS-PasswordSettings)(objectClass=krbPwdPolicy)(objectClass=passwordPolicy))"
	for _, tt := range []struct {
		lines []string
		want  []ldap.Lockout // nil: unknown
	}{
		{[]string{"objectClass: pwdPolicy", "pwdLockout: TRUE", "pwdMaxFailure: 5", "pwdFailureCountInterval: 600"}, []ldap.Lockout{{"cn=p", 5, 10 * time.Minute}}},
		{[]string{"objectClass: PWDPOLICY", "pwdlockout: true", "pwdmaxfailure: 5", "pwdFailureCountInterval: 0"}, []ldap.Lockout{{"cn=p", 5, ldap.Forever}}},
		{[]string{"objectClass: pwdPolicy", "pwdLockout: TRUE", "pwdMaxFailure: 0"}, []ldap.Lockout{{"cn=p", 0, ldap.Forever}}},
		{[]string{"objectClass: pwdPolicy", "pwdLockout: FALSE", "pwdMaxFailure: 5"}, []ldap.Lockout{{"cn=p", 0, 0}}},
		{[]string{"objectClass: pwdPolicy", "pwdMaxFailure: 5"}, nil},
		{[]string{"objectClass: pwdPolicy", "pwdLockout: TRUE"}, nil},
		{[]string{"objectClass: pwdPolicy", "pwdLockout: TRUE", "pwdMaxFailure: many"}, nil},
		{[]string{"objectClass: top", "objectClass: domainDNS", "lockoutThreshold: 10", "lockOutObservationWindow: -18000000000"}, []ldap.Lockout{{"cn=p", 10, 30 * time.Minute}}},
		{[]string{"objectClass: domainDNS", "lockoutThreshold: 10", "lockOutObservationWindow: -9223372036854775808"}, []ldap.Lockout{{"cn=p", 10, ldap.Forever}}},
		{[]string{"objectClass: domainDNS", "lockoutThreshold: 0"}, []ldap.Lockout{{"cn=p", 0, 0}}},
		{[]string{"objectClass: domainDNS"}, nil}, // the entry of a DNS partition
		{[]string{"objectClass: msDS-PasswordSettings", "msDS-LockoutThreshold: 3", "msDS-LockoutObservationWindow: -600000000"}, []ldap.Lockout{{"cn=p", 3, time.Minute}}},
		{[]string{"objectClass: krbPwdPolicy", "krbPwdMaxFailure: 6", "krbPwdFailureCountInterval: 60"}, []ldap.Lockout{{"cn=p", 6, time.Minute}}},
		{[]string{"objectClass: passwordPolicy", "passwordLockout: on", "passwordMaxFailure: 3"}, []ldap.Lockout{{"cn=p", 3, 0}}},
		{[]string{"objectClass: passwordPolicy", "passwordLockout: off", "passwordMaxFailure: 3"}, []ldap.Lockout{{"cn=p", 0, 0}}},
		{[]string{"objectClass: person", "pwdMaxFailure: 3", "pwdLockout: TRUE"}, nil},
	} {
		f := newFake(t)
		f.SetEntries(" base (objectClass=*)", entry("", "namingContexts: cn=hidden", "namingContexts: dc=corp"))
		f.Results["cn=hidden sub "+filter] = client.LDAPResultNoSuchObject
		f.SetEntries("dc=corp sub "+filter, entry("cn=p", tt.lines...))
		list, err := open(t, f.options()).Lockouts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, list); diff != "" {
			t.Errorf("%q: %s", tt.lines, diff)
		}
	}
}
