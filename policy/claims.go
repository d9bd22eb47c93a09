package policy

import (
	"encoding/json"

	"github.com/tidewaiter/tidewaiter/policy/internal/claim"
)

// CanonicalClaims returns the claims with each value in canonical form (see CanonicalClaim). It
// leaves out claims whose value is null. If a value has no canonical form, CanonicalClaims
// returns the claim's name. The caller must then refuse all claims. If the caller dropped only
// the bad claim, a deny rule that reads this claim would not match.
func CanonicalClaims(from map[string]any) (claims map[string]any, bad string) {
	return claim.CanonicalMap(from)
}

// CanonicalClaim returns the value of a claim in canonical form. Equal values have the same
// canonical form, even if they were decoded in different ways:
//
//	text, true or false, null    string, bool, nil
//	a number                     json.Number with its canonical text (see CanonicalNumber)
//	a list                       []any
//	an object                    map[string]any
//
// The type of a value is kept, so rules can distinguish 1 from "1" and true from "true". The
// second result is false for a value that JSON cannot represent.
func CanonicalClaim(value any) (any, bool) { return claim.Canonical(value) }

// CanonicalNumber returns the canonical text of a JSON number. Equal numbers have the same
// canonical text: 3.0 and 30e-1 become 3. Whole numbers of up to 64 digits are exact. All other
// numbers, such as 0.5 and 1e-7, become the nearest 64-bit floating-point number, as in
// JavaScript. The second result is false for a text that is not a number, and for a number that
// is out of the range of 64-bit floating point.
func CanonicalNumber(text string) (json.Number, bool) { return claim.Number(text) }

// ClaimText returns a claim's value as text: a string itself, or the canonical JSON of a
// number, true or false. The second result is false for null, lists and objects.
func ClaimText(value any) (string, bool) { return claim.Text(value) }
