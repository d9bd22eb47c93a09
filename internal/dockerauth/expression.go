package dockerauth

import (
	"cmp"
	"regexp"
	"regexp/syntax"
	"strings"
)

// A regular expression of docker_auth matches any part of a name. Often the matching names can
// be written as a few patterns, such as one pattern for each alternative or for each character
// of a class. Otherwise translate fails.

// Markers in texts that become patterns:
const (
	anything     = "\x01" // any text, including slashes
	nonEmptyMark = "\x02" // after anything, * or hostless: the text of that marker is not empty
	hostless     = "\x03" // *, but without a colon
)

// piece is one text that a regular expression matches. For ^team, begins is true: the text must be
// at the beginning of the name. For team$, ends is true.
type piece struct {
	text         string
	begins, ends bool
}

// translate returns texts that together match the same names as the regular expression. The
// regular expression can match any part of a name. In a text, * is any text within a segment, and
// the segment \x00 is any number of segments. If there are no such texts or too many, translate
// fails.
func translate(expression string) ([]string, bool) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	pieces, ok := ofName.flatten(re.Simplify())
	if !ok {
		return nil, false
	}
	var texts []string
	for _, p := range pieces {
		if !p.begins {
			p.text = anything + p.text
		}
		if !p.ends {
			p.text += anything
		}
		some, ok := expandNonEmpty(mergeWildcards(p.text))
		if !ok {
			return nil, false
		}
		for _, text := range some {
			texts = append(texts, expandAnything(text)...)
		}
	}
	return texts, len(texts) <= 50*maxNames
}

// mergeWildcards merges adjacent wildcards: .*.* becomes .*, and .*.+ becomes .+.
func mergeWildcards(text string) string {
	return wildcards.ReplaceAllStringFunc(text, func(run string) string {
		return cmp.Or(strings.Repeat(anything+nonEmptyMark, strings.Count(run, nonEmptyMark)), anything)
	})
}

var wildcards = regexp.MustCompile(anything + "[" + anything + nonEmptyMark + "]*")

// flattener lists the texts that a regular expression matches. The function leaf handles
// literals, classes and repetitions; the method flatten handles the rest.
type flattener struct {
	most int    // pieces
	wild string // characters that match any text, also the empty text
	leaf func(*syntax.Regexp) ([]piece, bool)
}

// ofName flattens a regular expression for names. It leaves out texts with characters that no
// name has.
var ofName = flattener{50 * maxNames, anything + "*" + hostless, func(re *syntax.Regexp) ([]piece, bool) {
	switch re.Op {
	case syntax.OpLiteral:
		text := string(re.Rune)
		if re.Flags&syntax.FoldCase != 0 {
			text = strings.ToLower(text) // names have no upper case
		}
		if strings.ContainsAny(text, "*\x00\x01\x02\x03") {
			return nil, true // names have none of these characters
		}
		return []piece{{text: text}}, true
	case syntax.OpCharClass:
		return class(re)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return chars(func(rune) bool { return true }), true
	case syntax.OpStar, syntax.OpPlus:
		return translateRepetition(re)
	}
	return nil, false // word boundaries
}}

func (f flattener) flatten(re *syntax.Regexp) ([]piece, bool) {
	switch re.Op {
	case syntax.OpNoMatch:
		return nil, true
	case syntax.OpEmptyMatch:
		return []piece{{}}, true
	case syntax.OpBeginText, syntax.OpBeginLine: // texts are one line
		return []piece{{begins: true}}, true
	case syntax.OpEndText, syntax.OpEndLine:
		return []piece{{ends: true}}, true
	case syntax.OpCapture:
		return f.flatten(re.Sub[0])
	case syntax.OpQuest:
		some, ok := f.flatten(re.Sub[0])
		return append([]piece{{}}, some...), ok
	case syntax.OpAlternate:
		var all []piece
		for _, sub := range re.Sub {
			some, ok := f.flatten(sub)
			if !ok || len(all) > f.most {
				return nil, false
			}
			all = append(all, some...)
		}
		return all, true
	case syntax.OpConcat:
		all := []piece{{}}
		for _, sub := range re.Sub {
			some, ok := f.flatten(sub)
			if !ok || len(all)*len(some) > f.most {
				return nil, false
			}
			all = f.join(all, some)
		}
		return all, true
	}
	return f.leaf(re)
}

