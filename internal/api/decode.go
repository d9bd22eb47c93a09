package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// maxQuery is the maximum length of the query of a URL, in bytes.
const maxQuery = 8 << 10

// checkURL refuses URLs that two programs can read differently, and text that a database cannot
// store.
func checkURL(r *http.Request) error {
	if !isText(r.URL.Path) {
		return refuse(http.StatusBadRequest, "the path is not UTF-8 text, or contains NUL")
	}
	if len(r.URL.RawQuery) > maxQuery {
		return refuse(http.StatusRequestURITooLong, "the query is longer than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "the query contains an invalid escape or a semicolon")
	}
	for name, list := range values {
		if len(list) > 1 {
			return invalid("query."+secret.Brief(name, maxShown), "the parameter is repeated")
		}
		if !isText(name) || !isText(list[0]) {
			return refuse(http.StatusBadRequest, "the query is not UTF-8 text, or contains NUL")
		}
	}
	return nil
}

// isText reports whether PostgreSQL can store a text: it refuses invalid UTF-8 and NUL.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// maxDepth is the maximum nesting of the JSON of a body. The API's own has four levels.
const maxDepth = 32

var (
	errRepeatedKey = errors.New("a key is repeated")
	errTooDeep     = errors.New("the JSON is nested too deeply")
	errNUL         = errors.New("a text contains NUL")
	errNull        = errors.New("null is ambiguous: give a value, or leave out the key")
)

// checkJSON refuses JSON that two programs can read differently:
//
//   - An object with a repeated key, in any case. encoding/json uses the last value, and others
//     the first.
//   - null, which encoding/json treats as an absent key: "registries": null would mean all of
//     them. Only "expires" may be null, which means never, and values in claims.
//
// It also refuses text with NUL. It accepts what is not JSON, because json.Unmarshal reports that
// better.
func checkJSON(data []byte) error {
	type level struct {
		keys   map[string]bool // nil: an array
		value  bool            // the next token is the value of key
		key    string
		claims bool // the level is inside claims
	}
	var levels []level
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil //nolint:nilerr // the end, or not JSON
		}
		if text, ok := token.(string); ok && !isText(text) {
			return errNUL // the decoder has replaced invalid UTF-8
		}
		if delimiter, ok := token.(json.Delim); ok && (delimiter == '}' || delimiter == ']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels) - 1; n >= 0 && levels[n].keys != nil {
			if name, isKey := token.(string); isKey && !levels[n].value {
				folded := foldCase(name)
				if levels[n].keys[folded] {
					return errRepeatedKey
				}
				levels[n].keys[folded], levels[n].value, levels[n].key = true, true, name
				continue
			}
			levels[n].value = false
		}
		n := len(levels) - 1
		claims := n >= 0 && (levels[n].claims || levels[n].key == "claims")
		switch token {
		case nil:
			if n < 0 || !claims && (n > 0 || levels[n].key != "expires") {
				return errNull
			}
		case json.Delim('{'):
			levels = append(levels, level{keys: map[string]bool{}, claims: claims})
		case json.Delim('['):
			levels = append(levels, level{claims: claims})
		}
		if len(levels) > maxDepth {
			return errTooDeep
		}
	}
}

// foldCase returns the same text for all keys that encoding/json treats as equal. For it, "ſ"
// equals "s", and the Kelvin sign equals "k".
func foldCase(key string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, key)
}
