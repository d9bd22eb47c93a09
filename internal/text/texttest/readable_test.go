package texttest_test

import (
	"encoding/base64"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

func TestReadableDecodesTokens(t *testing.T) {
	part := base64.RawURLEncoding.EncodeToString
	token := part([]byte(`{"alg":"ES256"}`)) + "." + part([]byte(`{"sub":"ann"}`)) + "." + part([]byte("a signature"))
	for text, want := range map[string]string{
		`200 {"token":"` + token + `"}`: `200 {"token":"[JWT {"alg":"ES256"} {"sub":"ann"}]"}`,
		"401 no token.eyJ.eyJ.":         "401 no token.eyJ.eyJ.",
	} {
		if got := texttest.Readable(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}
