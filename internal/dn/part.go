package dn

import (
	"strings"
	"unicode/utf8"
)

// CanonicalPart returns a text that is surely a part of a name, such as "CN=Ops" or
// "Team,OU=Groups,", as the canonical form has it; false for any other text. It may begin and end
// within a value: whoever looks for a part cuts anywhere.
func CanonicalPart(text string) (canonical string, sure bool) {
	head, tail := "", text
	if end := unescaped(text, ",;+="); end >= 0 && text[end] != '=' {
		head, tail = text[:end], text[end:] // the end of a value, of a type that is not known
	}
	var b strings.Builder
	for tail != "" {
		if sign := tail[0]; sign == '+' {
			b.WriteByte('+')
			tail = tail[1:]
		} else if sign == ',' || sign == ';' {
			b.WriteByte(',')
			tail = tail[1:]
		}
		piece, last := tail, true
		if end := unescaped(tail, ",;+"); end >= 0 {
			piece, tail, last = tail[:end], tail[end:], false
		} else {
			tail = ""
		}
		equals := unescaped(piece, "=")
		if equals < 0 {
			if !last {
				return "", false
			}
			b.WriteString(strings.ToLower(strings.TrimLeft(piece, " "))) // the beginning of a type
			break
		}
		name := strings.Trim(piece[:equals], " ")
		if strings.Trim(name, typeBytes) != "" || !isType(name) {
			return "", false
		}
		name = typeName(name)
		sure = sure || namingTypes[name]
		value, ok := canonicalPiece(strings.TrimLeft(piece[equals+1:], " "), ignoresCase[name], last)
		if !ok {
			return "", false
		}
		b.WriteString(name + "=" + value)
	}
	if rest := b.String(); head+rest == text {
		return text, sure // what its head is does not matter
	} else if head, ok := canonicalPiece(head, true, false); ok { // most types ignore case
		return head + rest, sure
	}
	return "", false
}

const typeBytes = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// canonicalPiece returns a value, which may go on where it is the last; false for a spelling that
// is seldom, and for none.
func canonicalPiece(text string, fold, last bool) (string, bool) {
	plain := strings.TrimRight(text, " ")
	space := ""
	if last && plain != text {
		space = " "
	}
	if !fold {
		return plain + space, true
	}
	if strings.HasPrefix(plain, "#") {
		return "", false
	}
	var value strings.Builder
	for r := (reader{text: plain}); !r.end(); {
		c := r.text[r.at]
		switch c {
		case '"':
			return "", false
		case '\\':
			var err error
			if c, err = r.escape(); err != nil {
				return "", false
			}
		default:
			r.at++
		}
		value.WriteByte(c)
	}
	return escape(foldValue(value.String())) + space, utf8.ValidString(value.String())
}

// unescaped returns the place of the first of some signs that has no backslash before it; -1 if
// there is none.
func unescaped(text, signs string) int {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		} else if strings.IndexByte(signs, text[i]) >= 0 {
			return i
		}
	}
	return -1
}
