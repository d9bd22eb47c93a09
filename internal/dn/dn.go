// Package dn compares distinguished names: do two texts name the same entry of a directory?
//
// A distinguished name (RFC 4514) has many spellings. CN=Ops\2C EU,OU=Groups and cn=ops\, eu,
// ou=groups are the same name. A rule can name a group by its DN, and must apply to the group in
// any spelling. Otherwise a deny rule might not match, and access would be granted. So all code
// compares names in one canonical form, and only this package produces this form.
//
// The canonical form has short, lower-case attribute types, sorted attributes in each part, and
// the fewest escapes. Values of types that are known to ignore case are in lower case with
// single spaces. Values of unknown types are compared exactly. RFC 4518 treats some different
// letters that look alike as equal (NFKC, ignored characters). This package does not.
// Directories do not agree whether such letters are equal. If such letters were equal, a user
// could create a group whose name counts as the name of another group.
package dn

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLength bounds a name, in bytes.
const maxLength = 8 << 10

// DN is a parsed name. The zero value has no parts and names the root.
type DN struct {
	parts [][]attribute // the entry's own part first
}

// attribute is a type with its value.
type attribute struct {
	name  string // canonical name of the type
	value string // unescaped; #hex if raw
	raw   bool
}

// Parse parses a name. In addition to RFC 4514 it accepts older syntax: spaces around
// separators, semicolons instead of commas, quoted values, and "OID." before a number.
func Parse(text string) (DN, error) {
	var d DN
	if len(text) > maxLength {
		return d, fmt.Errorf("it is longer than %d bytes", maxLength)
	}
	r := reader{text: text}
	r.spaces()
	if r.end() {
		return d, nil
	}
	var part []attribute
	for {
		a, err := r.parseAttribute()
		if err != nil {
			return DN{}, err
		}
		part = append(part, a)
		if !r.end() && r.text[r.at] == '+' {
			r.at++
			continue
		}
		d.parts = append(d.parts, part)
		part = nil
		if r.end() {
			return d, nil
		}
		r.at++ // skip , or ;
	}
}

// Len returns the number of parts.
func (d DN) Len() int { return len(d.parts) }

// String returns the canonical form.
func (d DN) String() string {
	var b strings.Builder
	for i := range d.parts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(canonicalPart(d.parts[i]))
	}
	return b.String()
}

// Below reports whether d is a descendant of base. A name is not below itself.
func (d DN) Below(base DN) bool {
	more := len(d.parts) - len(base.parts)
	return more > 0 && (DN{d.parts[more:]}).String() == base.String()
}

// Common returns the longest name that is an ancestor of both DNs, or equal to one or both.
func (d DN) Common(other DN) DN {
	n := 0
	for n < min(len(d.parts), len(other.parts)) &&
		canonicalPart(d.parts[len(d.parts)-1-n]) == canonicalPart(other.parts[len(other.parts)-1-n]) {
		n++
	}
	return DN{d.parts[len(d.parts)-n:]}
}

// Value returns the value of an attribute in the first part of the name, in the spelling of the
// parsed text. It returns "" if the first part does not have the attribute.
func (d DN) Value(attribute string) string {
	if len(d.parts) == 0 {
		return ""
	}
	name := typeName(attribute)
	for _, a := range d.parts[0] {
		if a.name == name && !a.raw {
			return a.value
		}
	}
	return ""
}

// Equal reports whether a and b are the same value by the comparison rule of the attribute
// type.
func Equal(attribute, a, b string) bool {
	return a == b || ignoresCase[typeName(attribute)] && foldValue(a) == foldValue(b)
}

// Canonical returns the canonical form of a text that is clearly a name: it has at least two
// parts, and a common naming type such as cn or dc. Any other text is returned unchanged, so
// that a group called "a=b" keeps its name.
func Canonical(text string) string {
	if strings.IndexByte(text, '=') < 0 || isCanonical(text) {
		return text
	}
	d, err := Parse(text)
	if err != nil || !d.isCertain() {
		return text
	}
	return d.String()
}

// Warning returns the reason why a text that looks like a name cannot be parsed, or "".
func Warning(text string) string {
	name, rest, found := strings.Cut(text, "=")
	if !found || !namingTypes[typeName(strings.TrimSpace(name))] {
		return ""
	}
	if _, err := Parse(text); err != nil && strings.ContainsAny(rest, ",;+=") {
		return err.Error()
	}
	return ""
}

func (d DN) isCertain() bool {
	return len(d.parts) >= 2 && slices.ContainsFunc(d.parts, func(part []attribute) bool {
		return slices.ContainsFunc(part, func(a attribute) bool { return namingTypes[a.name] })
	})
}

// reader parses a name from left to right.
type reader struct {
	text string
	at   int
}

func (r *reader) end() bool { return r.at == len(r.text) }

func (r *reader) spaces() {
	for !r.end() && r.text[r.at] == ' ' {
		r.at++
	}
}

