package spelling

import (
	"strconv"
	"strings"
	"time"
)

// Quoted returns text for a message: quoted, escaped, and not too long.
func Quoted(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}

// Brief prints a duration without what is zero: 5m, not 5m0s.
func Brief(v time.Duration) string {
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Duration guesses the duration that was meant by a text that is none; "" if it cannot. A number
// without a unit is of seconds, as in other programs.
func Duration(text string) string {
	text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	number, err := strconv.Atoi(text[:digits])
	if err != nil || number <= 0 || number > 1_000_000 {
		return ""
	}
	unit := time.Second
	switch rest := text[digits:]; {
	case rest == "" || strings.HasPrefix(rest, "s"):
	case strings.HasPrefix(rest, "m"):
		unit = time.Minute
	case strings.HasPrefix(rest, "h"):
		unit = time.Hour
	case strings.HasPrefix(rest, "d"):
		unit = 24 * time.Hour
	case strings.HasPrefix(rest, "w"):
		unit = 7 * 24 * time.Hour
	default:
		return ""
	}
	return Brief(time.Duration(number) * unit)
}
