package htpasswd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Hashes of "wonderland".
const (
	bcrypt4  = "$2y$04$O6h3d7zA4vgYdEOzglqUOO9gQ1Sy15q2e69bvXpuo5Q2trUeHqRIu"
	bcrypt5  = "$2y$05$7iTraP2oZj6TLYcnnnKo6u9G9xTCXJsJNX22AGiHRzwVX7QtsGFKu"
	libcrypt = "$2b$04$3.h4lmqh352dbM6AyOmDxO5tK9eRrciXLr2Er8iulVESpTj4tChOS"
	argon2id = "$argon2id$v=19$m=256,t=2,p=1$c29tZSBzYWx0IG9mIGFubg$GoKBoMOkYQXuUa2XhTv0/SXL+UMqYQ+8yr890ou++qE"
)

// A File implements all interfaces of a source.
var _ interface {
	identity.Authenticator
	identity.Finder
	chain.Dummy
} = (*htpasswd.File)(nil)

func Example() {
	users, err := htpasswd.New(htpasswd.Options{
		Entries: []string{
			// htpasswd -nbB ann wonderland
			"ann:$2y$04$O6h3d7zA4vgYdEOzglqUOO9gQ1Sy15q2e69bvXpuo5Q2trUeHqRIu",
		},
		Groups:  map[string][]string{"dev": {"ann"}},
		Hashing: password.New(password.Options{}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := users.Authenticate(context.Background(), identity.NewPresented("ann", "wonderland"))
	fmt.Println(v.Principal.Name, v.Principal.Groups, err)
	_, err = users.Authenticate(context.Background(), identity.NewPresented("ann", "underland"))
	fmt.Println(err)
	// Output:
	// ann [dev] <nil>
	// credential rejected
}

func ExampleProblems() {
	_, err := htpasswd.New(htpasswd.Options{
		Entries: []string{"ann:wonderland", "bob:$apr1$HycWnX/r$1kPR1UPDNDAHtKSIMgXK1."},
		Groups:  map[string][]string{"dev": {"anne", "bob"}},
		Hashing: password.New(password.Options{}),
	})
	fmt.Println(err)
	// Output:
	// entry 1: the hash of "ann" is neither a bcrypt nor an argon2id hash; it may be a DES hash or a plain-text password: make one with "htpasswd -B" or "tidewaiter hash-password"
	// entry 2: the hash of "bob" is an MD5 hash (apr1): make one with "htpasswd -B" or "tidewaiter hash-password"
	// group "dev": there is no entry for its member "anne" (did you mean "ann"?)
}

// write writes text to a file and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.htpasswd")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, o htpasswd.Options) *htpasswd.File {
	t.Helper()
	if o.Hashing == nil {
		o.Hashing = password.New(password.Options{})
	}
	f, err := htpasswd.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFileConforms(t *testing.T) {
	for what, o := range map[string]htpasswd.Options{
		"from a file":     {File: write(t, "ann:"+bcrypt4+"\n")},
		"from the config": {Entries: []string{"ann:" + bcrypt4}},
		"with groups":     {Name: "staff", Entries: []string{"ann:" + bcrypt4}, Groups: map[string][]string{"dev": {"ann"}}},
		"with argon2id":   {Entries: []string{"ann:" + argon2id}},
	} {
		t.Run(what, func(t *testing.T) {
			identitytest.Run(t, identitytest.Subject{
				Source: open(t, o), Kind: identity.Password, Name: "ann", Secret: "wonderland", Unknown: "nobody",
			})
		})
	}
}

func TestAPrincipalHasTheSpellingOfTheFile(t *testing.T) {
	f := open(t, htpasswd.Options{
		File: write(t, "\ufeff# the staff\r\n\r\nann:"+bcrypt4+"\r\nAnn:"+bcrypt5+" \t\r\nteam/bot:"+argon2id),
		Entries: []string{
			"zoë:" + libcrypt, "*:" + libcrypt, "a b:" + libcrypt, "", "# nobody",
		},
		Groups: map[string][]string{"dev": {"ann", "team/bot", "ann"}, "all": {"Ann", "ann", "*"}, "empty": nil, "x": {"ann"}, "y": {"ann"}, "z": {"ann"}},
	})
	principal := func(name string, groups ...string) *policy.Principal {
		return &policy.Principal{Kind: policy.User, Name: name, Source: "htpasswd", ID: name, Groups: groups}
	}
	for _, tt := range []struct {
		name, secret string
		want         *policy.Principal
		err          error
	}{
		{"ann", "wonderland", principal("ann", "all", "dev", "x", "y", "z"), nil},
		{"Ann", "wonderland", principal("Ann", "all"), nil},
		{"team/bot", "wonderland", principal("team/bot", "dev"), nil},
		{"zoë", "wonderland", principal("zoë"), nil},
		{"*", "wonderland", principal("*", "all"), nil}, // its own name, not a pattern
		{"a b", "wonderland", principal("a b"), nil},
		{"ANN", "wonderland", nil, identity.ErrUnknown},
		{"ann ", "wonderland", nil, identity.ErrUnknown},
		{"zoe\u0308", "wonderland", nil, identity.ErrUnknown},
		{"ann", "Wonderland", nil, identity.ErrRejected},
		{"# the staff", "wonderland", nil, identity.ErrUnknown},
		{"", "wonderland", nil, identity.ErrUnknown},
	} {
		v, err := f.Authenticate(t.Context(), identity.Presented{Kind: identity.Password, Name: tt.name, Secret: identity.NewSecret(tt.secret)})
		if diff := cmp.Diff(tt.want, v.Principal); diff != "" || !errors.Is(err, tt.err) {
			t.Errorf("%q: error %v, want %v; principal (-want +got):\n%s", tt.name, err, tt.err, diff)
		}
	}
	if f.Len() != 6 {
		t.Errorf("%d entries, want 6", f.Len())
	}
	one, _ := f.Find(t.Context(), "ann", "ann")
	two, _ := f.Find(t.Context(), "ann", "")
	if one == nil || one != two {
		t.Error("the principal of an entry is not always the same value")
	}
}

// User enumeration: an unknown name and a wrong password get the same error, and both cost a
// hash with the algorithm and cost of the hashes in the file.
func TestUnknownAndWrongLookAndCostTheSame(t *testing.T) {
	for what, entries := range map[string][]string{
		"bcrypt":   {"ann:" + bcrypt4, "bob:" + bcrypt4},
		"argon2id": {"ann:" + argon2id},
		"mixed":    {"ann:" + argon2id, "bob:" + bcrypt5, "carl:" + bcrypt4},
		"nobody":   nil,
	} {
		hashing := password.New(password.Options{})
		chain := chain.New(chain.Options{Sources: []identity.Source{
			{Name: "htpasswd", Authenticator: open(t, htpasswd.Options{Entries: entries, Hashing: hashing})},
		}})
		for i, name := range []string{"ann", "nobody", "ann", "nobody", "ANN", "*"} {
			v, err := chain.Authenticate(t.Context(), identity.NewPresented(name, "a wrong one"))
			if !errors.Is(err, identity.ErrRejected) || v != (identity.Verified{}) {
				t.Errorf("%s: %q: %v, %v", what, name, v, err)
			}
			if got, want := hashing.Stats(), (password.Stats{Hashed: uint64(i + 1)}); got != want {
				t.Errorf("%s: after %q: %+v, want %+v", what, name, got, want)
			}
		}
		// A password that is too long for bcrypt is refused at once, for a known and for an
		// unknown name.
		before := hashing.Stats()
		if what == "bcrypt" {
			for _, name := range []string{"ann", "nobody"} {
				if _, err := chain.Authenticate(t.Context(), identity.NewPresented(name, strings.Repeat("x", 73))); !errors.Is(err, identity.ErrRejected) {
					t.Errorf("%s: 73 bytes for %q: %v", what, name, err)
				}
			}
			if got := hashing.Stats(); got != before {
				t.Errorf("%s: 73 bytes cost %+v, before it was %+v", what, got, before)
			}
		}
	}
}

// A full queue is an outage for every password that is not cached, for known and unknown names.
func TestAFullQueueIsAnOutageForKnownAndUnknown(t *testing.T) {
	f := open(t, htpasswd.Options{Entries: []string{"ann:" + bcrypt4}})
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: f}}})
	gone, cancel := context.WithCancel(t.Context())
	cancel() // simulates a reason why a hash cannot be computed
	for _, name := range []string{"ann", "nobody"} {
		if _, err := chain.Authenticate(gone, identity.NewPresented(name, "wonderland")); !errors.Is(err, identity.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want %v", name, err, identity.ErrUnavailable)
		}
	}
}

