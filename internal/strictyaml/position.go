package strictyaml

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Position converts a line and column in the value of the scalar n to the line and column in
// the file. Lines and columns count from 1, and columns are in characters.
//
// The scalar may be plain, quoted or a block, on one or several lines. Instead of interpreting
// the scalar a second time, Position parses parts of the source that start at the scalar's
// beginning. It searches for the longest part whose value ends at or before the given line and
// column. If no such part can be parsed, Position returns the position of n.
func (d *Decoder) Position(n *yaml.Node, line, column int) (int, int) {
	src := bytes.TrimPrefix(d.src, []byte("\ufeff"))
	src = src[offset(src, n.Line, n.Column):]
	wanted := offset(n.Value, line, column)
	// The source can be longer than the value, because an escape has up to ten bytes, and because
	// each line has indentation.
	end := min(len(src), 12*len(n.Value)+4096)

	quote := ""
	switch {
	case n.Style&yaml.SingleQuotedStyle != 0:
		quote = "'"
	case n.Style&yaml.DoubleQuotedStyle != 0:
		quote = `"`
	}
	// value parses the bytes of the source before the given index. It returns false if the index
	// is inside a character or an escape, or after the scalar.
	value := func(to int) (string, bool) {
		if to < len(src) && !utf8.RuneStart(src[to]) {
			return "", false
		}
		part := []byte(string(src[:to]) + quote)
		root, err := parseWhole(part)
		if err != nil {
			root, err = parseJSON(part)
		}
		if err != nil || root.Kind != yaml.ScalarNode {
			return "", false
		}
		if strings.HasPrefix(n.Value, root.Value) {
			return root.Value, true
		}
		return strings.TrimSuffix(root.Value, "\n"), true // a block ends with a newline
	}
	// The value of src[:low] ends before the wanted index or at it. The value of src[:high] ends
	// after the wanted index.
	low, high := 0, end
	if wanted == len(n.Value) && wanted > 0 {
		wanted-- // use the last character, because the end of the scalar has no mark
	}
	for high-low > 1 {
		middle := (low + high) / 2
		at := middle
		v, ok := value(at)
		for !ok && at+1 < high && at < middle+10 {
			at++
			v, ok = value(at)
		}
		if ok && len(v) <= wanted {
			low = at
		} else {
			high = middle
		}
	}
	found, _ := value(low)
	if !strings.HasPrefix(n.Value, strings.TrimRight(found, " \n")) {
		return n.Line, n.Column
	}
	_, size := utf8.DecodeRune(src[low:])
	if offset(n.Value, line, column) > wanted {
		low += size
	}
	before := src[:low]
	if newline := bytes.LastIndexByte(before, '\n'); newline >= 0 {
		return n.Line + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[newline+1:])
	}
	return n.Line, n.Column + utf8.RuneCount(before)
}

// offset converts a line and column of s to an index in bytes. Lines and columns count from 1,
// and columns are in characters.
func offset[T string | []byte](s T, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		next := bytes.IndexByte([]byte(s[at:]), '\n')
		if next < 0 {
			return at
		}
		at += next + 1
	}
	for ; column > 1 && at < len(s) && s[at] != '\n'; column-- {
		_, size := utf8.DecodeRuneInString(string(s[at:min(len(s), at+utf8.UTFMax)]))
		at += size
	}
	return at
}
