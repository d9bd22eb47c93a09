// Package texttest has hostile strings, for tests of code that prints text.
package texttest

import "strings"

// Hostile is a text that harms its reader if it is printed unescaped. Harm describes the harm.
type Hostile struct{ Text, Harm string }

// All is the list of hostile texts. All code that prints text from other parties is tested with
// these texts.
var All = []Hostile{
	{"a\nlevel=ERROR msg=forged", "another line"},
	{"a\rb", "the line is overwritten"},
	{"a\vb\fc\td", "other ends of lines, and tabs"},
	{"a\u0085b", "a line end of C1"},
	{"a\u2028b", "a line separator"},
	{"a\u2029b", "a paragraph separator"},
	{"a\x00b", "the end of a text in C"},
	{"a\x1b[2Jb", "the screen is cleared"},
	{"a\x1b]0;title\x07b", "the window's title, and a bell"},
	{"a\x08\x7fb", "backspace and delete"},
	{"a\u009b2Jb", "the screen is cleared by C1"},
	{"a\u009d0;title\u009cb", "a command of C1"},
	{"a\u202eb", "right to left"},
	{"a\u202ab\u202c", "an embedding"},
	{"a\u2066b\u2069", "an isolate"},
	{"a\u061cb\u200e\u200f", "marks of direction"},
	{"a\u200bb", "a space without width"},
	{"a\u200c\u200db", "joiners"},
	{"a\u2060\u2063b", "an invisible joiner and operator"},
	{"a\ufeffb", "a byte order mark"},
	{"a\u00adb", "a soft hyphen"},
	{"a\u034fb", "a joiner of graphemes"},
	{"a\u115f\u1160b", "fillers of Hangul"},
	{"a\u3164\uffa0b", "letters that fill space"},
	{"a\u2800b", "a pattern of Braille without dots"},
	{"a\ufe0fb", "a variation selector"},
	{"a\U000e0100b", "a variation selector that can carry data"},
	{"a\U000e0041b", "a tag, which encodes invisible text"},
	{"a\u00a0\u2003\u3000b", "other spaces"},
	{"a\ufff9b\ufffb", "an annotation"},
	{"a\ue000b", "private use"},
	{"a\U0010ffffb", "no character"},
	{"a\ufffdb", "a character that could not be decoded"},
	{"a\xffb", "no UTF-8"},
	{"a\xc3", "half of a character"},
	{"a\xed\xa0\x80b", "a surrogate"},
	{strings.Repeat("é", 5000), "a very long text"},
	{strings.Repeat("\x80", 5000), "long, and not UTF-8"},
	{strings.Repeat("\u202e", 5000), "long, and invisible"},
}