func TestAllProblemsAreReturnedWithTheirLines(t *testing.T) {
	long := strings.Repeat("x", username.MaxLength+1)
	file := write(t, strings.Join([]string{
		"# staff",
		"ann:" + bcrypt4,
		"bob:$apr1$HycWnX/r$1kPR1UPDNDAHtKSIMgXK1.",
		"hunter2",
		":" + bcrypt4,
		"ann:" + bcrypt5,
		" carl:" + bcrypt4,
		"do\x07ra:" + bcrypt4,
		"em\xffma:" + bcrypt4,
		long + ":" + bcrypt4,
		"fred:" + strings.Repeat("x", 2000),
		"gus:",
		"han\u200bs:" + bcrypt4,
		"ida:" + bcrypt4[:50],
		"jo:" + bcrypt4 + ":Jo Doe",
	}, "\n"))
	_, err := htpasswd.New(htpasswd.Options{
		File:    file,
		Entries: []string{"kay:" + bcrypt4, "ann:" + bcrypt4, "kay:" + bcrypt4, "lee"},
		Groups:  map[string][]string{"ops": {"kai", "bob"}, "dev": {"annn", "nobody whatever"}},
		Hashing: password.New(password.Options{}),
	})
	var got htpasswd.Problems
	if !errors.As(err, &got) {
		t.Fatalf("the error is %v, want Problems", err)
	}
	const again = `: make one with "htpasswd -B" or "tidewaiter hash-password"`
	want := htpasswd.Problems{
		{File: file, Line: 3, Text: `the hash of "bob" is an MD5 hash (apr1)` + again},
		{File: file, Line: 4, Text: "no colon between a name and a hash"},
		{File: file, Line: 5, Text: "no name before the colon"},
		{File: file, Line: 6, Text: `"ann" is already on line 2`},
		{File: file, Line: 7, Text: `the name " carl" begins or ends with white space`},
		{File: file, Line: 8, Text: `the name "do\ara" contains an unprintable character`},
		{File: file, Line: 9, Text: `the name "em\xffma" contains an unprintable character`},
		{File: file, Line: 10, Text: `the name "` + strings.Repeat("x", 97) + `…" has 257 bytes, and the limit is 256`},
		{File: file, Line: 11, Text: "the line is longer than 1024 bytes"},
		{File: file, Line: 12, Text: `the hash of "gus" is no hash` + again},
		{File: file, Line: 13, Text: `the name "han\u200bs" contains an unprintable character`},
		{File: file, Line: 14, Text: `the hash of "ida" is a damaged bcrypt hash: it has 50 bytes instead of 60, or invalid characters`},
		{File: file, Line: 15, Text: `the hash of "jo" is a damaged bcrypt hash: it has 67 bytes instead of 60, or invalid characters`},
		{Line: 2, Text: `"ann" is already on line 2`},
		{Line: 3, Text: `"kay" is already entry 1`},
		{Line: 4, Text: "no colon between a name and a hash"},
		{Group: "dev", Member: "annn", Text: `there is no entry for its member "annn"`, Suggestion: "ann"},
		{Group: "dev", Member: "nobody whatever", Text: `there is no entry for its member "nobody whatever"`},
		{Group: "ops", Member: "kai", Text: `there is no entry for its member "kai"`, Suggestion: "kay"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if text := err.Error(); !strings.HasPrefix(text, file+`:3: the hash of "bob" is an MD5 hash`) || strings.Contains(text, "hunter2") || strings.Contains(text, "HycWnX") {
		t.Errorf("the error reads:\n%s", text)
	}
}

func TestAnotherKindOfFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := htpasswd.New(htpasswd.Options{File: filepath.Join(dir, "gone"), Hashing: password.New(password.Options{})}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if _, err := htpasswd.New(htpasswd.Options{File: dir, Hashing: password.New(password.Options{})}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := htpasswd.New(htpasswd.Options{}); err == nil {
		t.Error("New accepted options without a Hashing")
	}
	var problems htpasswd.Problems
	_, err := htpasswd.New(htpasswd.Options{File: write(t, strings.Repeat("\x7fELF\n", 10_000)), Hashing: password.New(password.Options{})})
	if !errors.As(err, &problems) || len(problems) != 100 {
		t.Errorf("a file that is not an htpasswd file has %d problems, want the first 100", len(problems))
	}
}

// Neither passwords nor hashes appear in a printed File, in its errors or in its log.
func TestNoSecretIsPrinted(t *testing.T) {
	const canary = "canary-51aa-password"
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	path := write(t, "ann:"+bcrypt4+"\n")
	f := open(t, htpasswd.Options{File: path, Entries: []string{"bob:" + bcrypt4}, Log: logger})
	c := identity.NewPresented("ann", canary)
	v, err := f.Authenticate(t.Context(), c)
	logger.Info("asked", "credentials", c, "verified", v, "error", err, "file", f)
	if err := os.WriteFile(path, []byte("ann:"+canary+"\n"+canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reloading := f.Reload()
	if reloading == nil {
		t.Fatal("a password in plain text was loaded")
	}
	f.Look()
	f.Look()
	seen := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		seen = append(seen, fmt.Sprintf(verb, f), fmt.Sprintf(verb, v), fmt.Sprintf(verb, err), fmt.Sprintf(verb, reloading))
	}
	for _, text := range seen {
		for _, secret := range []string{canary, fmt.Sprintf("%x", canary), bcrypt4, fmt.Sprintf("%x", bcrypt4), bcrypt4[10:30]} {
			if strings.Contains(text, secret) {
				t.Errorf("shown: %s", text)
			}
		}
	}
}

func BenchmarkAuthenticateKnown(b *testing.B) {
	f := open(b, htpasswd.Options{Entries: []string{"ann:" + bcrypt4}})
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: f}}})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chain.Authenticate(ctx, identity.NewPresented("ann", "wonderland")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "user%07d:%s\n", i, bcrypt4)
		}
		path := write(b, text.String())
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f := open(b, htpasswd.Options{File: path}); f.Len() != n {
					b.Fatal("lost some")
				}
			}
		})
	}
}
