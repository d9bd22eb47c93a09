package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// Active Directory allows binds by login, so no service account is needed.
func TestPeopleBindByTheirLogin(t *testing.T) {
	for _, tt := range []struct {
		bind, name, bound string
		want, says        string
	}{
		{`CORP\{name}`, "ann", `u:CORP\ann`, "Ann", ""},
		{`CORP\{name}`, "ANN", `u:CORP\Ann`, "Ann", ""},
		{`CORP\{name}`, `corp\ann`, `u:CORP\ann`, "Ann", ""},
		{`CORP\{name}`, `OTHER\ann`, `u:CORP\ann`, "rejected", ""},
		{`CORP\{name}`, `CORP\OTHER\ann`, `u:CORP\ann`, "rejected", ""},
		{`CORP\{name}`, `CORP\`, `u:CORP\ann`, "unknown", ""},
		{"{name}@corp.example.com", "ann", `u:CORP\ann`, "Ann", ""},
		{"{name}@corp.example.com", "ann", "dn:CN=Ann,DC=corp", "Ann", ""},
		{"{name}@corp.example.com", "ann", `dn:cn=ann, dc=CORP`, "Ann", ""},
		{"{name}@corp.example.com", "ann@other", `u:CORP\ann`, "rejected", ""},
		// Mallory's userPrincipalName is ann@corp.example.com, and ann is the login of another
		// user.
		{"{name}@corp.example.com", "ann", `u:CORP\mallory`, "rejected", "the user who was bound is not the entry"},
		{"{name}@corp.example.com", "ann", "dn:CN=Mallory,DC=corp", "rejected", "the user who was bound is not the entry"},
		{"{name}@corp.example.com", "ann", "u:ann", "rejected", "the user who was bound is not the entry"},
		// Another domain of the forest has a different ann.
		{"{name}@corp.example.com", "ann", `u:EU\ann`, "rejected", "the user who was bound is not the entry"},
		{`CORP\{name}`, "ann", `u:EU\ann`, "rejected", "the user who was bound is not the entry"},
		{`CORP\{name}`, "ann", `u:\ann`, "rejected", "the user who was bound is not the entry"},
		{`CORP\{name}`, "ann", `u:corp\ANN`, "Ann", ""},
		{`CORP\{name}`, "ann", "", "outage", ""}, // no WhoAmI answer
		{`CORP\{name}`, "eve", `u:CORP\eve`, "rejected", ""},
	} {
		f := newFake(t)
		f.Bound = tt.bound
		f.Binds[`CORP\ann`], f.Binds[`CORP\ANN`], f.Binds["ann@corp.example.com"] = 0, 0, 0
		for _, name := range []string{"ann", "ANN"} {
			f.Entries["dc=corp sub (sAMAccountName="+name+")"] = []*client.Entry{entry("CN=Ann,DC=corp", "sAMAccountName: Ann")}
		}
		var log strings.Builder
		options := f.options()
		options.User.Bind, options.User.Domain, options.Log = tt.bind, "CORP", slog.New(slog.NewTextHandler(&log, nil))
		d := open(t, options)
		v, err := d.Authenticate(t.Context(), identity.NewPresented(tt.name, "right"))
		if got := outcome(v, err); got != tt.want && !strings.HasPrefix(got, tt.want+":") {
			t.Errorf("%s by %s, who is %s: %s, want %s", tt.name, tt.bind, tt.bound, got, tt.want)
		}
		if !strings.Contains(log.String(), tt.says) {
			t.Errorf("the log: %s", log.String())
		}
		if _, err := d.Find(t.Context(), "ann", ""); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("found by nobody: %v", err)
		}
		if v, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "wrong")); outcome(v, err) != "rejected" {
			t.Errorf("a wrong password: %v", err)
		}
	}
}

// The bound user is identified by domain and login. Both domain and login must match the entry.
func TestTheDomainOfWhoBoundCounts(t *testing.T) {
	for _, tt := range []struct {
		bind, domain, own string // own: msDS-PrincipalName of the entry
		bound, want       string
		because           string
	}{
		{`CORP\{name}`, "", "", `u:CORP\ann`, "ann", ""},
		{`CORP\{name}`, "", "", `u:EU\ann`, "rejected", "the user who was bound is not the entry"},
		{`corp.example.com\{name}`, "", "", `u:CORP\ann`, "rejected", "set user.domain"},
		{`corp.example.com\{name}`, "CORP", "", `u:CORP\ann`, "ann", ""},
		{"{name}@corp.example.com", "", "", `u:CORP\ann`, "rejected", "set user.domain"},
		{"{name}@corp.example.com", "", "", `u:EU\ann`, "rejected", "set user.domain"},
		{"{name}@corp.example.com", "", `CORP\ann`, `u:CORP\Ann`, "ann", ""},
		{"{name}@corp.example.com", "", `CORP\ann`, `u:EU\ann`, "rejected", "the user who was bound is not the entry"},
		{"{name}@corp.example.com", "EU", `CORP\ann`, `u:EU\ann`, "rejected", "the user who was bound is not the entry"},
		{"{name}@corp.example.com", "", "", "dn:CN=Ann,DC=corp", "ann", ""},
	} {
		f := newFake(t)
		f.Bound = tt.bound
		f.Binds[strings.ReplaceAll(tt.bind, "{name}", "ann")] = 0
		f.setPerson()
		if tt.own != "" {
			f.setPerson("msDS-PrincipalName: " + tt.own)
		}
		options := f.options()
		options.User.Bind, options.User.Domain = tt.bind, tt.domain
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if got := outcome(v, err); got != tt.want || !strings.Contains(identity.Reason(err), tt.because) {
			t.Errorf("%+v: %s %q", tt, got, identity.Reason(err))
		}
	}
}

func TestADomainBeforeANameIsDropped(t *testing.T) {
	options := sharedDirectory(t).options()
	options.User.Domain = "CORP"
	d := open(t, options)
	for name, want := range map[string]string{"alice": "alice", `CORP\alice`: "alice", `corp\ALICE`: "alice", `OTHER\alice`: "unknown", `CORP\`: "unknown", `CORP/alice`: "unknown"} {
		v, err := d.Authenticate(t.Context(), identity.NewPresented(name, "wonderland"))
		if got := outcome(v, err); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	options.Taken = func(_ context.Context, name string) (bool, error) { return name == "alice", nil }
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented(`CORP\alice`, "wonderland"))
	if got := outcome(v, err); got != "rejected" {
		t.Errorf("a name that another source has: %s", got)
	}
}

func TestInvalidLoginSettings(t *testing.T) {
	for want, change := range map[string]func(*ldap.Options){
		"must contain {name} exactly once": func(o *ldap.Options) { o.User.Bind = "CORP" },
		"cannot be combined with bind_dn": func(o *ldap.Options) {
			o.User.Bind, o.BindDN, o.BindPasswordFile = `CORP\{name}`, "cn=x", write(t, "p", "x")
		},
		"not both":              func(o *ldap.Options) { o.User = ldap.User{DN: "uid={name},dc=x", Bind: `CORP\{name}`} },
		"must be a domain only": func(o *ldap.Options) { o.User.Domain = `CORP\` },
		"user.bind is for the domain CORP, which is not EU": func(o *ldap.Options) { o.User.Bind, o.User.Domain = `CORP\{name}`, "EU" },
	} {
		options := newFake(t).options()
		change(&options)
		if _, err := ldap.New(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Grace logins are for changing an expired password. A client that runs unattended would use up
// the grace logins unnoticed.
func TestAGraceLoginIsRefusedWithAReason(t *testing.T) {
	for _, left := range []int64{0, 1, 5} {
		f := newFake(t)
		f.Grace = left
		f.Binds["CN=Ann,DC=corp"] = 0
		f.setPerson()
		_, err := open(t, f.options()).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		disabled, ok := errors.AsType[*identity.DisabledError](err)
		if want := fmt.Sprintf("this used a grace login: %d are left", left); !ok || !strings.Contains(disabled.Why, want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
