package dockerauth

import (
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

// Quoted text is read back unchanged, also by the reader of configurations, which rejects
// hidden characters.
func TestQuotedTextIsReadBackUnchanged(t *testing.T) {
	for _, h := range texttest.All {
		var got string
		if quoted := quote(h.Text); !text.Printable(quoted) {
			t.Errorf("%s: written as %q", h.Harm, quoted)
		} else if err := yaml.Unmarshal([]byte(quoted), &got); err != nil || utf8.ValidString(h.Text) && got != h.Text {
			t.Errorf("%s: %s is read as %q, %v", h.Harm, quoted, got, err)
		}
	}
}
