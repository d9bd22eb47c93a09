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

// maxQuery is how long a query may be, in bytes.
const maxQuery = 8 << 10

// plain refuses an address that two readers may read in two ways, or that no database can be asked about.
func plain(r *http.Request) error {
	if !isText(r.URL.Path) {
		return refuse(http.StatusBadRequest, "the path holds what is no text")
	}
	if len(r.URL.RawQuery) > maxQuery {
		return refuse(http.StatusRequestURITooLong, "the query is longer than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "the query holds an invalid escape, or a semicolon")
	}
	for name, list := range values {
		if len(list) > 1 {
			return mistaken("query."+secret.Brief(name, maxShown), "it is there twice")
		}
		if !isText(name) || !isText(list[0]) {
			return refuse(http.StatusBadRequest, "the query holds what is no text")
		}
	}
	return nil
}

// isText says whether a text is one: PostgreSQL takes none that is not UTF-8, nor one with a NUL.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// maxDepth is how deep the JSON of a body may be nested. Ours has four levels.
const maxDepth = 32

var (
	errTwice = errors.New("a key is there twice")
	errDeep  = errors.New("it is nested too deep")
	errNUL   = errors.New("a text holds a NUL")
	errNull  = errors.New("null is nothing, which could be meant as none or as all: write a value, or leave out the key")
)

// oneOfEach refuses JSON with a NUL in a text, and JSON in which an object has a key twice, in whatever case: encoding/json takes the last one, and others the
// first. It refuses null as well, which encoding/json takes for a key that is left out: "registries": null would be all of them. Only an
// end may be null, which is never, and whatever is in claims.
func oneOfEach(data []byte) error {
	type level struct {
		keys  map[string]bool // nil: an array
		value bool            // what comes next is the value of a key
		key   string          // that key
		free  bool            // it is in claims
	}
	var levels []level
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil //nolint:nilerr // it is the end, or no JSON, which json.Unmarshal says better
		}
		if text, ok := token.(string); ok && !isText(text) {
			return errNUL // what is not UTF-8 is replaced by the decoder
		}
		if delimiter, ok := token.(json.Delim); ok && (delimiter == '}' || delimiter == ']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels) - 1; n >= 0 && levels[n].keys != nil {
			if name, isKey := token.(string); isKey && !levels[n].value {
				folded := foldCase(name)
				if levels[n].keys[folded] {
					return errTwice
				}
				levels[n].keys[folded], levels[n].value, levels[n].key = true, true, name
				continue
			}
			levels[n].value = false
		}
		n := len(levels) - 1
		free := n >= 0 && (levels[n].free || levels[n].key == "claims")
		switch token {
		case nil:
			if n < 0 || !free && (n > 0 || levels[n].key != "expires") {
				return errNull
			}
		case json.Delim('{'):
			levels = append(levels, level{keys: map[string]bool{}, free: free})
		case json.Delim('['):
			levels = append(levels, level{free: free})
		}
		if len(levels) > maxDepth {
			return errDeep
		}
	}
}

// foldCase returns what is the same for two keys that encoding/json takes for one: for it, "ſ" is an s, and the sign of the Kelvin
// a k.
func foldCase(key string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, key)
}
