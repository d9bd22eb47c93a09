package policyfile

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{
		{"2026-11-28T23:00:00Z", "2026-11-28T23:00:00Z"},
		{"2026-11-28T23:00:00+05:00", "2026-11-28T18:00:00Z"},
		{"2026-11-28 23:00 Europe/Paris", "2026-11-28T22:00:00Z"},
		{"2026-07-28 23:00:30 Europe/Paris", "2026-07-28T21:00:30Z"},
		{"2026-11-28 Europe/Paris", "2026-11-27T23:00:00Z"},
		{"2026-11-28 UTC", "2026-11-28T00:00:00Z"},
		{"2026-11-28 23:00 +02:00", "2026-11-28T21:00:00Z"},
		{"2026-11-28T23:00", "2026-11-28T22:00:00Z"},
		{"2026-11-28 23:00", "2026-11-28T22:00:00Z"}, // in the given zone
		{"2026-11-28", "2026-11-27T23:00:00Z"},
		{"2026-03-29 03:30 Europe/Paris", "2026-03-29T01:30:00Z"},

		{"2026-03-29 02:30 Europe/Paris", `the time "2026-03-29 02:30" does not exist in Europe/Paris, because clocks are put forward at that time: use a later time`},
		{"2026-11-28 23:00 Europe/Pari", `"Europe/Pari" is not a time zone such as Europe/Paris, UTC or +02:00`},
		{"2026-11-28 23:00 Local", `"Local" is not a time zone such as Europe/Paris, UTC or +02:00`},
		{"last Tuesday", `"last Tuesday" is not a time like 2026-11-28T23:00:00Z, 2026-11-28 or "2026-11-28 23:00 Europe/Paris"`},
		{"28.11.2026", `"28.11.2026" is not a time like 2026-11-28T23:00:00Z, 2026-11-28 or "2026-11-28 23:00 Europe/Paris"`},
		{"2026-02-30", `"2026-02-30" is not a time like 2026-11-28T23:00:00Z, 2026-11-28 or "2026-11-28 23:00 Europe/Paris"`},
		{"", `"" is not a time like 2026-11-28T23:00:00Z, 2026-11-28 or "2026-11-28 23:00 Europe/Paris"`},
	} {
		got := ""
		if at, err := ParseTime(tt.text, paris); err != nil {
			got = err.Error()
		} else {
			got = at.UTC().Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}