var (
	errNoType   = errors.New("a part has no attribute type before the =")
	errNoEquals = errors.New("a part has no =: write a comma inside a value as \\,")
	errEscape   = errors.New("a \\ is followed by a character that cannot be escaped")
	errQuote    = errors.New("a quote is not at the beginning or end of a value")
	errHex      = errors.New("the text after # is not the hexadecimal form of one BER value")
	errText     = errors.New("a value is not UTF-8")
)

// parseAttribute parses a type and a value, up to the separator or the end.
func (r *reader) parseAttribute() (a attribute, err error) {
	r.spaces()
	start := r.at
	for !r.end() && isTypeByte(r.text[r.at]) {
		r.at++
	}
	name := r.text[start:r.at]
	r.spaces()
	switch {
	case r.end() || strings.IndexByte(",;+", r.text[r.at]) >= 0:
		return a, errNoEquals
	case r.text[r.at] != '=':
		return a, fmt.Errorf("%.1q is not allowed in an attribute type, which has only letters, digits and hyphens", r.text[r.at:])
	case !isType(name):
		return a, errNoType
	}
	a.name = typeName(name)
	r.at++
	r.spaces()
	switch {
	case !r.end() && r.text[r.at] == '#':
		a.value, a.raw, err = r.parseBER()
	case !r.end() && r.text[r.at] == '"':
		a.value, err = r.parseQuoted()
	default:
		a.value, err = r.parsePlain()
	}
	if err == nil && !a.raw && !utf8.ValidString(a.value) {
		err = errText
	}
	return a, err
}

// parsePlain parses an unquoted value. Spaces at its ends count only if they are escaped.
func (r *reader) parsePlain() (string, error) {
	var b strings.Builder
	keep := 0 // length without trailing spaces
	for !r.end() {
		switch c := r.text[r.at]; c {
		case ',', ';', '+':
			return b.String()[:keep], nil
		case '"':
			return "", errQuote
		case '<', '>', 0:
			return "", fmt.Errorf("%q in a value must be escaped with \\", c)
		case '\\':
			escaped, err := r.parseEscape()
			if err != nil {
				return "", err
			}
			b.WriteByte(escaped)
			keep = b.Len()
		default:
			r.at++
			b.WriteByte(c)
			if c != ' ' {
				keep = b.Len()
			}
		}
	}
	return b.String()[:keep], nil
}

// parseEscape parses an escape such as \, or \2C.
func (r *reader) parseEscape() (byte, error) {
	left := r.text[r.at+1:]
	if left != "" && strings.IndexByte(` "#+,;<=>\`, left[0]) >= 0 {
		r.at += 2
		return left[0], nil
	}
	if len(left) < 2 {
		return 0, errEscape
	}
	b, err := hex.DecodeString(left[:2])
	if err != nil {
		return 0, errEscape
	}
	r.at += 3
	return b[0], nil
}

// parseQuoted parses a quoted value (RFC 1779). Inside the quotes, only quotes and backslashes
// need an escape.
func (r *reader) parseQuoted() (string, error) {
	var b strings.Builder
	for r.at++; !r.end(); {
		switch c := r.text[r.at]; c {
		case '"':
			r.at++
			r.spaces()
			if !r.end() && strings.IndexByte(",;+", r.text[r.at]) < 0 {
				return "", errQuote
			}
			return b.String(), nil
		case '\\':
			escaped, err := r.parseEscape()
			if err != nil {
				return "", err
			}
			b.WriteByte(escaped)
		default:
			r.at++
			b.WriteByte(c)
		}
	}
	return "", errQuote
}

// parseBER parses #hex. It decodes a BER string to its text, so that #hex and the plain spelling
// of a value are equal.
func (r *reader) parseBER() (value string, raw bool, err error) {
	r.at++
	start := r.at
	for !r.end() && strings.IndexByte(" ,;+", r.text[r.at]) < 0 {
		r.at++
	}
	digits := r.text[start:r.at]
	r.spaces()
	if !r.end() && strings.IndexByte(",;+", r.text[r.at]) < 0 {
		return "", false, errHex
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return "", false, errHex
	}
	content, ok := berContent(b)
	if !ok {
		return "", false, errHex
	}
	switch b[0] {
	case 0x04, 0x0c, 0x13, 0x16: // OCTET STRING, UTF8String, PrintableString, IA5String
		if utf8.Valid(content) {
			return string(content), false, nil
		}
	}
	return "#" + hex.EncodeToString(b), true, nil
}

// berContent returns the content of b if it is exactly one BER value with a definite length.
func berContent(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return nil, false
	}
	length, at := int(b[1]), 2
	if length >= 0x80 {
		n := length & 0x7f
		if n == 0 || n > 3 || len(b) < 2+n {
			return nil, false
		}
		length = 0
		for _, c := range b[2 : 2+n] {
			length = length<<8 | int(c)
		}
		at += n
	}
	return b[at:], len(b)-at == length
}
