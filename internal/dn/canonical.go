package dn

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// shortNames maps the long name and the number of common attribute types to the short name,
// which the canonical form uses.
var shortNames = map[string]string{
	"2.5.4.3": "cn", "commonname": "cn",
	"2.5.4.4": "sn", "surname": "sn",
	"2.5.4.5": "serialnumber",
	"2.5.4.6": "c", "countryname": "c",
	"2.5.4.7": "l", "localityname": "l",
	"2.5.4.8": "st", "stateorprovincename": "st", "s": "st",
	"2.5.4.9": "street", "streetaddress": "street",
	"2.5.4.10": "o", "organizationname": "o",
	"2.5.4.11": "ou", "organizationalunitname": "ou",
	"2.5.4.12": "title",
	"2.5.4.41": "name",
	"2.5.4.42": "givenname", "gn": "givenname",
	"0.9.2342.19200300.100.1.1": "uid", "userid": "uid",
	"0.9.2342.19200300.100.1.3": "mail", "rfc822mailbox": "mail",
	"0.9.2342.19200300.100.1.25": "dc", "domaincomponent": "dc",
	"1.2.840.113549.1.9.1": "emailaddress", "email": "emailaddress", "e": "emailaddress",
}

// namingTypes are common types of distinguished names. Canonical does not treat a text without
// any of these types as a name.
var namingTypes = map[string]bool{"cn": true, "ou": true, "o": true, "dc": true, "uid": true, "c": true, "l": true, "st": true}

// ignoresCase are the types whose values are compared without regard to case (caseIgnoreMatch,
// caseIgnoreIA5Match).
var ignoresCase = map[string]bool{
	"cn": true, "sn": true, "serialnumber": true, "c": true, "l": true, "st": true, "street": true, "o": true, "ou": true,
	"title": true, "name": true, "givenname": true, "uid": true, "mail": true, "dc": true, "emailaddress": true,
}

// typeName returns the canonical name of an attribute type: cn for CN, commonName and
// OID.2.5.4.3.
func typeName(text string) string {
	name := strings.ToLower(text)
	if number, ok := strings.CutPrefix(name, "oid."); ok {
		name = number
	}
	if short, ok := shortNames[name]; ok {
		return short
	}
	return name
}

func isTypeByte(c byte) bool { return strings.IndexByte(typeBytes, c) >= 0 }

// isType reports whether text is a valid type name or number. The caller has checked
// that all its characters are in typeBytes.
func isType(text string) bool {
	if len(text) > 4 && strings.EqualFold(text[:4], "oid.") {
		text = text[4:]
	}
	if text == "" || text[0] == '-' {
		return false
	}
	if text[0] > '9' || text[0] < '0' {
		return strings.IndexByte(text, '.') < 0
	}
	for step := range strings.SplitSeq(text, ".") {
		if step == "" || strings.Trim(step, "0123456789") != "" || len(step) > 1 && step[0] == '0' {
			return false
		}
	}
	return strings.IndexByte(text, '.') > 0
}

// canonicalPart returns the canonical form of one part, with its attributes sorted.
func canonicalPart(part []attribute) string {
	if len(part) == 1 {
		return part[0].canonical()
	}
	texts := make([]string, len(part))
	for i := range part {
		texts[i] = part[i].canonical()
	}
	slices.Sort(texts)
	return strings.Join(texts, "+")
}

func (a attribute) canonical() string {
	switch {
	case a.raw:
		return a.name + "=" + a.value
	case ignoresCase[a.name]:
		return a.name + "=" + escape(foldValue(a.value))
	}
	return a.name + "=" + escape(a.value)
}

// foldValue returns the same text for all values that differ only in case and spaces. The text
// is in lower case, with single spaces and without spaces at its ends.
func foldValue(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	space := false
	for _, r := range text {
		if r == ' ' {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(foldRune(r))
	}
	return b.String()
}

// foldRune returns the same letter for all letters that differ only by case. It is a lower-case
// letter if possible.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	for other := unicode.SimpleFold(least); other != least; other = unicode.SimpleFold(other) {
		if other == unicode.ToLower(least) {
			return other
		}
	}
	return least
}

// escape writes a value with the fewest escapes. Unprintable characters are written in hex.
func escape(value string) string {
	var b strings.Builder
	b.Grow(len(value))
	for i, r := range value {
		switch {
		case r == ' ' && (i == 0 || i == len(value)-1), r == '#' && i == 0, strings.ContainsRune(`"+,;<>\`, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case !text.Printable(string(r)):
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, `\%02x`, c)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isCanonical reports, without allocating, whether text is certainly in canonical form. It
// saves time, because every decision compares names and most names are in canonical form. If
// isCanonical returns false, the caller must parse the text.
func isCanonical(text string) bool {
	for text != "" {
		equals := strings.IndexByte(text, '=')
		if equals < 0 || !ignoresCase[text[:equals]] {
			return false
		}
		value := text[equals+1:]
		end := strings.IndexByte(value, ',')
		if end == len(value)-1 {
			return false
		}
		if end < 0 {
			text = ""
		} else {
			value, text = value[:end], value[end+1:]
		}
		before := byte(' ')
		for i := range len(value) {
			c := value[i]
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ' ' && before != ' ' {
				before = c
				continue
			}
			return false
		}
		if before == ' ' {
			return false
		}
	}
	return true
}
