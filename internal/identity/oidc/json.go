package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// decodeObject reads one JSON object and nothing behind it. A name that is there twice is refused, in
// any depth: of two values, one reader takes the first and another the last, and a check by the one
// would not hold for the other. Names are compared exactly, which the decoder for structs does not.
func decodeObject(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is no UTF-8")
	}
	if !json.Valid(text) {
		return nil, errors.New("it is no JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := decodeValue(d, maxDepth)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is no JSON object")
	}
	return object, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("it is no JSON")
	}
	open, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	object, list := map[string]any{}, []any{}
	for d.More() {
		var name string
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return nil, errors.New("it is no JSON")
			}
			name, _ = token.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("it has %q twice", shorten(name))
			}
		}
		v, err := decodeValue(d, depth-1)
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
		return nil, errors.New("it is no JSON")
	}
	if open == '{' {
		return object, nil
	}
	return list, nil
}

// date reads a NumericDate: seconds since 1970, perhaps with a fraction.
func date(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	const latest = 253402300799 // the last second of the year 9999
	seconds, err := n.Float64()
	if err != nil || !(seconds > 0 && seconds <= latest) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
