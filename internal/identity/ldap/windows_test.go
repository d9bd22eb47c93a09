package ldap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/policy"
)

const annDN = `CN=Ann\, of Corp,OU=People,DC=corp`

func TestActiveDirectory(t *testing.T) {
	f := newFake(t)
	guid := "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry(annDN, "SAMAccountName: Ann", "objectGUID: "+guid, "userAccountControl: 512", "accountExpires: 9223372036854775807")}
	f.Entries[`ou=groups,dc=corp sub (member:1.2.840.113556.1.4.1941:=`+annDN2(t)+`)`] = []*client.Entry{entry("CN=ops,OU=Groups,DC=corp", "cn: ops"), entry("CN=dev,OU=Groups,DC=corp", "CN: dev")}
	f.Binds[annDN] = 0
	options := f.options()
	options.Groups = ldap.Groups{Bases: []string{"ou=groups,dc=corp"}, Nested: ldap.Chain}
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
	if err != nil {
		t.Fatalf("%v; it heard\n%s", err, strings.Join(f.Heard(), "\n"))
	}
	want := &policy.Principal{Kind: policy.User, Name: "Ann", Source: "ldap:ad", ID: "00112233-4455-6677-8899-aabbccddeeff", Groups: []string{"dev", "ops"}}
	if diff := cmp.Diff(want, v.Principal); diff != "" {
		t.Errorf("ann (-want +got):\n%s\nit heard\n%s", diff, strings.Join(f.Heard(), "\n"))
	}
}

// Names in Active Directory can have capital letters, which repository paths must not have.
func TestNamesInLowerCase(t *testing.T) {
	f := newFake(t)
	f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", "sAMAccountName: ANN")}
	f.Binds["CN=Ann,DC=corp"] = 0
	options := f.options()
	options.User.Lowercase = true
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
	if got := outcome(v, err); got != "ann" {
		t.Errorf("%s, want ann", got)
	}
}

// annDN2 returns annDN, escaped for a filter.
func annDN2(t *testing.T) string {
	t.Helper()
	packet, err := client.CompileFilter("(member:1.2.840.113556.1.4.1941:=" + client.EscapeFilter(annDN) + ")")
	if err != nil {
		t.Fatal(err)
	}
	filter, err := client.DecompileFilter(packet)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(filter, "(member:1.2.840.113556.1.4.1941:="), ")")
}

