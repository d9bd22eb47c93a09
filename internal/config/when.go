package config

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// offset returns how many bytes of s stand before a line and column, from 1 and in characters.
func offset(s string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(s[at:], '\n')
		if next < 0 {
			return at
		}
		at += next + 1
	}
	for ; column > 1 && at < len(s) && s[at] != '\n'; column-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// inScalar returns the line and column of what stands after so many bytes of a scalar's value, in the text that
// the scalar was read from. It goes through both side by side, whatever way the scalar is written in: plain,
// in quotes, as a block, over several lines. Where they do not go together, it is the scalar's own place.
func inScalar(src []byte, n *yaml.Node, offset int) (line, column int) {
	at, ok := byteAt(src, n.Line, n.Column)
	if !ok {
		return n.Line, n.Column
	}
	w := walk{src: src, at: at, line: n.Line, column: n.Column, style: n.Style}
	w.enter()
	for value := n.Value[:min(offset, len(n.Value))]; value != ""; {
		r, size := utf8.DecodeRuneInString(value)
		if !w.take(r) {
			return n.Line, n.Column
		}
		value = value[size:]
	}
	if offset < len(n.Value) {
		w.skipBreak(rune(n.Value[offset]))
	}
	return w.line, w.column
}

// byteAt returns the byte at a line and column.
func byteAt(src []byte, line, column int) (int, bool) {
	at := 0
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		at = len("\ufeff")
	}
	for ; line > 1; line-- {
		next := bytes.IndexByte(src[at:], '\n')
		if next < 0 {
			return 0, false
		}
		at += next + 1
	}
	for ; column > 1; column-- {
		if at >= len(src) || src[at] == '\n' {
			return 0, false
		}
		_, size := utf8.DecodeRune(src[at:])
		at += size
	}
	return at, true
}

// walk is a place in a scalar that moves on.
type walk struct {
	src          []byte
	at           int
	line, column int
	style        yaml.Style
	indent       int // of a block
}

func (w *walk) rest() []byte { return w.src[min(w.at, len(w.src)):] }

// step goes over one character.
func (w *walk) step() {
	r, size := utf8.DecodeRune(w.rest())
	w.at += size
	w.column++
	if r == '\n' {
		w.line, w.column = w.line+1, 1
	}
}

// enter goes to where the value begins: behind the quote, or to the first line of a block.
func (w *walk) enter() {
	switch {
	case w.style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		w.step()
	case w.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		for len(w.rest()) > 0 && w.rest()[0] != '\n' {
			w.step()
		}
		if len(w.rest()) > 0 {
			w.step()
		}
		w.indent = len(w.rest()) - len(bytes.TrimLeft(w.rest(), " "))
		w.margin()
	}
}

// margin goes over the indentation of a block's line.
func (w *walk) margin() {
	for i := 0; i < w.indent && bytes.HasPrefix(w.rest(), []byte(" ")); i++ {
		w.step()
	}
}

// skipBreak goes over a line break that the value has as a space or not at all.
func (w *walk) skipBreak(next rune) {
	block := w.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if block && next == '\n' {
		return
	}
	blank := len(w.rest()) - len(bytes.TrimLeft(w.rest(), " \t\r"))
	if block || blank >= len(w.rest()) || w.rest()[blank] != '\n' {
		return
	}
	for len(w.rest()) > 0 && strings.IndexByte(" \t\r\n", w.rest()[0]) >= 0 {
		w.step()
	}
}

// take goes over what is written for one character of the value.
func (w *walk) take(r rune) bool {
	if (r == ' ' || r == '\n') && w.breaks(r) {
		return true
	}
	rest := w.rest()
	switch {
	case w.style&yaml.SingleQuotedStyle != 0 && r == '\'':
		if !bytes.HasPrefix(rest, []byte("''")) {
			return false
		}
		w.step()
	case w.style&yaml.DoubleQuotedStyle != 0 && bytes.HasPrefix(rest, []byte(`\`)):
		return w.escape()
	}
	if written, _ := utf8.DecodeRune(w.rest()); written != r {
		return false
	}
	w.step()
	return true
}

// breaks goes over a line break that the value has as a space or as a line end.
func (w *walk) breaks(r rune) bool {
	rest := w.rest()
	blank := len(rest) - len(bytes.TrimLeft(rest, " \t\r"))
	block := w.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if block {
		blank = len(rest) - len(bytes.TrimLeft(rest, "\r"))
	}
	if blank >= len(rest) || rest[blank] != '\n' {
		return false
	}
	for range blank + 1 {
		w.step()
	}
	if block {
		w.margin()
		return true
	}
	for len(w.rest()) > 0 && (w.rest()[0] == ' ' || w.rest()[0] == '\t') {
		w.step()
	}
	return r == ' ' || r == '\n'
}

// escape goes over a backslash and what belongs to it.
func (w *walk) escape() bool {
	if len(w.rest()) < 2 {
		return false
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[w.rest()[1]]
	if digits > 0 {
		if len(w.rest()) < 2+digits {
			return false
		}
		if _, err := strconv.ParseUint(string(w.rest()[2:2+digits]), 16, 32); err != nil {
			return false
		}
	}
	for range 2 + digits {
		w.step()
	}
	return true
}
