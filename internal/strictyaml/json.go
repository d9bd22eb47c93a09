package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf16"

	"go.yaml.in/yaml/v4"
)

var (
	jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	jsonEscape = regexp.MustCompile(`\\(?:u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}|.)`)
)

// parseJSON parses JSON. YAML is nearly a superset of JSON, but YAML has no surrogate pairs
// (\ud83d\ude00), which many programs write for characters above U+FFFF. So parseJSON replaces
// each pair by a single escape for the same character. The single escape is two bytes shorter, so
// parseJSON adds two spaces after the string for each pair. So the columns of all later text in
// the line do not change.
func parseJSON(src []byte) (*yaml.Node, error) {
	if !json.Valid(src) {
		return nil, fmt.Errorf("not JSON")
	}
	return parseWhole(jsonString.ReplaceAllFunc(src, func(s []byte) []byte {
		joined := jsonEscape.ReplaceAllFunc(s, func(escape []byte) []byte {
			if len(escape) < len(`\ud83d\ude00`) {
				return escape
			}
			high, _ := strconv.ParseUint(string(escape[2:6]), 16, 16)
			low, _ := strconv.ParseUint(string(escape[8:]), 16, 16)
			return fmt.Appendf(nil, `\U%08x`, utf16.DecodeRune(rune(high), rune(low)))
		})
		return append(joined, bytes.Repeat([]byte(" "), len(s)-len(joined))...)
	}))
}
