// Package strictjson decodes JSON so that every reader sees the same values.
//
// If a name occurs twice in an object, some readers use the first value and others use the last
// value. So one program can check the first value, and another program can use the last value.
// encoding/json also ignores the case of struct field names. Both facts are dangerous for signed
// data that grants access.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Object decodes one JSON object without trailing data. Errors do not contain any part of the
// text, because the text can be secret. Values are string, json.Number, bool, nil, []any and
// map[string]any. Object returns an error for text that is not UTF-8, for a name that occurs
// twice in an object, and for values that are nested deeper than maxDepth. Names are compared
// exactly.
func Object(text []byte, maxDepth int) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the text is not UTF-8")
	}
	if !json.Valid(text) {
		return nil, errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d, maxDepth, maxDepth)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the text is not a JSON object")
	}
	return object, nil
}

var errNotJSON = errors.New("the text is not JSON")

func value(d *json.Decoder, depth, maxDepth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errNotJSON
	}
	open, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	object, list := map[string]any{}, []any{}
	for d.More() {
		var name string
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return nil, errNotJSON
			}
			name, _ = token.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("an object has a name twice, before byte %d", d.InputOffset())
			}
		}
		v, err := value(d, depth-1, maxDepth)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			object[name] = v
		} else {
			list = append(list, v)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errNotJSON
	}
	if open == '{' {
		return object, nil
	}
	return list, nil
}
