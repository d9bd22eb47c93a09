package password_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/password"
)

// Hashes that other programs have computed.
const (
	htpasswdB       = "$2y$05$7iTraP2oZj6TLYcnnnKo6u9G9xTCXJsJNX22AGiHRzwVX7QtsGFKu"                                // htpasswd -nbB ann wonderland
	htpasswdBC4     = "$2y$04$O6h3d7zA4vgYdEOzglqUOO9gQ1Sy15q2e69bvXpuo5Q2trUeHqRIu"                                // htpasswd -nbBC 4 ann wonderland
	htpasswdUTF8    = "$2y$04$8Hg2AehQmcoBtG/NTaHGqe6UnTZ/1HYElvnHnq9CAWumyDVGHu9oe"                                // htpasswd -nbBC 4 ann pässwörd
	cryptB          = "$2b$04$3.h4lmqh352dbM6AyOmDxO5tK9eRrciXLr2Er8iulVESpTj4tChOS"                                // libxcrypt, wonderland
	argonOneThread  = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"        // reference vectors of phc-winner-argon2, password
	argonTwoThreads = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"        // same source
	argon64MiB      = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"      // same source
	argonLittle     = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"          // of nothing
	argonMost       = "$argon2id$v=19$m=262144,t=4,p=16$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"    // of nothing
	argonTooMuch    = "$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"     // of nothing
	argonTooBig     = "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" // of nothing
)

func TestCompareReadsHashesOfOtherPrograms(t *testing.T) {
	h := password.New(password.Options{})
	for _, tt := range []struct {
		hash, password string
		want           error
	}{
		{htpasswdB, "wonderland", nil},
		{htpasswdB, "Wonderland", password.ErrMismatch},
		{htpasswdB, "wonderland ", password.ErrMismatch}, // nothing is trimmed
		{htpasswdB, "", password.ErrMismatch},
		{htpasswdB, htpasswdB, password.ErrMismatch}, // a hash is not accepted as its own password
		{htpasswdBC4, "wonderland", nil},
		{"$2a$" + htpasswdBC4[4:], "wonderland", nil},
		{cryptB, "wonderland", nil},
		{cryptB, "wonderlan", password.ErrMismatch},
		{htpasswdUTF8, "pässwörd", nil},
		{htpasswdUTF8, "pa\u0308sswo\u0308rd", password.ErrMismatch},
		{argonOneThread, "password", nil},
		{argonOneThread, "passwore", password.ErrMismatch},
		{argonOneThread, "", password.ErrMismatch},
		{argonOneThread, "password\x00", password.ErrMismatch},
		// argon2id reads the whole password
		{argonOneThread, strings.Repeat("x", 4096), password.ErrMismatch},
		{argonTwoThreads, "password", nil},
		{argon64MiB, "password", nil},
	} {
		if err := password.Check(tt.hash); err != nil {
			t.Errorf("Check(%q) = %v", tt.hash, err)
		}
		for range 2 { // computed, then remembered
			if err := h.Compare(t.Context(), tt.hash, tt.password); !errors.Is(err, tt.want) {
				t.Errorf("Compare(%q, %q) = %v, want %v", tt.hash, tt.password, err, tt.want)
			}
		}
	}
}

