// Package claim compares the values of claims, which are decoded JSON, and converts them to text.
package claim

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// maxDigits is the maximum number of digits of a whole number that is not rounded.
const maxDigits = 64

// maxDepth is the maximum nesting depth of lists and objects in a claim.
const maxDepth = 16

// CanonicalMap implements policy.CanonicalClaims.
func CanonicalMap(from map[string]any) (claims map[string]any, bad string) {
	if len(from) == 0 {
		return nil, ""
	}
	claims = make(map[string]any, len(from))
	for name, value := range from {
		if value == nil {
			continue
		}
		var ok bool
		if claims[name], ok = Canonical(value); !ok {
			return nil, name
		}
	}
	if len(claims) == 0 {
		return nil, ""
	}
	return claims, ""
}

// Canonical implements policy.CanonicalClaim.
func Canonical(value any) (any, bool) { return canonical(value, maxDepth) }

func canonical(value any, depth int) (any, bool) {
	if depth == 0 {
		return nil, false
	}
	switch v := value.(type) {
	case nil, bool, string:
		return v, true
	case json.Number:
		return anyNumber(Number(string(v)))
	case float64:
		return anyNumber(Number(strconv.FormatFloat(v, 'g', -1, 64)))
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			var ok bool
			if list[i], ok = canonical(item, depth-1); !ok {
				return nil, false
			}
		}
		return list, true
	case []string:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = item
		}
		return list, true
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, item := range v {
			var ok bool
			if object[key], ok = canonical(item, depth-1); !ok {
				return nil, false
			}
		}
		return object, true
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return json.Number(strconv.FormatInt(v.Int(), 10)), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return json.Number(strconv.FormatUint(v.Uint(), 10)), true
	case reflect.Float32, reflect.Float64:
		return canonical(v.Float(), depth)
	}
	return nil, false
}

func anyNumber(n json.Number, ok bool) (any, bool) { return n, ok }

// Number implements policy.CanonicalNumber.
func Number(text string) (json.Number, bool) {
	digits, exponent, negative, ok := readNumber(text)
	if !ok {
		return "", false
	}
	if digits == "" {
		return "0", true
	}
	if whole, ok := wholeNumber(digits, exponent, negative); ok {
		return whole, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || f == 0 {
		return "", false
	}
	short, err := json.Marshal(f)
	if err != nil {
		return "", false
	}
	// Rounding can turn a large number with a fraction into a whole number.
	digits, exponent, negative, _ = readNumber(string(short))
	if whole, ok := wholeNumber(digits, exponent, negative); ok {
		return whole, true
	}
	return json.Number(short), true
}

func wholeNumber(digits string, exponent int, negative bool) (json.Number, bool) {
	if exponent < 0 || len(digits)+exponent > maxDigits {
		return "", false
	}
	sign := ""
	if negative {
		sign = "-"
	}
	return json.Number(sign + digits + strings.Repeat("0", exponent)), true
}

// readNumber splits the text of a JSON number, whose value is digits times ten to the power of
// exponent. The digits neither begin nor end with 0. For the number zero, digits is empty.
func readNumber(text string) (digits string, exponent int, negative, ok bool) {
	text, negative = strings.CutPrefix(text, "-")
	mantissa, power := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, power = text[:i], text[i+1:]
		power = strings.TrimPrefix(power, "+")
		n, err := strconv.Atoi(power)
		if err != nil || strings.HasPrefix(power, "+") || n > 100_000 || n < -100_000 {
			return "", 0, false, false
		}
		exponent = n
	}
	whole, fraction, point := strings.Cut(mantissa, ".")
	if whole == "" || point && fraction == "" || len(whole) > 1 && whole[0] == '0' || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", 0, false, false
	}
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	return trimmed, exponent, negative, true
}

// Text implements policy.ClaimText.
func Text(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		if isCanonical(string(v)) {
			return string(v), true // the usual case, without a copy
		}
	case nil, []any, map[string]any:
		return "", false
	}
	one, _ := Canonical(value)
	n, ok := one.(json.Number)
	return string(n), ok
}

// isCanonical reports whether the text is a whole number in canonical form. It returns false
// for every fraction.
func isCanonical(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > maxDigits || digits[0] == '0' && text != "0" {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

// Equal reports whether claims have equal values, even if they were decoded to different
// Go types.
func Equal(a, b map[string]any) bool {
	if len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	left, bad := CanonicalMap(a)
	right, alsoBad := CanonicalMap(b)
	return bad == "" && alsoBad == "" && reflect.DeepEqual(left, right)
}
