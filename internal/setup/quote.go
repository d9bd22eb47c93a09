package setup

import "encoding/json"

// quote writes s as a double-quoted string of YAML, which JSON's are as well.
func quote(s string) (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}
