package config

import "testing"

func TestMeantLimits(t *testing.T) {
	for _, tt := range []struct{ written, age, size string }{
		{"90", "90d", ""}, {"90 days", "90d", ""}, {"90D", "90d", ""}, {"2 weeks", "14d", ""}, {"3m", "90d", "3MB"}, {"3 months", "90d", ""},
		{"1y", "365d", ""}, {"1 year", "365d", ""}, {"12 hours", "12h", ""}, {"unlimited", "forever", "unlimited"}, {"forever", "forever", "unlimited"},
		{"never", "forever", "unlimited"}, {"500mb", "", "500MB"}, {"500 MB", "", "500MB"}, {"2g", "", "2GB"}, {"2Gib", "", "2GiB"}, {"2 gigabytes", "", "2GB"},
		{"1.5GB", "", ""}, {"", "", ""}, {"-1d", "", ""}, {"200y", "", ""}, {"99999999999999999999d", "", ""}, {"x", "", ""}, {"hours", "", ""}, {"days", "", ""},
	} {
		if age, size := meantAge(tt.written), meantSize(tt.written); age != tt.age || size != tt.size {
			t.Errorf("%q: %q, %q; want %q, %q", tt.written, age, size, tt.age, tt.size)
		}
		for key, suggestion := range map[string]string{"age": tt.age, "size": tt.size} {
			if suggestion == "" {
				continue
			}
			_, err := loadText(t, files{"tidewaiter.yaml": base + "journal: { keep: { events: { " + key + ": " + suggestion + " } } }", "users": ""}.withKeys())
			if err != nil {
				t.Errorf("the suggestion %s: %s has %v", key, suggestion, err)
			}
		}
	}
}
