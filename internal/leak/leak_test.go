package leak

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

func TestMain(m *testing.M) {
	code := m.Run()
	storetest.Stop()
	os.Exit(code)
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newFinder(t testing.TB) *Finder {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{Login: func(p *policy.Principal) string { return p.Name }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close(context.Background()); _ = db.Close() })
	return &Finder{
		Journal: j, Issuer: "tidewaiter", Now: noon.Add(time.Minute), Enough: func(int) bool { return false },
		IDToken: func(context.Context, identity.Presented) (string, identity.Verified, error) {
			return "", identity.Verified{}, identity.ErrUnknown
		},
	}
}

// An entry that stands for equal refusals has the time of the first refusal, but is written later.
func TestUsesHaveTheFirstAndTheLastTime(t *testing.T) {
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	u := &Uses{}
	for _, e := range []journal.Entry{ // the newest first
		{Time: at(20), Decision: &journal.Decision{Repeats: &journal.Repeats{Count: 3, First: at(20), Last: at(50)}}},
		{Time: at(30), Text: []byte("a")}, {Time: at(10), Text: []byte("b")}, {Time: at(15), Text: []byte("c")},
	} {
		u.add(&e)
	}
	if u.Count != 4 || !u.First.Equal(at(10)) || !u.Last.Equal(at(50)) {
		t.Errorf("%d uses from %s to %s", u.Count, u.First, u.Last)
	}
}

// A registry's token is recognized by the root that signed it. This works for a former root, for
// an expired leaf certificate, and for a token that identifies the root by a kid.
func TestTokensOfFormerRoots(t *testing.T) {
	f := newFinder(t)
	ctx, by := t.Context(), admin.Operator("root")
	id := journal.NewID(noon)
	if err := f.Journal.Append(ctx, journal.Entry{ID: id, Time: noon, Registry: "r.example.com", Decision: &journal.Decision{
		Principal: &policy.Principal{Kind: policy.User, Name: "ann"}, Token: id, Expires: noon.Add(5 * time.Minute),
		Results: []policy.Result{{Asked: scope.Scope{Type: "repository", Name: "a", Actions: scope.Pull}, Granted: scope.Pull}},
	}}); err != nil {
		t.Fatal(err)
	}
	newRoot := func(name string) *token.Root {
		r, err := token.NewRoot(name, token.ES256, noon.Add(-time.Hour), noon.AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	current, former := newRoot("current"), newRoot("former")
	sign := func(s *token.Signer, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Append(nil, &token.Claims{
			Issuer: "tidewaiter", Subject: "ann", Audience: "r.example.com", ID: id.String(),
			IssuedAt: noon, NotBefore: noon, Expires: noon.Add(5 * time.Minute),
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	byLeaf := sign(former.Leaf(token.ES256, noon.Add(-time.Minute), noon.Add(10*time.Minute)))
	byKID := sign(former.Direct(token.Libtrust))
	own := sign(current.Leaf(token.ES256, noon.Add(-time.Minute), noon.Add(10*time.Minute)))
	f.Roots = []Root{{"the current root", current.Bundle()}}
	for _, tt := range []struct {
		text, signer  string
		known, former bool
		now           time.Duration
		valid         bool
		reason        string
	}{
		{own, "the current root", true, false, time.Minute, true, ""},
		{own, "the current root", true, false, 24 * time.Hour, false, "it has expired"},
		{byLeaf, "", false, false, time.Minute, false, "a former root signed it, or it is forged with the id of another token"},
		{byLeaf, "the former root", true, true, time.Minute, true, ""},
		{byLeaf, "the former root", true, true, 24 * time.Hour, false, "it has expired"},
		{byKID, "", false, false, time.Minute, false, "a former root signed it, or it is forged"},
		{byKID, "the former root", true, true, time.Minute, true, ""},
	} {
		if f.Roots = f.Roots[:1]; tt.former {
			f.Roots = append(f.Roots, Root{"the former root", former.Bundle()})
		}
		f.Now = noon.Add(tt.now)
		c, err := f.Identify(ctx, by, identity.NewSecret(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind != RegistryToken || c.Signer != tt.signer || c.Known != tt.known || c.Valid != tt.valid || !strings.Contains(c.Reason, tt.reason) || tt.reason == "" && c.Reason != "" {
			t.Errorf("%+v: %+v", tt, c)
		}
		if c.Owner != "user:ann" || c.ID != id.String() || c.Uses.Count != 1 {
			t.Errorf("%+v: the result does not match the decision: %+v", tt, c)
		}
	}

	// The id alone is enough to find the decision.
	f.Now = noon.Add(time.Minute)
	c, err := f.ByID(ctx, by, id.String())
	if err != nil || c.Kind != RegistryToken || !c.Valid || c.Owner != "user:ann" {
		t.Errorf("ByID returned %+v, %v", c, err)
	}
	if _, err := f.ByID(ctx, by, journal.NewID(noon).String()); err == nil {
		t.Error("an unknown id was found")
	}
}

// A credential is found in any surrounding text, and no part of the credential is in the result.
func TestNoResultHasTheText(t *testing.T) {
	f := newFinder(t)
	rapid.Check(t, func(t *rapid.T) {
		value, _ := secret.New(rapid.SampledFrom([]byte{secret.Access, secret.Robot, secret.Session, secret.Refresh, secret.Setup}).Draw(t, "kind"))
		around := rapid.SampledFrom([]string{"", " ", "\n", `"`, "token=", "Bearer ", `{"auth":"`, "é", "a ", "$(", "\x00"})
		text := around.Draw(t, "before") + value + around.Draw(t, "after")
		c, err := f.Identify(context.Background(), admin.Operator("root"), identity.NewSecret(text))
		if err != nil {
			t.Fatal(err)
		}
		written, _ := json.Marshal(c)
		if strings.Contains(string(written), value[5:15]) || c.Kind == None || c.Valid || !strings.Contains(c.Reason, "no credential with this value is stored") {
			t.Errorf("%q: %s", text, written)
		}
	})
}

// A damaged text does not cause an error.
func FuzzIdentify(f *testing.F) {
	for _, text := range []string{"", "eyJhbGciOiJFUzI1NiJ9.e30.x", "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ0aWRld2FpdGVyIiwiYXVkIjpbMSwieCJdLCJleHAiOjFlMzA4fQ.AAAA", "twp_a", strings.Repeat("ey", 40)} {
		f.Add(text)
	}
	finder := newFinder(f)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := finder.Identify(context.Background(), admin.Operator("root"), identity.NewSecret(text))
		if err != nil || c.Known || c.Valid || c.Kind == "" || c.What == "" {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	})
}
