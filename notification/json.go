package notification

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions below search in JSON that [json.Valid] has accepted. They find the end of each
// value by its quotes and brackets, and copy nothing. encoding/json would take four times as
// long. Fields of a wrong type must be ignored, so encoding/json would have to decode each object
// to a map of raw values.

// members returns the keys and values of an object in their order, with repeated keys. For any
// other value, the sequence is empty. Keys are returned without quotes.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		i := skipSpace(object, 0)
		if i == len(object) || object[i] != '{' {
			return
		}
		for {
			i = skipSpace(object, i+1) // after '{' or ','
			if object[i] == '}' {
				return
			}
			end := valueEnd(object, i)
			key := object[i:end]
			i = skipSpace(object, end)
			i = skipSpace(object, i+1) // after ':'
			end = valueEnd(object, i)
			if !yield(unquote(key), object[i:end]) {
				return
			}
			if i = skipSpace(object, end); object[i] == '}' {
				return
			}
		}
	}
}

// unquote returns the text of a string. It makes a copy only if the string has an escape.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}

// valueEnd returns the index after the value that begins at i.
func valueEnd(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the index of the quote that ends the string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// elements returns the first elements of a list, up to the limit, and the number of all its
// elements. Only returned elements use memory. If the value is not a list, elements returns false.
func elements(value []byte, limit int) (list [][]byte, all int, ok bool) {
	i := skipSpace(value, 0)
	if i == len(value) || value[i] != '[' {
		return nil, 0, false
	}
	for {
		if i = skipSpace(value, i+1); value[i] == ']' {
			return list, all, true
		}
		end := valueEnd(value, i)
		if all++; all <= limit {
			list = append(list, value[i:end])
		}
		if i = skipSpace(value, end); value[i] == ']' {
			return list, all, true
		}
	}
}
