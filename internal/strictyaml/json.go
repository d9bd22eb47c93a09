package strictyaml

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parseJSON parses JSON into YAML nodes. It returns nil if src is not JSON or too deep. YAML is
// nearly a superset of JSON, but it has no surrogate pairs (\ud83d\ude00), which many programs
// write for characters above U+FFFF.
func parseJSON(src []byte) *yaml.Node {
	if !json.Valid(src) {
		return nil
	}
	r := jsonReader{decoder: json.NewDecoder(bytes.NewReader(src)), src: src, line: 1, column: 1}
	r.decoder.UseNumber()
	return r.value(maxDepth)
}

// jsonReader reads values and counts lines and columns.
type jsonReader struct {
	decoder      *json.Decoder
	src          []byte
	at           int // index in src
	line, column int
}

// value returns the next value, or nil at the end of a list or an object, or if it is too deep.
func (r *jsonReader) value(depth int) *yaml.Node {
	begin := int(r.decoder.InputOffset())
	token, err := r.decoder.Token()
	if err != nil || depth == 0 {
		return nil
	}
	for bytes.IndexByte([]byte(" \t\r\n,:"), r.src[begin]) >= 0 {
		begin++
	}
	r.moveTo(begin)
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.line, Column: r.column}
	switch v := token.(type) {
	case string:
		n.Tag, n.Value, n.Style = "!!str", v, yaml.DoubleQuotedStyle
	case json.Delim:
		switch v {
		case '{':
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		case '[':
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		default:
			return nil
		}
		n.Style = yaml.FlowStyle
		for r.decoder.More() {
			item := r.value(depth - 1)
			if item == nil {
				return nil
			}
			n.Content = append(n.Content, item)
		}
		r.value(depth) // the closing bracket
	case nil:
		n.Tag, n.Value = "!!null", "null"
	default: // a number, true or false
		n.Tag, n.Value = "!!str", string(r.src[begin:r.decoder.InputOffset()])
	}
	return n
}

// moveTo counts lines and columns up to a byte.
func (r *jsonReader) moveTo(at int) {
	for r.at < at {
		c, size := utf8.DecodeRune(r.src[r.at:])
		r.at += size
		r.column++
		if c == '\n' {
			r.line, r.column = r.line+1, 1
		}
	}
}
