// Package scope answers: what is being asked for?
//
// A client asks a token service for scopes: a resource type, a name and actions, written
// repository:team/app:pull,push. [Parse] reads the scope values of one request as clients really
// send them (repeated parameters, several scopes in one value, the same repository twice) and
// merges them to one [Scope] for each type and name. Text that is not a scope is reported beside
// them as [Ignored] and never fails a request: a client forwards what a registry's challenge
// held, and anyone who makes a request shapes that.
//
// Package policy decides about scopes, and package token writes them into tokens.
package scope

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// The resource types that Tidewaiter knows.
const (
	TypeRepository = "repository"
	TypeRegistry   = "registry" // its one name is "catalog", its one action All
	TypeTidewaiter = "tidewaiter"
)

// Limits of one request. The registry's own limit of a name is 255 bytes (distribution,
// reference.RepositoryNameTotalLengthMax); a host:port/ prefix may stand before it.
const (
	MaxScopes = 100       // distinct scopes
	MaxBytes  = 16 << 10  // bytes of all scopes together
	MaxName   = 255 + 256 // bytes of one name with its host
)

// ErrTooMuch means that a request's scopes exceed MaxScopes or MaxBytes.
var ErrTooMuch = errors.New("too many scopes")

// Scope is one resource and the actions that are asked for or granted on it. It is comparable.
type Scope struct {
	Type    string  // "repository", "registry", …
	Class   string  // "plugin" of "repository(plugin)"; deprecated, kept for the token
	Name    string  // "team/app", possibly "host:5000/team/app"
	Actions Actions // never empty in what Parse returns
}

// Check returns an error if Parse could not have returned the type, the class or the name of a
// scope. It does not look at the actions.
func (s Scope) Check() error {
	reason := ""
	switch {
	case !word(s.Type):
		reason = notAType
	case s.Class != "" && !word(s.Class):
		reason = notAClass
	default:
		reason = checkName(s.Type, s.Name)
	}
	if reason == "" {
		return nil
	}
	return fmt.Errorf("the scope %s: %s", text.Quote(text.Shorten(s.String(), 256)), reason)
}

// Ignored is text that was offered as a scope and is none, or holds actions that are none.
type Ignored struct {
	// Text is what came, at most 256 bytes of it. What is not printable is escaped, so it is
	// safe in a log line.
	Text   string `json:"text"`
	Reason string `json:"reason"` // "the name has an upper-case letter"
}

// Parse reads all scope values of one request. Each may hold several scopes, separated by
// spaces. Scopes of the same type and name become one with the actions of both, at the place of
// the first.
//
// What is no scope is ignored and told; an unknown action is ignored and told, and the rest of
// its scope stays. Some clients ask for everything that they mirror at once: where the values
// are longer than MaxBytes, or hold more than MaxScopes scopes or as many things that are none,
// the first that fit are returned together with ErrTooMuch, whose text tells how many were left
// out. There is no other error. What is returned shares memory with the values.
func Parse(values []string) (asked []Scope, ignored []Ignored, err error) {
	bytes, most := 0, 0
	for _, v := range values {
		bytes += len(v)
		most += 1 + strings.Count(v, " ")
	}
	if bytes == 0 {
		return nil, nil, nil
	}

	asked = make([]Scope, 0, min(most, MaxScopes))
	var places index
	read, left := 0, 0
	for _, v := range values {
		for text := range strings.SplitSeq(v, " ") {
			if text == "" {
				continue
			}
			if read += len(text); read > MaxBytes {
				left++
				continue
			}
			s, reason := parse(text)
			if reason != "" {
				if len(ignored) == MaxScopes {
					left++
					continue
				}
				ignored = append(ignored, Ignored{Text: shown(text), Reason: reason})
			}
			if s.Actions == 0 {
				continue
			}
			if at, ok := places.find(asked, s); ok {
				asked[at].Actions |= s.Actions
				if asked[at].Class == "" {
					asked[at].Class = s.Class
				}
				continue
			}
			if len(asked) == MaxScopes {
				left++
				continue
			}
			asked = append(asked, s)
			places.add(asked)
		}
	}
	if len(asked) == 0 {
		asked = nil
	}
	if left > 0 {
		err = fmt.Errorf("%w: %d left out; a request may have %d, of %d bytes together", ErrTooMuch, left, MaxScopes, MaxBytes)
	}
	return asked, ignored, err
}

// index finds a scope among those before it. Few are looked through; many get a map, so that a
// request at the limits costs no more for each scope than a small one.
type index struct {
	places map[resource]int // nil up to few scopes
}

type resource struct{ kind, name string }

const few = 8

func (x *index) find(asked []Scope, s Scope) (int, bool) {
	if x.places != nil {
		at, ok := x.places[resource{s.Type, s.Name}]
		return at, ok
	}
	for i := range asked {
		if asked[i].Name == s.Name && asked[i].Type == s.Type {
			return i, true
		}
	}
	return 0, false
}

// add takes up the last scope of asked.
func (x *index) add(asked []Scope) {
	switch {
	case len(asked) < few:
	case len(asked) == few:
		x.places = make(map[resource]int, min(cap(asked), MaxScopes))
		for i, s := range asked {
			x.places[resource{s.Type, s.Name}] = i
		}
	default:
		last := asked[len(asked)-1]
		x.places[resource{last.Type, last.Name}] = len(asked) - 1
	}
}

// MatchService returns which of the registries' names a client means by the service of its
// request. Some clients send it in lower case (Watchtower): where exactly one name differs in
// nothing but case, it is meant.
func MatchService(asked string, names iter.Seq[string]) (name string, ok bool) {
	if names == nil {
		return "", false
	}
	found := 0
	for n := range names {
		if n == asked {
			return n, true
		}
		if strings.EqualFold(n, asked) {
			name = n
			found++
		}
	}
	if found != 1 {
		return "", false
	}
	return name, true
}
