package policy

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// maxDigits is how many digits a whole number may have to be kept exactly.
const maxDigits = 64

// maxClaimDepth bounds how deep lists and objects of a claim may stand within each other.
const maxClaimDepth = 16

// CanonicalClaims returns the claims with each value in its canonical form (see CanonicalClaim). A
// claim that is null is one that is not there. What has no such form is named: it must not be left
// out, or a deny that speaks of it would be skipped.
func CanonicalClaims(from map[string]any) (claims map[string]any, bad string) {
	if len(from) == 0 {
		return nil, ""
	}
	claims = make(map[string]any, len(from))
	for name, value := range from {
		if value == nil {
			continue
		}
		var ok bool
		if claims[name], ok = CanonicalClaim(value); !ok {
			return nil, name
		}
	}
	if len(claims) == 0 {
		return nil, ""
	}
	return claims, ""
}

// CanonicalClaim returns the value of a claim in the one form that equal values share, however
// they were decoded:
//
//	text, true or false, null    string, bool, nil
//	a number                     json.Number with its canonical text (see CanonicalNumber)
//	a list                       []any
//	an object                    map[string]any
//
// The type of a value is kept: a rule can tell 1 from "1" and true from "true". It is false for
// what JSON has no form for.
func CanonicalClaim(value any) (any, bool) { return canonical(value, maxClaimDepth) }

func canonical(value any, depth int) (any, bool) {
	if depth == 0 {
		return nil, false
	}
	switch v := value.(type) {
	case nil, bool, string:
		return v, true
	case json.Number:
		return number(CanonicalNumber(string(v)))
	case float64:
		return number(CanonicalNumber(strconv.FormatFloat(v, 'g', -1, 64)))
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

func number(n json.Number, ok bool) (any, bool) { return n, ok }

// CanonicalNumber returns the canonical text of a number in JSON, so that equal numbers have equal
// texts: 3 of 3.0 and of 30e-1. Whole numbers of up to 64 digits are exact. All others are what
// the nearest 64-bit floating-point number is, as in JavaScript: 0.5, 1e-7. It is false for what
// is no number, or outside their range.
func CanonicalNumber(text string) (json.Number, bool) {
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
	digits, exponent, negative, _ = readNumber(string(short)) // a large fraction may have become a whole number
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

// readNumber takes the text of a number in JSON apart: it is digits times ten to the exponent. The
// digits neither begin nor end with a zero; zero has none.
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

// claim yields the texts that ${claims.NAME} stands for: the claim's text, the canonical JSON text
// of a number, true or false; of a list, those of its items. All else in a claim is no part of a
// path, and so matches nothing.
func (who *Principal) claim(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if who.Kind == Anonymous {
			return
		}
		switch c := who.Claims[name].(type) {
		case []string:
			for _, text := range c {
				if !yield(text) {
					return
				}
			}
		case []any:
			for _, value := range c {
				if text, ok := claimText(value); ok && !yield(text) {
					return
				}
			}
		default:
			if text, ok := claimText(c); ok {
				yield(text)
			}
		}
	}
}

// ClaimText returns the text that a value of a claim stands for where a text is wanted: its own,
// or the canonical JSON of a number, true or false. Null, lists and objects stand for none.
func ClaimText(value any) (string, bool) { return claimText(value) }

func claimText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		if isCanonical(string(v)) {
			return string(v), true // what sources give, without a copy
		}
	case nil, []any, map[string]any:
		return "", false
	}
	one, _ := CanonicalClaim(value)
	n, ok := one.(json.Number)
	return string(n), ok
}

// isCanonical reports whether the text is a whole number in the one way to write it. Of others it
// is not known.
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

// equalClaims compares claims by what they are, not by how they were decoded.
func equalClaims(a, b map[string]any) bool {
	if len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	left, bad := CanonicalClaims(a)
	right, alsoBad := CanonicalClaims(b)
	return bad == "" && alsoBad == "" && reflect.DeepEqual(left, right)
}
