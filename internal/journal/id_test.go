package journal_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

func TestIDs(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 123_000_000, time.UTC)
	id := journal.NewID(at)
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id.String()) {
		t.Errorf("%s is not a UUID of version 7", id)
	}
	if !id.Time().Equal(at) {
		t.Errorf("created at %s, but its time is %s", at, id.Time())
	}
	if other := journal.NewID(at); other == id {
		t.Error("two ids of the same time are equal")
	}
	if later := journal.NewID(at.Add(time.Millisecond)); later.String() <= id.String() {
		t.Errorf("%s does not sort after %s", later, id)
	}
	for _, text := range []string{id.String(), strings.ToUpper(id.String())} {
		var got journal.ID
		if err := got.UnmarshalText([]byte(text)); err != nil || got != id {
			t.Errorf("%s was read as %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", id.String()[1:], id.String() + "0", strings.ReplaceAll(id.String(), "-", "_"),
		strings.Repeat("g", 8) + id.String()[8:], strings.Repeat("\x00", 36), "{" + id.String()[1:]} {
		var got journal.ID
		if err := got.UnmarshalText([]byte(text)); err == nil || !got.IsZero() {
			t.Errorf("%q was read as %s, %v", text, got, err)
		}
	}
	if got := journal.NewID(time.Time{}); got.Time().Unix() != 0 {
		t.Errorf("an id from before 1970 has the time %s", got.Time())
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0198c1f2-7a3b-7c4d-8e5f-60718293a4b5")
	f.Add("0198C1F2-7A3B-7C4D-8E5F-60718293A4B5")
	f.Add("0198c1f27a3b7c4d8e5f60718293a4b5")
	f.Fuzz(func(t *testing.T, text string) {
		var id journal.ID
		if err := id.UnmarshalText([]byte(text)); err == nil && id.String() != strings.ToLower(text) {
			t.Errorf("%q was read as %s", text, id)
		}
	})
}
