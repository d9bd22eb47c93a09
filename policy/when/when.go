// Package when turns the text of a condition into a policy.Condition.
//
// A condition is one expression in CEL (https://cel.dev) that is true or false. The rule that has
// it matches only where it is true:
//
//	now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]
//	cidr("10.0.0.0/8").containsIP(request.ip)
//	claims.ref == "refs/heads/main" && claims.environment == "production"
//	groups.exists(g, g.startsWith("team-")) && client.startsWith("docker/")
//
// # What it can ask about
//
//	request.ip   the address of the client; containsIP, isLoopback, family … (IPv4 in IPv6 is IPv4)
//	now          the time of the request; getHours("Europe/Paris"), timestamp("2026-12-24T00:00:00Z")
//	user         the name of the user who asks; "" for a robot, a workload, and nobody
//	groups       the groups of who asks, a list of texts
//	claims       what an ID token or a directory says of who asks: claims.ref, claims["a-b"]
//	client       what the client calls itself (User-Agent); anybody can write anything there
//	registry     the service that is asked for
//
// # What it can do with them
//
// Compare (== != < <= > >= in), join (&& || !), choose (a ? b : c), calculate (+ - * / %), look
// into texts (startsWith, endsWith, contains, matches with an RE2 pattern, size), into lists (in,
// all, exists, exists_one, filter, size), into networks (ip, cidr, containsIP, containsCIDR) and
// times (getFullYear, getMonth, getDate, getDayOfWeek, getHours, getMinutes …, each of UTC, of a
// zone like "Europe/Paris", or of an offset like "+02:00"). Days and months are counted from 0, so
// that they have names: SUNDAY to SATURDAY, JANUARY to DECEMBER.
//
// # A claim that may be missing
//
// To read a claim that is not there is an error, and a condition with an error opens nothing: an
// allow does not match, a deny does. Ask first, or say what holds instead:
//
//	has(claims.environment) && claims.environment == "production"
//	claims[?"environment"].orValue("none") == "production"
//
// # Distinguished names
//
// == != and in compare user and groups as the subjects of rules are compared: a distinguished name
// is equal to each of its spellings, "CN=Ops, DC=com" in groups. A part of one that is looked for
// in groups (startsWith, endsWith, contains, matches) must be in their one spelling,
// cn=ops,ou=groups,dc=example,dc=com: Compile refuses any other.
//
// # Types
//
// A claim has the type that it has in JSON: the number 2 is not the text "2". To compare values of
// different types is an error, with == != and in as with <, and also inside lists and objects: in
// CEL it is false, and a deny would be skipped in silence. Numbers are one type, 3 and 3.0 are
// equal, and whole numbers are exact; those beyond 64 bits can be compared only if a 64-bit
// floating-point number holds them. Arithmetic takes two whole numbers, or two others:
// claims.attempt + 1. What is null can be compared with null alone. int(claims.attempt) and
// string(claims.level) convert.
//
// What the request leaves out is not known: to read now, request.ip or registry is an error then.
//
// # What it cannot do
//
// It reads no disk, no environment and no clock; it keeps nothing from one request for the next.
// Its text, its depth and the work of one evaluation are bounded: a condition that would take more
// than about a millisecond over what a request says is an error, whoever wrote the claims.
// Patterns and zones of people who ask become neither pattern nor zone: a pattern stands in the
// text.
//
// All that can be found wrong is found by Compile, with line and column: syntax, names, types,
// zones, networks, patterns, and a result that is not true or false.
package when

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"weak"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Compiler compiles conditions. Equal texts share one program, however many rules have them, while
// any of them is in use. Nothing is kept of a text that was wrong, or that no rule has any more.
// It may be used from any goroutine. The zero Compiler has compiled nothing yet.
type Compiler struct {
	mu       sync.Mutex
	language *language // created when the first condition is compiled
	compiled map[string]weak.Pointer[condition]
}

// NewCompiler returns a Compiler that has compiled nothing yet.
func NewCompiler() *Compiler { return new(Compiler) }

// Compile checks the text of a condition and prepares its evaluation. The error is [Errors], with
// all that is wrong with the text, as far as it can be found at once.
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
	runtime.AddCleanup(made, c.forget, text)
	return made, nil
}

// forget is told that a condition is in use no more. Its text may have been compiled anew.
func (c *Compiler) forget(text string) {
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

// Constant returns what a condition comes to if it is the same for every request: it asks about
// nothing.
func Constant(c policy.Condition) (value, constant bool) {
	own, ok := c.(*condition)
	if !ok || !own.constant {
		return false, false
	}
	value, err := own.Holds(&policy.Request{})
	return value, err == nil
}

// Error is a mistake in the text of a condition.
type Error struct {
	Line       int    `json:"line"`                 // in the text, from 1
	Column     int    `json:"column"`               // from 1, in characters
	Text       string `json:"text"`                 // `unknown name "grops"`
	Suggestion string `json:"suggestion,omitempty"` // "groups"; "" if there is none
}

// Error returns `1:36: unknown name "grops" (did you mean "groups"?)`.
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

// Errors are all mistakes in the text of a condition, in the order of their places.
type Errors []*Error

// Error returns one line for each.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each of them.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}
