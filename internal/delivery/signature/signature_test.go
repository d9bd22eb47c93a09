package signature_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
)

// The test vector is that of the reference libraries of the specification Standard Webhooks.
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	key, err := signature.Parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := key.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
}

func TestAnEd25519KeySignsTheSameText(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	private := ed25519.NewKeyFromSeed(seed)
	for _, form := range [][]byte{seed, private} {
		key, err := signature.Parse("whsk_" + base64.StdEncoding.EncodeToString(form))
		if err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(key.Sign("a", time.Unix(5, 0), []byte("{}")), "v1a,")
		made, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || !ed25519.Verify(private.Public().(ed25519.PublicKey), []byte("a.5.{}"), made) {
			t.Errorf("the signature %s cannot be verified", text)
		}
		if want := "whpk_" + base64.StdEncoding.EncodeToString(private[ed25519.SeedSize:]); key.Public() != want {
			t.Errorf("the public key is %s, want %s", key.Public(), want)
		}
	}
}

func TestInvalidKeysAreRefusedWithoutRepeatingThem(t *testing.T) {
	long := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("canary"), 11))
	otherHalf := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, ed25519.PrivateKeySize))
	for _, text := range []string{
		"", "whsec_", "whsk_", "canary", "whsec_canary!", "whsec_whsk_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
		"whsec_Y2FuYXJ5", "whsec_" + long, "whsk_Y2FuYXJ5", "whsk_" + otherHalf, "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	} {
		_, err := signature.Parse(text)
		if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2Fu") {
			t.Errorf("%q is refused with %v", text, err)
		}
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	const secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	key, err := signature.Parse("whsec_" + secret)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("canary", "key", key)
	slog.New(slog.NewTextHandler(&out, nil)).Info("canary", "key", key)
	encoded, err := json.Marshal(map[string]any{"key": key})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%v %+v %#v %s %q %s", key, key, key, key, key, encoded)
	decoded, _ := base64.StdEncoding.DecodeString(secret)
	for _, part := range []string{secret, string(decoded), fmt.Sprintf("%d", decoded)} {
		if strings.Contains(out.String(), part) {
			t.Errorf("the key is printed: %s", out.String())
		}
	}
}
