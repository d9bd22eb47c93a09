package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Limits of a file. 100,000 rules have 9 MB.
const (
	maxFile  = 32 << 20 // bytes
	maxDepth = 24       // levels of nested sections and lists; the tables need 6 levels
)

// parse parses one YAML document. It returns nil after it has reported a problem.
//
// It refuses files whose meaning can differ from their appearance: files with several documents,
// with an encoding other than UTF-8, or with control characters.
func parse(file string, src []byte, parallel int, r *Reader) *yaml.Node {
	report := func(line, column int, format string, args ...any) *yaml.Node {
		r.Report(Problem{File: file, Line: line, Column: column, Text: fmt.Sprintf(format, args...)})
		return nil
	}
	if len(src) > maxFile {
		return report(0, 0, "the file is larger than %d MiB", maxFile>>20)
	}
	if bytes.HasPrefix(src, []byte("\xff\xfe")) || bytes.HasPrefix(src, []byte("\xfe\xff")) {
		return report(1, 0, "the file is UTF-16; save it as UTF-8")
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if at := firstOdd(src); at >= 0 {
		line, column := place(src, at)
		odd, size := utf8.DecodeRune(src[at:])
		if odd == utf8.RuneError && size <= 1 {
			return report(line, column, "the byte %#02x is not UTF-8", src[at])
		}
		return report(line, column, "the control character %U is not allowed in a config", odd)
	}

	if root := parseSplit(src, parallel, minPiece); root != nil {
		return root
	}
	root, err := parseWhole(src)
	if err != nil {
		if root, err := parseJSON(src); err == nil {
			return root
		}
	}
	switch e, second := errors.AsType[secondDocument](err); {
	case second:
		return report(e.line, e.column, "a second document begins here; a file must have one")
	case errors.Is(err, io.EOF):
		return report(0, 0, "the file is empty")
	case err != nil:
		return report(syntax(src, err))
	}
	return root
}

// secondDocument is the error of parseWhole if another document follows.
type secondDocument struct{ line, column int }

func (secondDocument) Error() string { return "a second document" }

// parseWhole parses one document. The error is io.EOF if src is empty.
func parseWhole(src []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(src),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return nil, err
	}
	var document, second yaml.Node
	if err := loader.Load(&document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 {
		return nil, io.EOF
	}
	if err := loader.Load(&second); err == nil {
		return nil, secondDocument{second.Line, second.Column}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return document.Content[0], nil
}

// firstOdd returns the index of the first byte that is not UTF-8, or that begins a forbidden
// control character. It returns -1 if there is no such byte. Tabs and line ends are allowed. C1
// characters and bidirectional marks are forbidden, because they can make a file look different
// from its parsed content.
func firstOdd(src []byte) int {
	for i := 0; i < len(src); {
		if c := src[i]; c < utf8.RuneSelf {
			// A lone CR is a line end for YAML, but not for editors.
			lone := c == '\r' && (i+1 == len(src) || src[i+1] != '\n')
			if c < 0x20 && c != '\n' && c != '\t' && c != '\r' || c == 0x7f || lone {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case r == utf8.RuneError && size <= 1,
			r < 0xa0,                                               // C1
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, // bidirectional marks
			r == 0x2028, r == 0x2029, r == 0xfeff: // line ends; byte order mark
			return i
		}
		i += size
	}
	return -1
}

// place returns the line and the column, in characters, of a byte. Both count from 1.
func place(src []byte, at int) (line, column int) {
	before := src[:at]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
}