// A disabled or expired user cannot sign in, even with the correct password. A refresh needs no
// password, so Find must not return such a user.
func TestAnUnusableAccount(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	windows := func(at time.Time) string { return fmt.Sprint((at.Unix() + 11_644_473_600) * 1e7) }
	day := func(days int) string { return fmt.Sprint(now.Unix()/86400 + int64(days)) }
	for _, tt := range []struct {
		says   string
		enters bool // signs in with the right password
		found  bool // Find returns the user
	}{
		{"userAccountControl: 512", true, true},
		{"userAccountControl: 514", false, false},
		{"userAccountControl: 66050", false, false},
		{"userAccountControl: odd", false, false},
		{"accountExpires: 0", true, true},
		{"accountExpires: 9223372036854775807", true, true},
		{"accountExpires: " + windows(now.Add(time.Second)), true, true},
		{"accountExpires: " + windows(now), false, false},
		{"accountExpires: " + windows(now.AddDate(-1, 0, 0)), false, false},
		{"accountExpires: soon", false, false},
		{"pwdLastSet: 0", false, false},
		{"pwdLastSet: " + windows(now), true, true},
		{"nsAccountLock: TRUE", false, false},
		{"nsaccountlock: true", false, false},
		{"nsAccountLock: FALSE", true, true},
		{"loginDisabled: TRUE", false, false},
		{"loginExpirationTime: 20261123115959Z", false, false},
		{"pwdReset: TRUE", false, false},
		{"pwdReset: FALSE", true, true},
		{"pwdAccountLockedTime: 000001010000Z", false, false},
		// The end of this lock depends on the directory's policy. So a sign-in asks the directory,
		// and Find returns no user.
		{"pwdAccountLockedTime: 20261123115500Z", true, false},
		{"pwdStartTime: 20261123120001Z", false, false},
		{"pwdStartTime: 20261123120000Z", true, true},
		{"pwdEndTime: 20261123120000Z", false, false},
		{"pwdEndTime: 20261123120001Z", true, true},
		{"krbPrincipalExpiration: 20261123120000Z", false, false},
		{"krbPrincipalExpiration: 20261123120001Z", true, true},
		{"krbPrincipalExpiration: 20261123115959.5Z", false, false},
		{"krbPrincipalExpiration: 20261123120000.5Z", true, true},
		{"krbPrincipalExpiration: 202611231200Z", false, false},
		{"krbPrincipalExpiration: 20261123135959+0200", false, false},
		{"krbPrincipalExpiration: 20261123140001+0200", true, true},
		{"krbPrincipalExpiration: 2026112314+02", false, false},
		{"krbPrincipalExpiration: never", false, false},
		{"krbPrincipalExpiration: 20261123120001.Z", true, true},
		{"krbPrincipalExpiration: 2026112313,Z", true, true},
		{"krbPrincipalExpiration: 2026112311,9Z", false, false},
		{"krbPrincipalExpiration: 2026112313,5+0000", true, true},
		{"krbPrincipalExpiration: 2026112300,8E5+0100", false, false},
		{"krbPrincipalExpiration: 2026112300,8e5Z", false, false},
		{"krbPrincipalExpiration: 2026112300.0x1p9Z", false, false},
		{"krbPrincipalExpiration: 2026112313,1_0Z", false, false},
		{"krbPrincipalExpiration: 2026112313,InfZ", false, false},
		{"krbPrincipalExpiration: 2026112313,5.5Z", false, false},
		{"krbPrincipalExpiration: 2026112313 Z", false, false},
		{"krbPrincipalExpiration: 20261123130000+0100Z", false, false},
		{"pwdStartTime: 2026112300,-8E5+0100", false, false},
		{"pwdStartTime: 2026112311,_5Z", false, false},
		{"krbPrincipalExpiration: 20261123120000", false, false},
		{"shadowExpire: -1", true, true},
		{"shadowExpire: 0", false, false},
		{"shadowExpire: " + day(1), true, true},
		{"shadowExpire: " + day(0), false, false},
		{"shadowExpire: " + day(-400), false, false},
		{"shadowExpire: odd", false, false},
	} {
		for _, template := range []bool{false, true} { // with and without a service account
			f := newFake(t)
			f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=ann,DC=corp", "sAMAccountName: ann", "entryUUID: 7", tt.says)}
			f.Entries["CN=ann,DC=corp base (objectClass=*)"] = f.Entries["dc=corp sub (sAMAccountName=ann)"]
			f.Binds["CN=ann,DC=corp"] = 0
			options := f.options()
			options.Now = func() time.Time { return now }
			if template {
				options.User.DN, options.User.Bases, options.User.Filter = "CN={name},DC=corp", nil, ""
			}
			d := open(t, options)
			errs := map[bool]error{false: identity.ErrRejected}
			if _, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right")); !errors.Is(err, errs[tt.enters]) {
				t.Errorf("%s, template %v: the right password: %v, want %v", tt.says, template, err, errs[tt.enters])
			}
			_, err := d.Find(t.Context(), "ann", "7")
			if !errors.Is(err, errs[tt.found]) {
				t.Errorf("%s, template %v: looked up: %v, want %v", tt.says, template, err, errs[tt.found])
			}
			attribute, _, _ := strings.Cut(tt.says, ":")
			if why, ok := errors.AsType[*identity.DisabledError](err); ok == tt.found || ok && !strings.HasPrefix(strings.ToLower(why.Why), strings.ToLower(attribute)) {
				t.Errorf("%s: disabled because: %v", tt.says, why)
			}
		}
	}
}