// join returns the concatenation of each head with each tail. It leaves out combinations with
// text before ^ or after $.
func (f flattener) join(heads, tails []piece) (all []piece) {
	empty := func(text string) bool { return strings.Trim(text, f.wild) == "" }
	for _, h := range heads {
		for _, t := range tails {
			head, tail := h.text, t.text
			if t.begins && !empty(head) || h.ends && !empty(tail) {
				continue // nothing may precede ^ or follow $
			}
			if t.begins {
				head = ""
			}
			if h.ends {
				tail = ""
			}
			all = append(all, piece{head + tail, h.begins || t.begins, h.ends || t.ends})
		}
	}
	return all
}

// translateRepetition translates the repetitions .*, [^/]*, .+ and [^/]+. In place of the dot or
// of [^/], it accepts a class that matches the same characters of names. It fails for other
// repetitions.
func translateRepetition(re *syntax.Regexp) ([]piece, bool) {
	sub := re.Sub[0]
	for sub.Op == syntax.OpCapture {
		sub = sub.Sub[0]
	}
	what := anything
	switch sub.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
	case syntax.OpCharClass:
		if strings.ContainsFunc(letters, func(r rune) bool { return !inClass(sub, r) }) {
			return nil, false
		}
		switch slash, colon := inClass(sub, '/'), inClass(sub, ':'); {
		case slash && !colon:
			return nil, false
		case !slash && colon:
			what = "*"
		case !slash:
			what = hostless
		}
	default:
		return nil, false
	}
	if re.Op == syntax.OpPlus {
		what += nonEmptyMark
	}
	return []piece{{text: what}}, true
}

func inClass(re *syntax.Regexp, r rune) bool {
	for i := 0; i+1 < len(re.Rune); i += 2 {
		if re.Rune[i] <= r && r <= re.Rune[i+1] {
			return true
		}
	}
	return false
}

// class lists the characters of a class that names can have. A variable in a class has no
// translation.
func class(re *syntax.Regexp) ([]piece, bool) {
	for r := markAccount; r < markAccount+16; r++ {
		if inClass(re, r) != inClass(re, markLast) {
			return nil, false
		}
	}
	return chars(func(r rune) bool { return inClass(re, r) }), true
}

func chars(ok func(rune) bool) (all []piece) {
	for _, r := range letters + ":/" {
		if ok(r) {
			all = append(all, piece{text: string(r)})
		}
	}
	return all
}

// expandNonEmpty returns texts that together match the same names as the given text, but contain
// no nonEmptyMark. The marker requires that the wildcard before the marker matches a non-empty
// text. So the result usually has one text for each character with which the wildcard's text can
// begin. If no name can match with an empty text in place of the wildcard, it is enough to remove
// the marker.
func expandNonEmpty(text string) ([]string, bool) {
	done, work := []string(nil), []string{text}
	for len(work) > 0 {
		text, work = work[len(work)-1], work[:len(work)-1]
		at := strings.Index(text, nonEmptyMark)
		if at < 0 {
			done = append(done, text)
			continue
		}
		if len(work)+len(done) > 50*maxNames {
			return nil, false
		}
		head, what, tail := text[:at-1], text[at-1:at], text[at+1:]
		if !canMatchName(head + tail) {
			work = append(work, head+what+tail)
			continue
		}
		for _, c := range letters + ":/" {
			if (c != '/' || what == anything) && (c != ':' || what != hostless) {
				work = append(work, head+string(c)+what+tail)
			}
		}
	}
	return done, true
}

// canMatchName reports whether the text matches at least one valid name.
func canMatchName(text string) bool {
	for _, t := range expandAnything(strings.ReplaceAll(text, nonEmptyMark, "")) {
		p, _ := markedPattern{}.pattern(replaceMarks(t, markAccount))
		if p.canMatch() {
			return true
		}
	}
	return false
}

// expandAnything expands each wildcard "anything" to two cases. In the first case, the wildcard
// matches a text within a segment. In the second case, the wildcard matches the end of a segment,
// any number of whole segments, and the beginning of another segment.
func expandAnything(text string) []string {
	for strings.Contains(text, anything+anything) {
		text = strings.ReplaceAll(text, anything+anything, anything)
	}
	head, tail, found := strings.Cut(text, anything)
	if !found {
		return []string{text}
	}
	left := head == "" || strings.HasSuffix(head, "/")
	right := tail == "" || strings.HasPrefix(tail, "/")
	var all []string
	for _, rest := range expandAnything(tail) {
		switch {
		case right:
			all = append(all, head+"*/\x00"+rest)
		case left:
			all = append(all, head+"\x00/*"+rest)
		default:
			all = append(all, head+"*"+rest, head+"*/\x00/*"+rest)
		}
	}
	return all
}
