package policy

import (
	"encoding/json"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// CanonicalClaims returns the claims with each value in canonical form (see CanonicalClaim). It
// leaves out claims whose value is null. If a value has no canonical form, it returns the
// claim's name in bad. The caller must not drop that claim, because a deny rule that reads it
// would be skipped.
func CanonicalClaims(from map[string]any) (claims map[string]any, bad string) {
	return match.CanonicalClaims(from)
}

// CanonicalClaim returns the value of a claim in canonical form, which is the same for equal
// values however they were decoded:
//
//	text, true or false, null    string, bool, nil
//	a number                     json.Number with its canonical text (see CanonicalNumber)
//	a list                       []any
//	an object                    map[string]any
//
// The type of a value is kept: rules can distinguish 1 from "1" and true from "true". The
// second result is false for a value that JSON cannot represent.
func CanonicalClaim(value any) (any, bool) { return match.CanonicalClaim(value) }

// CanonicalNumber returns the canonical text of a JSON number, which is the same for equal
// numbers: 3 for 3.0 and for 30e-1. Whole numbers of up to 64 digits are exact. All others
// become the nearest 64-bit floating-point number, as in JavaScript: 0.5, 1e-7. The second
// result is false for a text that is not a number, and for a number that is out of the range of
// 64-bit floating point.
func CanonicalNumber(text string) (json.Number, bool) { return match.CanonicalNumber(text) }

// ClaimText returns a claim's value as text: a string itself, or the canonical JSON of a
// number, true or false. The second result is false for null, lists and objects.
func ClaimText(value any) (string, bool) { return match.ClaimText(value) }
