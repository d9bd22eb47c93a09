package dn

import (
	"strings"
	"unicode/utf8"
)

// CanonicalPart returns the canonical form of a text that is certainly a part of a name, such as
// "CN=Ops" or "Team,OU=Groups,". For any other text, CanonicalPart returns false. The part can
// begin and end inside a value, because a search text can be any substring.
func CanonicalPart(text string) (canonical string, sure bool) {
	head, tail := "", text
	if end := indexUnescaped(text, ",;+="); end >= 0 && text[end] != '=' {
		// The text begins with the end of a value whose type is unknown.
		head, tail = text[:end], text[end:]
	}
	var b strings.Builder
	for tail != "" {
		if strings.IndexByte("+,;", tail[0]) >= 0 {
			b.WriteString(strings.Replace(tail[:1], ";", ",", 1))
			tail = tail[1:]
		}
		piece, last := tail, true
		if end := indexUnescaped(tail, ",;+"); end >= 0 {
			piece, tail, last = tail[:end], tail[end:], false
		} else {
			tail = ""
		}
		equals := indexUnescaped(piece, "=")
		if equals < 0 {
			if !last {
				return "", false
			}
			// The text ends with the beginning of a type.
			b.WriteString(strings.ToLower(strings.TrimLeft(piece, " ")))
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
		return text, sure // the type of head does not matter
	} else if head, ok := canonicalPiece(head, true, false); ok { // most types ignore case
		return head + rest, sure
	}
	return "", false
}

const typeBytes = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// canonicalPiece returns the canonical form of a value. If isLast is true, the value can
// continue after the text. canonicalPiece returns false for rare and invalid spellings.
func canonicalPiece(text string, fold, isLast bool) (string, bool) {
	plain := strings.TrimRight(text, " ")
	if n := len(plain); n < len(text) && (n-len(strings.TrimRight(plain, `\`)))%2 == 1 {
		plain += " " // it is escaped, so it belongs to the value
	}
	space := ""
	if isLast && plain != text {
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
			if c, err = r.parseEscape(); err != nil {
				return "", false
			}
		default:
			r.at++
		}
		value.WriteByte(c)
	}
	return escape(foldValue(value.String())) + space, utf8.ValidString(value.String())
}

// indexUnescaped returns the index of the first unescaped character of the text that is one of the
// signs, or -1.
func indexUnescaped(text, signs string) int {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
		} else if strings.IndexByte(signs, text[i]) >= 0 {
			return i
		}
	}
	return -1
}