// Each answer of a directory to a bind is either a final refusal or an outage.
func TestAnswersToABind(t *testing.T) {
	for code, want := range map[uint16]string{
		client.LDAPResultSuccess:                     "ann",
		client.LDAPResultInvalidCredentials:          "rejected",
		client.LDAPResultInappropriateAuthentication: "rejected",
		client.LDAPResultNoSuchObject:                "rejected",
		client.LDAPResultUnwillingToPerform:          "rejected",
		client.LDAPResultConstraintViolation:         "rejected",
		client.LDAPResultInsufficientAccessRights:    "rejected",
		client.LDAPResultBusy:                        "outage",
		client.LDAPResultUnavailable:                 "outage",
		client.LDAPResultOther:                       "outage",
		client.LDAPResultOperationsError:             "outage",
		client.LDAPResultReferral:                    "outage",
		client.LDAPResultStrongAuthRequired:          "outage",
		client.LDAPResultConfidentialityRequired:     "outage",
		client.LDAPResultTimeLimitExceeded:           "outage",
		client.LDAPResultSaslBindInProgress:          "outage",
		4711:                                         "outage",
	} {
		f := newFake(t)
		f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", "sAMAccountName: ann")}
		f.Binds["CN=Ann,DC=corp"] = code
		v, err := open(t, f.options()).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if got := outcome(v, err); !strings.HasPrefix(got, want) {
			t.Errorf("%d: %s, want %s", code, got, want)
		}
	}
}

// Each row is an answer of the directory to a search.
func TestAnswersToASearch(t *testing.T) {
	ann := entry("CN=Ann,DC=corp", "sAMAccountName: ann")
	for _, tt := range []struct {
		entries []*client.Entry
		code    uint16
		want    string
	}{
		{[]*client.Entry{ann}, client.LDAPResultSuccess, "ann"},
		{nil, client.LDAPResultSuccess, "unknown"},
		{[]*client.Entry{ann, ann}, client.LDAPResultSuccess, "rejected"},
		{[]*client.Entry{ann, ann}, client.LDAPResultSizeLimitExceeded, "rejected"},
		// The size limit of the request is two.
		{[]*client.Entry{ann, ann, ann, ann}, client.LDAPResultSuccess, "rejected"},
		{nil, client.LDAPResultNoSuchObject, "outage"},
		{nil, client.LDAPResultReferral, "outage"},
		{nil, client.LDAPResultInsufficientAccessRights, "outage"},
		{nil, client.LDAPResultOperationsError, "outage"},
		{[]*client.Entry{ann}, client.LDAPResultTimeLimitExceeded, "outage"},
		{[]*client.Entry{ann}, client.LDAPResultUnavailable, "outage"},
		{[]*client.Entry{entry("CN=Ann,DC=corp")}, client.LDAPResultSuccess, "rejected"},
		{[]*client.Entry{entry("CN=Ann,DC=corp", "sAMAccountName: ")}, client.LDAPResultSuccess, "rejected"},
		{[]*client.Entry{entry("CN=Ann,DC=corp", "sAMAccountName: a\nb")}, client.LDAPResultSuccess, "rejected"},
		// A bind with an empty DN would be anonymous.
		{[]*client.Entry{entry("", "sAMAccountName: ann")}, client.LDAPResultSuccess, "rejected"},
		{[]*client.Entry{entry("CN=Ann,DC=corp", "sAMAccountName: ann", "objectGUID: 1", "objectGUID: 2")}, client.LDAPResultSuccess, "rejected"},
	} {
		f := newFake(t)
		f.Entries["dc=corp sub (sAMAccountName=ann)"], f.Results["dc=corp sub (sAMAccountName=ann)"] = tt.entries, tt.code
		f.Binds["CN=Ann,DC=corp"], f.Binds[""] = 0, 0
		v, err := open(t, f.options()).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if got := outcome(v, err); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%d entries and the result %d: %s, want %s", len(tt.entries), tt.code, got, tt.want)
		}
	}
}

