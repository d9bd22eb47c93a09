package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// noLimit has the words that people write instead of forever and unlimited.
var noLimit = []string{"forever", "unlimited", "infinite", "infinity", "never", "always", "none", "no", "off"}

// meantAge returns the age that an invalid age probably stands for, or "". A number without a unit
// means days. In 3m, the m means months, because nobody keeps a journal for minutes.
func meantAge(s string) string {
	number, unit := numberAndUnit(s)
	days := 1
	switch {
	case slices.Contains(noLimit, unit) && number == "":
		return "forever"
	case unit == "" || strings.HasPrefix(unit, "d"):
	case strings.HasPrefix(unit, "h") && number != "":
		return number + "h"
	case strings.HasPrefix(unit, "w"):
		days = 7
	case unit == "m" || strings.HasPrefix(unit, "mo"):
		days = 30
	case strings.HasPrefix(unit, "y"):
		days = 365
	default:
		return ""
	}
	n, err := strconv.Atoi(number)
	if err != nil || n <= 0 || n > int(maxAge/(24*time.Hour))/days {
		return ""
	}
	return strconv.Itoa(n*days) + "d"
}

// meantSize returns the size that an invalid size probably stands for, or "".
func meantSize(s string) string {
	number, unit := numberAndUnit(s)
	if number == "" {
		if slices.Contains(noLimit, unit) {
			return "unlimited"
		}
		return ""
	}
	for _, prefix := range []string{"k", "m", "g", "t"} {
		switch unit {
		case prefix, prefix + "b", prefix + "bytes", prefix + "byte":
			return number + strings.ToUpper(prefix) + "B"
		case prefix + "i", prefix + "ib":
			return number + strings.ToUpper(prefix) + "iB"
		}
	}
	for word, name := range map[string]string{"kilo": "KB", "mega": "MB", "giga": "GB", "tera": "TB"} {
		if strings.HasPrefix(unit, word) {
			return number + name
		}
	}
	return ""
}

// numberAndUnit splits a text such as "500 mb" into its digits and the rest in lower case.
func numberAndUnit(s string) (number, unit string) {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	unit = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(unit)], unit
}
