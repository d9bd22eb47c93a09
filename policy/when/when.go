// Package when compiles the conditions of rules.
//
// A condition is an expression in CEL (https://cel.dev) whose value is true or false. A rule
// with a condition matches only if the condition is true:
//
//	now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]
//	cidr("10.0.0.0/8").containsIP(request.ip)
//	claims.ref == "refs/heads/main" && claims.environment == "production"
//	groups.exists(g, g.startsWith("team-")) && client.startsWith("docker/")
//
// # Variables
//
//	request.ip   the client's address; containsIP, isLoopback, family … (IPv4 in IPv6 is IPv4)
//	now          the time; getHours("Europe/Paris"), timestamp("2026-12-24T00:00:00Z")
//	user         the name of the user; "" for a robot, a workload and an anonymous request
//	groups       the groups of the principal, a list of texts
//	claims       the principal's claims from an ID token or a directory: claims.ref, claims["a-b"]
//	client       the name of the client (User-Agent); clients can send any text
//	registry the service name of the registry
//
// # Operators and functions
//
// Conditions can compare (== != < <= > >= in), join (&& || !), choose (a ? b : c) and calculate
// (+ - * / %). There are functions for:
//
//   - texts: startsWith, endsWith, contains, matches with an RE2 pattern, size;
//   - lists: in, all, exists, exists_one, filter, size;
//   - networks: ip, cidr, containsIP, containsCIDR;
//   - times: getFullYear, getMonth, getDate, getDayOfWeek, getHours, getMinutes and others, each
//     in UTC, in a zone like "Europe/Paris", or at an offset like "+02:00".
//
// Days of the week and months count from 0. Use their names instead: SUNDAY to SATURDAY, JANUARY
// to DECEMBER.
//
// # Missing claims
//
// Reading a missing claim is an error. A condition with an error never grants anything: an allow
// rule does not match, and a deny rule matches. Check first whether the claim exists, or give a
// default:
//
//	has(claims.environment) && claims.environment == "production"
//	claims[?"environment"].orValue("none") == "production"
//
// # Distinguished names
//
// The operators ==, != and in compare user and groups like the subjects of rules: all spellings
// of a distinguished name are equal, as in "CN=Ops, DC=com" in groups. A condition can also search
// groups for a part of a distinguished name, with startsWith, endsWith, contains or matches. Such
// a part must be in canonical spelling, as in cn=ops,ou=groups,dc=example,dc=com. Compile refuses
// any other spelling.
//
// # Types
//
// The type of a claim is its type in JSON: the number 2 is not the text "2". Comparing values of
// different types is an error. This holds for ==, !=, in and <, and also inside lists and objects.
// In plain CEL, such a comparison is not an error: the values are not equal. So a deny rule with
// == would never match, and nobody would notice. All numbers have one type: 3 equals 3.0. Whole
// numbers are exact. A number beyond 64 bits can be compared only if a 64-bit floating-point
// number represents it exactly. Arithmetic needs two whole numbers or two numbers with fractions,
// as in claims.attempt + 1. A null value can be compared only with null. Use int(claims.attempt)
// and string(claims.level) to convert.
//
// An input that the request omits is unknown. It is an error to read an unknown time (now),
// address (request.ip) or registry.
//
// # Limits
//
// A condition reads no disk, no environment and no clock, and stores nothing between requests. The
// length and depth of its text and the cost of an evaluation are limited. An evaluation that would
// take more than about a millisecond is an error, even if the reason is the size of the claims. A
// pattern must be a literal text in the condition, so that a request cannot provide a pattern. A
// request cannot provide a new time zone, either.
//
// Compile finds all errors that do not depend on a request, with line and column: syntax, names,
// types, zones, networks, patterns, and a result that is not true or false.
package when

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"weak"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Compiler compiles conditions. Conditions with equal texts share one program as long as one of
// these conditions is in use. A Compiler does not store invalid conditions or conditions that are
// no longer in use. It may be used from any goroutine. The zero Compiler is ready to use.
type Compiler struct {
	mu       sync.Mutex
	language *language // created when the first condition is compiled
	compiled map[string]weak.Pointer[condition]
}

// NewCompiler returns a new Compiler.
func NewCompiler() *Compiler { return new(Compiler) }

// Compile checks the text of a condition and prepares its evaluation. An error has the type
// [Errors]. It lists all errors in the text, except errors that are hidden by other errors.
func (c *Compiler) Compile(text string) (policy.Condition, error) {
	if c == nil {
		c = NewCompiler()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.compiled[text].Value(); known != nil {
		return known, nil
	}
	made, err := c.compile(text)
	if err != nil {
		return nil, err
	}
	if c.compiled == nil {
		c.compiled = map[string]weak.Pointer[condition]{}
	}
	c.compiled[text] = weak.Make(made)
	runtime.AddCleanup(made, c.remove, text)
	return made, nil
}

// remove removes a text whose condition is no longer in use. If a new condition with the same text
// exists already, remove does nothing.
func (c *Compiler) remove(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled[text].Value() == nil {
		delete(c.compiled, text)
	}
}

func (c *Compiler) compile(text string) (*condition, error) {
	if c.language == nil {
		l, err := newLanguage()
		if err != nil {
			return nil, fmt.Errorf("preparing conditions: %w", err)
		}
		c.language = l
	}
	return c.language.compile(text)
}

// Constant returns the value of a condition that reads no input and therefore has the same value
// for every request. For any other condition, the second result is false.
func Constant(c policy.Condition) (value, constant bool) {
	own, ok := c.(*condition)
	if !ok || !own.constant {
		return false, false
	}
	value, err := own.Holds(&policy.Request{})
	return value, err == nil
}

// Error is an error in the text of a condition.
type Error struct {
	Line       int    `json:"line"`                 // in the text, from 1
	Column     int    `json:"column"`               // from 1, in characters
	Text       string `json:"text"`                 // `unknown name "grops"`
	Suggestion string `json:"suggestion,omitempty"` // "groups"; "" if there is no suggestion
}

// Error returns a text such as `1:36: unknown name "grops" (did you mean "groups"?)`.
func (e *Error) Error() string {
	if e == nil {
		return "no error"
	}
	text := fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Text)
	if e.Suggestion != "" {
		text += fmt.Sprintf(" (did you mean %q?)", e.Suggestion)
	}
	return text
}

// Errors are all errors in the text of a condition, sorted by place.
type Errors []*Error

// Error returns one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}
