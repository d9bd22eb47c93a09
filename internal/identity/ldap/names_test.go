package ldap_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
)

// outcome summarizes the result of an attempt.
func outcome(v identity.Verified, err error) string {
	switch {
	case err == nil:
		return v.Principal.Name
	case errors.As(err, new(*identity.IncompleteError)):
		return "incomplete: " + err.Error()
	case errors.Is(err, identity.ErrUnknown):
		return "unknown"
	case errors.Is(err, identity.ErrRejected):
		return "rejected"
	}
	return "outage: " + err.Error()
}

// In docker_auth, `ALICE` and `alice ` were alice for LDAP and another user for the ACL. In
// Tidewaiter, a principal always has the directory's spelling.
func TestPrincipalsHaveTheDirectorysSpelling(t *testing.T) {
	for how, change := range map[string]func(*ldap.Options){
		"search":   func(*ldap.Options) {},
		"template": func(o *ldap.Options) { o.User = ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"} },
		"template, without a lookup": func(o *ldap.Options) {
			o.User, o.BindDN, o.BindPasswordFile = ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"}, "", ""
		},
	} {
		t.Run(how, func(t *testing.T) {
			options := sharedDirectory(t).options()
			change(&options)
			d := open(t, options)
			alone := options.BindDN == ""
			alice, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
			if err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct{ name, password, is, because string }{
				{"alice", "wonderland", "alice", ""},
				{"ALICE", "wonderland", "alice", "directories ignore the case"},
				{"aLiCe", "wonderland", "alice", ""},
				{"alice ", "wonderland", "unknown", "spaces at the ends are ignored by directories"},
				{" alice", "wonderland", "unknown", ""},
				{"alice\u00a0", "wonderland", "unknown", ""},
				{"ali\u200bce", "wonderland", "unknown", "an invisible character"},
				{"ali\u00adce", "wonderland", "unknown", "a soft hyphen"},
				{"\u202ealice", "wonderland", "unknown", ""},
				{"alice\n", "wonderland", "unknown", ""},
				{"alice\x00", "wonderland", "unknown", ""},
				{"alice\xff", "wonderland", "unknown", ""},
				{"аlice", "wonderland", "-", "a Cyrillic а"},
				{"ａｌｉｃｅ", "wonderland", "-", "wide letters, which some directories treat as alice"},
				{"ålice", "wonderland", "-", ""},
				{"zoë", "two dots", "zoë", ""},
				{"ZOË", "two dots", "zoë", ""},
				{"zoe\u0308", "two dots", "zoë", "the same letter, written as two characters"},
				{"zoe", "two dots", "-", "another letter"},
				{strings.Repeat("a", username.MaxLength+1), "wonderland", "unknown", ""},
				{"", "wonderland", "unknown", ""},
			} {
				v, err := d.Authenticate(t.Context(), identity.Presented{Kind: identity.Password, Name: tt.name, Secret: identity.NewSecret(tt.password)})
				got := outcome(v, err)
				if refused := got == "unknown" || got == "rejected"; tt.is == "-" && refused || alone && tt.is == "unknown" && refused {
					continue
				}
				// If the directory found alice, the principal must have the name alice in the
				// directory's spelling.
				if tt.is == "-" && err == nil {
					if diff := cmp.Diff(alice, v); diff == "" {
						continue
					}
				}
				if got != tt.is {
					t.Errorf("%q: %s, want %s (%s)", tt.name, got, tt.is, tt.because)
				}
				if err == nil && v.Principal.Name == "alice" && v.Principal.ID != alice.Principal.ID {
					t.Errorf("%q has another id than alice", tt.name)
				}
			}
		})
	}
}

// In docker_auth, the account "*@x" became a pattern. In Tidewaiter, a name is always literal
// text: in filters, in DNs, and even in a filter that has both placeholders.
func TestNamesNeverBecomePatterns(t *testing.T) {
	template := ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"}
	for _, tt := range []struct {
		user                 ldap.User
		name, password, want string
	}{
		{ldap.User{}, "*", "wonderland", "unknown"},
		{ldap.User{}, "ali*", "wonderland", "unknown"},
		{ldap.User{}, "alice)(uid=*", "wonderland", "unknown"},
		{ldap.User{}, "*)(|(uid=*", "wonderland", "unknown"},
		{ldap.User{}, `\61lice`, "wonderland", "unknown"},
		{ldap.User{}, `\2a`, "wonderland", "unknown"},
		{ldap.User{}, `par(en)*\<>#`, "filter characters", `par(en)*\<>#`},
		{ldap.User{}, `a+b,c=d`, "dn characters", `a+b,c=d`},
		{ldap.User{}, "{name}", "wonderland", "unknown"},
		{ldap.User{}, "{dn}", "wonderland", "unknown"},
		{template, "alice,ou=people", "wonderland", "unknown"},
		{template, "alice+cn=Alice Liddell", "wonderland", "unknown"},
		{template, `\61lice`, "wonderland", "unknown"},
		{template, "#616c696365", "wonderland", "unknown"},
		{template, `alice\`, "wonderland", "unknown"},
		{template, "*", "wonderland", "unknown"},
		{template, `a+b,c=d`, "dn characters", `a+b,c=d`},
		{template, `par(en)*\<>#`, "filter characters", `par(en)*\<>#`},
		{template, "{name}", "wonderland", "unknown"},
	} {
		options := sharedDirectory(t).options()
		if tt.user.DN != "" {
			options.User = tt.user
		}
		options.Groups = ldap.Groups{Bases: []string{"ou=groups,dc=example,dc=com"}, Filter: "(|(member={dn})(memberUid={name}))"}
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented(tt.name, tt.password))
		if got := outcome(v, err); got != tt.want {
			t.Errorf("%q by %q: %s, want %s", tt.name, tt.user.DN, got, tt.want)
		}
		if err == nil && len(v.Principal.Groups) > 0 {
			t.Errorf("%q has the groups %q", tt.name, v.Principal.Groups)
		}
	}
}

// go-ldap CVE-2017-14623: a bind with an empty password succeeds as an anonymous bind. Such
// passwords are refused before a connection is made.
func TestAnEmptyPasswordIsNeverSent(t *testing.T) {
	o := sharedDirectory(t)
	for _, user := range []ldap.User{{Bases: []string{"ou=people,dc=example,dc=com"}}, {DN: "uid={name},ou=people,dc=example,dc=com"}} {
		between := newProxy(t, o.Address)
		options := o.options()
		options.User, options.Servers = user, []string{"ldap://" + between.address()}
		d := open(t, options)
		for _, secret := range []string{"", "\x00", "wonderland\x00", "\x00wonderland", "wonder\x00land"} {
			_, err := d.Authenticate(t.Context(), identity.Presented{Kind: identity.Password, Name: "alice", Secret: identity.NewSecret(secret)})
			if !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%q: %v, want %v", secret, err, identity.ErrRejected)
			}
		}
		for _, kind := range []identity.Kind{identity.None, identity.IDToken, identity.AccessToken, identity.RefreshToken} {
			if _, err := d.Authenticate(t.Context(), identity.Presented{Kind: kind, Name: "alice", Secret: identity.NewSecret("wonderland")}); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("the kind %d: %v, want %v", kind, err, identity.ErrUnknown)
			}
		}
		if n := between.countConnections(); n != 0 {
			t.Errorf("the directory was asked over %d connections", n)
		}
		if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", strings.Repeat("w", identity.MaxSecret))); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("a very long password: %v", err)
		}
	}
}

func TestAnAmbiguousEntryIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, password, want, says string }{
		{"twin", "castor", "rejected", "more than one entry has the name"},
		{"janus", "two faces", "rejected", "2 values of uid"},
		{"dora", "backpack", "dora", ""},
		// The search finds the entry by another value of uid. The user's name is the value in
		// the DN.
		{"theodora", "backpack", "dora", ""},
		{"spacy", "outer space", "rejected", `its uid \" spacy \" is not a valid name`},
		{"nopass", "anything", "rejected", ""},
		{"nobody", "anything", "unknown", ""},
	} {
		var log strings.Builder
		options := sharedDirectory(t).options()
		options.User.Bases = []string{"dc=example,dc=com"}
		options.Log = slog.New(slog.NewTextHandler(&log, nil))
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented(tt.name, tt.password))
		if got := outcome(v, err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if got := log.String(); !strings.Contains(got, tt.says) || (tt.says == "") != (got == "") {
			t.Errorf("%s: the log says %q, want %q", tt.name, got, tt.says)
		}
		if strings.Contains(log.String(), tt.password) {
			t.Errorf("%s: the password is in the log", tt.name)
		}
	}
}

func TestAPrincipalComesFromTheEntry(t *testing.T) {
	o := sharedDirectory(t)
	options := o.options()
	options.User.Attributes = map[string]string{"mail": "email", "departmentNumber": "departments", "telephoneNumber": "phone"}
	options.Groups = ldap.Groups{Bases: []string{"ou=groups,dc=example,dc=com"}}
	d := open(t, options)
	v, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Verified{Credential: "password", Generation: "ldap", Principal: &policy.Principal{
		Kind: policy.User, Name: "alice", Source: "ldap:corp", ID: o.attribute(t, "uid=alice,ou=people,dc=example,dc=com", "entryUUID"),
		Groups: []string{"dev"}, Claims: map[string]any{"email": "alice@example.com", "departments": []string{"3", "7"}},
	}}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("alice (-want +got):\n%s", diff)
	}
}

// Names are reused. A user who is deleted and created again with the same name has another id, and
// tokens of the first user are not valid for the second user.
func TestARecreatedUserIsAnotherUser(t *testing.T) {
	o := sharedDirectory(t)
	d := open(t, o.options())
	o.add(t, "uid=carol,ou=people,dc=example,dc=com", "first")
	first, err := d.Authenticate(t.Context(), identity.NewPresented("carol", "first"))
	if err != nil {
		t.Fatal(err)
	}
	o.delete(t, "uid=carol,ou=people,dc=example,dc=com")
	if _, err := d.Find(t.Context(), "carol", first.Principal.ID); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("the deleted user: %v", err)
	}
	o.add(t, "uid=carol,ou=people,dc=example,dc=com", "second")
	second, err := d.Authenticate(t.Context(), identity.NewPresented("carol", "second"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Principal.ID == second.Principal.ID {
		t.Error("both users have the same id")
	}
	if _, err := d.Find(t.Context(), "carol", first.Principal.ID); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("the id of the first user finds the second user: %v", err)
	}
}

// Gitea CVE-2026-58422, -55987: a sign-in enabled a disabled account again. A user who is
// disabled in the directory cannot sign in or refresh.
func TestDisabledStaysDisabled(t *testing.T) {
	d := open(t, sharedDirectory(t).options())
	if _, err := d.Authenticate(t.Context(), identity.NewPresented("locked", "was right once")); !errors.Is(err, identity.ErrRejected) {
		t.Errorf("the right password: %v, want %v", err, identity.ErrRejected)
	}
	if _, err := d.Find(t.Context(), "locked", ""); !errors.Is(err, identity.ErrRejected) {
		t.Errorf("without a password: %v, want %v", err, identity.ErrRejected)
	}
}