// Quay CVE-2024-9683: bcrypt uses only 72 bytes, so a password of 73 bytes must not match the
// hash of its first 72 bytes.
func Test73BytePasswordDoesNotMatchItsPrefix(t *testing.T) {
	h := password.New(password.Options{})
	long := strings.Repeat("0123456789", 8)
	hash, err := h.HashBcrypt(t.Context(), long[:72], 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Compare(t.Context(), hash, long[:72]); err != nil {
		t.Errorf("72 bytes: %v", err)
	}
	for _, n := range []int{73, 80} {
		if err := h.Compare(t.Context(), hash, long[:n]); !errors.Is(err, password.ErrTooLong) {
			t.Errorf("%d bytes: %v, want %v", n, err, password.ErrTooLong)
		}
		before := h.Stats().Hashed
		if err := h.Dummy(t.Context(), hash, "nobody", long[:n]); err != nil || h.Stats().Hashed != before {
			t.Errorf("Dummy with %d bytes: %v, want nil without a hash", n, err)
		}
		if _, err := h.HashBcrypt(t.Context(), long[:n], 10); !errors.Is(err, password.ErrTooLong) {
			t.Errorf("a new hash of %d bytes: %v, want %v", n, err, password.ErrTooLong)
		}
	}
}

// bcrypt repeats a password, followed by a NUL, until it has 72 bytes. So "x" is the same input
// as "x", NUL, "x".
func TestPasswordWithNULDoesNotMatch(t *testing.T) {
	h := password.New(password.Options{})
	for _, p := range []string{"wonderland\x00wonderland", "wonderland\x00", "\x00"} {
		if err := h.Compare(t.Context(), htpasswdBC4, p); !errors.Is(err, password.ErrMismatch) {
			t.Errorf("Compare with %q = %v, want %v", p, err, password.ErrMismatch)
		}
	}
	if _, err := h.HashBcrypt(t.Context(), "eight\x00chars", 10); err == nil {
		t.Error("a bcrypt hash of a password with a NUL was created")
	}
}

func TestCheckSaysWhatToDo(t *testing.T) {
	bad := func(old, new string) string { return strings.Replace(argonOneThread, old, new, 1) }
	for _, tt := range []struct{ hash, want string }{
		{"$apr1$HycWnX/r$1kPR1UPDNDAHtKSIMgXK1.", "an MD5 hash (apr1): make one with"},
		{"$1$5vGZLfZ/$94HhY/x3OTeRCHpTUI5FU0", "an MD5 hash (crypt): make one with"},
		{"{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ=", "an SHA-1 hash: make one with"},
		{"{SSHA}tiY7sUhYKUwI5L3866kDY+ENcrQ=", "a salted SHA-1 hash: make one with"},
		{"$5$UFsMx9Y3SDnc7C2.$tFA0Efy0claiqMSHbHesTnoBWVeLch.6dvmqIJGISzA", "an SHA-256 hash (crypt): make one with"},
		{"$6$sPDurqJpRIdWaz/H$cUDoYHtdx3GeCpgkKyCDqStfwZym91j", "an SHA-512 hash (crypt): make one with"},
		{"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7", "a yescrypt hash: make one with"},
		{"rqXexS6ZhobKA", "it may be a DES hash or a plain-text password: make one with"},
		{"hunter2", "it may be a DES hash or a plain-text password: make one with"},
		{"", "no hash: make one with"},
		{"$2x$" + htpasswdB[4:], "a bcrypt hash of a faulty version ($2x$): make one with"},
		{"$2$" + htpasswdB[4:], "a bcrypt hash of the first version ($2$): make one with"},
		{htpasswdB[:59], "a damaged bcrypt hash: it has 59 bytes instead of 60"},
		{htpasswdB + "x", "a damaged bcrypt hash: it has 61 bytes instead of 60"},
		{htpasswdB[:59] + "=", "a damaged bcrypt hash"},
		{"$2y$05x" + htpasswdB[7:], "a damaged bcrypt hash"},
		{"$2y$xx$" + htpasswdB[7:], "a damaged bcrypt hash: its cost is not a number"},
		{"$2y$03$" + htpasswdB[7:], "a damaged bcrypt hash: its cost is not a number from 4 to 31"},
		{"$2y$32$" + htpasswdB[7:], "a damaged bcrypt hash: its cost is not a number from 4 to 31"},
		{"$2y$16$" + htpasswdB[7:], "a bcrypt hash of cost 16, which is too slow for a sign-in: use at most 15"},
		{"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "an argon2i hash: make one with"},
		{"$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "an argon2d hash: make one with"},
		{bad("v=19", "v=16"), "another version than 19"},
		{bad("$v=19", ""), "a damaged argon2id hash: it is not $argon2id$v=19$"},
		{bad("p=1", "p=1$"), "a damaged argon2id hash: it is not $argon2id$v=19$"},
		{bad("m=256,", ""), "its parameters are not m=…,t=…,p=…"},
		{bad("m=256,t=2", "t=2,m=256"), "its parameters are not m=…,t=…,p=…"},
		{bad("t=2", "t=+2"), "its parameters are not m=…,t=…,p=…"},
		{bad("t=2", "t=02"), "its parameters are not m=…,t=…,p=…"},
		{bad("t=2", "t=-2"), "its parameters are not m=…,t=…,p=…"},
		{bad("t=2", "t=0"), "its parameters are not m=…,t=…,p=…"},
		{bad("m=256", "m=7"), "a cost out of range"},
		{bad("p=1", "p=17"), "a cost out of range"},
		{bad("p=1", "p=255"), "a cost out of range"},
		{bad("m=256", "m=262145"), "a cost out of range"},
		{argonTooMuch, "a cost out of range"},
		{argonTooBig, "its parameters are not m=…,t=…,p=…"},
		{bad("$c29tZXNhbHQ$", "$c29tZXNhbHQ=$"), "the salt is 8 to 64 bytes"},
		{bad("$c29tZXNhbHQ$", "$c29t$"), "the salt is 8 to 64 bytes"},
		// the last bits of the text encode nothing
		{bad("i/4", "i/5"), "the salt is 8 to 64 bytes"},
		{argonOneThread[:60], "the hash 16 to 64"},
		{argonOneThread + "\n", "a damaged argon2id hash"},
	} {
		err := password.Check(tt.hash)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Check(%q) = %v, want … %s …", tt.hash, err, tt.want)
			continue
		}
		if tt.hash != "" && strings.Contains(err.Error(), tt.hash) {
			t.Errorf("the error of Check(%q) contains the argument", tt.hash)
		}
		if err := password.New(password.Options{}).Compare(t.Context(), tt.hash, tt.hash); err == nil || errors.Is(err, password.ErrMismatch) {
			t.Errorf("Compare with %q = %v, want an error other than ErrMismatch", tt.hash, err)
		}
	}
	for _, good := range []string{argonLittle, argonMost, "$2y$15$" + htpasswdB[7:]} {
		if err := password.Check(good); err != nil {
			t.Errorf("Check(%q) = %v", good, err)
		}
	}
}

func TestNewHashMatchesItsPassword(t *testing.T) {
	h := password.New(password.Options{})
	make := map[string]func(context.Context, string) (string, error){
		"$argon2id$v=19$m=19456,t=2,p=1$": h.Hash,
		"$2a$10$":                         func(ctx context.Context, p string) (string, error) { return h.HashBcrypt(ctx, p, 10) },
	}
	for prefix, hash := range make {
		first, err := hash(t.Context(), "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		second, err := hash(t.Context(), "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(first, prefix) || first == second {
			t.Errorf("hashes %q and %q: want the prefix %q, and two different salts", first, second, prefix)
		}
		if err := h.Compare(t.Context(), first, "correct horse"); err != nil {
			t.Errorf("comparing with %q: %v", first, err)
		}
		if err := h.Compare(t.Context(), first, "correct donkey"); !errors.Is(err, password.ErrMismatch) {
			t.Errorf("comparing a wrong password with %q: %v", first, err)
		}
		if _, err := hash(t.Context(), "seven77"); !errors.Is(err, password.ErrTooShort) {
			t.Errorf("a hash of seven bytes: %v, want %v", err, password.ErrTooShort)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := hash(canceled, "correct horse"); !errors.Is(err, context.Canceled) {
			t.Errorf("a hash with a canceled context: %v, want %v", err, context.Canceled)
		}
	}
	for _, cost := range []int{-1, 0, 9, 16, 31} {
		if _, err := h.HashBcrypt(t.Context(), "correct horse", cost); err == nil {
			t.Errorf("a bcrypt hash of cost %d was created", cost)
		}
	}
}

// A hash that Check accepts can be compared with a password, and does not match a wrong
// password. Hashes whose cost is too high for this test are skipped.
func FuzzCheck(f *testing.F) {
	for _, hash := range []string{htpasswdB, cryptB, argonOneThread, argonTwoThreads, argonLittle, argonTooMuch, argonTooBig, "$apr1$x$y", "{SHA}x", ""} {
		f.Add(hash)
	}
	h := password.New(password.Options{})
	f.Fuzz(func(t *testing.T, hash string) {
		if err := password.Check(hash); err != nil {
			if len(hash) > 20 && strings.Contains(err.Error(), hash) {
				t.Errorf("the error contains the argument: %v", err)
			}
			return
		}
		if strings.HasPrefix(hash, "$2") && hash[4:6] > "05" || strings.HasPrefix(hash, "$argon") && !strings.HasPrefix(hash, "$argon2id$v=19$m=8,t=1,p=1$") {
			return // too slow for many tries
		}
		if err := h.Compare(t.Context(), hash, "no password of anybody"); !errors.Is(err, password.ErrMismatch) {
			t.Errorf("Compare(%q) = %v, want %v", hash, err, password.ErrMismatch)
		}
	})
}