// Active Directory truncates lists of more than 1,500 groups. The sign-in is then refused.
func TestAListOfGroupsThatIsCutIsAnError(t *testing.T) {
	for _, tt := range []struct{ lines []string }{
		{[]string{"memberOf;range=0-1499: CN=dev,DC=corp"}},
		{many("memberOf: CN=g%d,DC=corp", 1001)},
	} {
		f := newFake(t)
		f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", append(tt.lines, "sAMAccountName: ann")...)}
		f.Binds["CN=Ann,DC=corp"] = 0
		options := f.options()
		options.Groups = ldap.Groups{MemberOf: true}
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if got := outcome(v, err); !strings.HasPrefix(got, "incomplete") {
			t.Errorf("%s", got)
		}
	}
}

func TestGroupsInGroupsAreBounded(t *testing.T) {
	f := newFake(t)
	f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", append(many("memberOf: CN=g%d,DC=corp", 600), "sAMAccountName: ann")...)}
	for i := range 600 {
		dn := fmt.Sprintf("CN=g%d,DC=corp", i)
		f.Entries[dn+" base (objectClass=*)"] = []*client.Entry{entry(dn, fmt.Sprintf("memberOf: CN=above%d,DC=corp", i))}
	}
	f.Binds["CN=Ann,DC=corp"] = 0
	options := f.options()
	options.Groups, options.Timeout = ldap.Groups{MemberOf: true, Nested: ldap.Walk}, time.Minute
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
	if got := outcome(v, err); !strings.Contains(got, "more than 1000 groups") {
		t.Errorf("%s", got)
	}
}

func TestIDs(t *testing.T) {
	for _, tt := range []struct {
		attribute string
		lines     []string
		want      string
	}{
		{"", []string{"entryUUID: 6c1e"}, "6c1e"},
		{"", []string{"entryUUID: 6c1e", "objectGUID: 0123456789abcdef"}, "6c1e"},
		{"", nil, "CN=Ann,DC=corp"},
		{"objectGUID", []string{"entryUUID: 6c1e", "objectGUID: 0123456789abcdef"}, "33323130-3534-3736-3839-616263646566"},
		{"objectGUID", []string{"objectGUID: short"}, "short"},
		{"objectSid", []string{"objectSid: \x01\xff"}, "01ff"},
		{"employeeNumber", []string{"employeeNumber: 7"}, "7"},
		// The entry has no employeeNumber yet. If the attribute appeared later, the id would
		// change.
		{"employeeNumber", []string{"entryUUID: 6c1e"}, "rejected"},
		{"employeeNumber", []string{"employeeNumber: 7", "employeeNumber: 8"}, "rejected"},
		{"employeeNumber", []string{"employeeNumber: "}, "rejected"},
	} {
		f := newFake(t)
		f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", append(tt.lines, "sAMAccountName: ann")...)}
		f.Binds["CN=Ann,DC=corp"] = 0
		options := f.options()
		options.User.IDAttribute = tt.attribute
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		got := outcome(v, err)
		if err == nil {
			got = v.Principal.ID
		}
		if got != tt.want {
			t.Errorf("%s of %q: %s, want %s", tt.attribute, tt.lines, got, tt.want)
		}
	}
}

// A claim is part of each decision and of the journal, so it must be text of a limited size.
func TestClaimsAreBounded(t *testing.T) {
	f := newFake(t)
	lines := append(append(many("many: %03d", 101), many("several: %03d", 100)...), "binary: \xff\xfe", "One: 1", "sAMAccountName: ann")
	f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", lines...)}
	f.Binds["CN=Ann,DC=corp"] = 0
	options := f.options()
	// The attributes with unusable values are left out.
	options.User.Attributes = map[string]string{"several": "several", "one": "uno"}
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := v.Principal.Claims["several"].([]any)
	if len(list) != 100 || len(v.Principal.Claims) != 2 || v.Principal.Claims["uno"] != "1" {
		t.Errorf("claims: %v", v.Principal.Claims)
	}
}

func many(format string, n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf(format, i))
	}
	return lines
}
