package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/strictjson"
)

// maxQuery is the maximum length of the query of a URL, in bytes.
const maxQuery = 8 << 10

// checkURL refuses a URL if two programs can decode it differently, or if it contains text that a
// database cannot store.
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
			return invalidPart("query."+secret.Brief(name, maxShown), "the parameter is repeated")
		}
		if !isText(name) || !isText(list[0]) {
			return refuse(http.StatusBadRequest, "the query is not UTF-8 text, or contains NUL")
		}
		if list[0] == "" { // the client could mean "any value" or "no value"
			return invalidPart("query."+secret.Brief(name, maxShown), "it is empty: give a value or leave it out")
		}
	}
	return nil
}

// isText reports whether PostgreSQL can store s. PostgreSQL refuses invalid UTF-8 and NUL.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// maxDepth is the maximum nesting of the JSON of a body. The API needs four levels.
const maxDepth = 32

// invalidBody is the beginning of the errors of checkJSON.
const invalidBody = "invalid body: "

// checkJSON refuses JSON that two programs can decode differently:
//
//   - An object with a repeated key, even if upper and lower case differ. encoding/json uses
//     the last value, and other decoders use the first.
//   - The value null, which encoding/json treats as an absent key: "registries": null would
//     mean all registries. There are two exceptions: "expires": null means never, and a claim
//     can be null.
//   - The first moment of the year 1 as "expires". This is Go's zero time, which would mean never.
//
// checkJSON also refuses text with NUL. It accepts text that is not JSON, because json.Unmarshal
// returns a better error for such text.
func checkJSON(data []byte) error {
	if !json.Valid(data) {
		return nil
	}
	object, err := strictjson.Object(data, maxDepth)
	if err == nil {
		err = checkValue("", object)
	}
	if err != nil {
		return fmt.Errorf("%s%w", invalidBody, err)
	}
	return nil
}

// checkValue checks the value of a JSON key. For each value inside claims, the key is "claims".
func checkValue(key string, value any) (err error) {
	switch value := value.(type) {
	case nil:
		if key != "claims" && key != "expires" {
			return errors.New("it has null: give a value, or leave out the key")
		}
	case string:
		if !isText(value) {
			return errors.New("a text contains NUL")
		}
		if at, err := time.Parse(time.RFC3339, value); err == nil && at.IsZero() && foldCase(key) == foldCase("expires") {
			return errors.New("expires is in the past")
		}
	case []any:
		for _, item := range value {
			err = cmp.Or(err, checkValue(strings.TrimPrefix(key, "expires"), item))
		}
	case map[string]any:
		keys := make(map[string]bool, len(value))
		for name, item := range value {
			folded := foldCase(name)
			if keys[folded] || !isText(name) {
				return errors.New("a key appears twice (upper and lower case count as equal), or contains NUL")
			}
			keys[folded] = true
			if key == "claims" {
				name = key
			}
			err = cmp.Or(err, checkValue(name, item))
		}
	}
	return err
}

// foldCase returns the same text for all keys that encoding/json treats as equal. encoding/json
// also treats "ſ" as equal to "s", and the Kelvin sign as equal to "k".
func foldCase(key string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, key)
}
