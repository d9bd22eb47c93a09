package notekey_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/notekey"
)

// The test verifies the cosigned checkpoint in the example of https://c2sp.org/tlog-cosignature.
func TestCosignatures(t *testing.T) {
	log, err := notekey.New("example.com/behind-the-sofa")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := notekey.New("witness.example.com/w1")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	signed, err := note.Sign(&note.Note{Text: text}, log, witness.Cosigner(func() time.Time { return at }))
	if err != nil {
		t.Fatal(err)
	}
	var verifiers []note.Verifier
	for key, parse := range map[string]func(string) (note.Verifier, error){log.Public(): note.NewVerifier, witness.WitnessPublic(): notekey.WitnessVerifier} {
		v, err := parse(key)
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	if verifiers[0].Name() == witness.Name() {
		slices.Reverse(verifiers)
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatalf("%+v, %v", n, err)
	}
	for i, want := range []string{"example.com/behind-the-sofa", "witness.example.com/w1 at 2026-11-23T12:00:00Z"} {
		if got := notekey.Describe(n.Sigs[i]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	// The verification depends on each byte of the witness's line.
	line := strings.LastIndex(string(signed), "— ")
	for i := line; i < len(signed); i++ {
		changed := []byte(string(signed))
		changed[i] ^= 1
		if n, err := note.Open(changed, note.VerifierList(verifiers...)); err == nil && len(n.Sigs) == 2 {
			t.Errorf("verified with byte %d changed: %s", i, changed)
		}
	}
	for _, sig := range [][]byte{nil, make([]byte, 8), make([]byte, 72), append([]byte{0xff}, make([]byte, 71)...)} {
		if verifiers[1].Verify([]byte(text), sig) {
			t.Errorf("%x was accepted as a cosignature", sig)
		}
	}
}

func TestTextsThatAreNoPublicKey(t *testing.T) {
	witness, err := notekey.New("w")
	if err != nil {
		t.Fatal(err)
	}
	good := witness.WitnessPublic()
	for _, key := range []string{"", "a+b", witness.Public(), "w+00000000+" + good[strings.LastIndex(good, "+")+1:], "x" + good, strings.Replace(good, "w+", "+", 1), good + "AAAA", "w+0+A"} {
		if v, err := notekey.WitnessVerifier(key); err == nil {
			t.Errorf("%s: %v", key, v)
		}
	}
}
