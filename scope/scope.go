// Package scope parses the scopes of token requests.
//
// A client asks a token service for scopes. A scope is a resource type, a name and actions, such
// as repository:team/app:pull,push. [Parse] reads the scope values of one request. It accepts all
// forms that clients send: repeated parameters, several scopes in one value, the same repository
// twice. It merges them into one [Scope] for each type and name. Text that is not a scope is
// returned as [Ignored], but does not make a request fail, because clients copy the scopes of a
// registry's challenge, and attackers can put text into a challenge.
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
	TypeRegistry   = "registry" // the only name is "catalog", and the only action is All
	TypeTidewaiter = "tidewaiter"
)

// Limits of one request. The registry allows 255 bytes for a name, not counting a host:port/
// prefix (distribution, reference.RepositoryNameTotalLengthMax).
const (
	MaxScopes = 100       // distinct scopes
	MaxBytes  = 16 << 10  // total bytes of all scopes
	MaxName   = 255 + 256 // bytes of a name, including its host
)

// ErrTooMuch means that a request's scopes exceed MaxScopes or MaxBytes.
var ErrTooMuch = errors.New("too many scopes")

// Scope is a resource and the actions that are requested or granted on it. It is comparable.
type Scope struct {
	Type    string  // "repository", "registry", …
	Class   string  // "plugin" of "repository(plugin)"; deprecated, copied into the token
	Name    string  // "team/app", possibly "host:5000/team/app"
	Actions Actions // never empty in a result of Parse
}

// Check returns an error if the type, class or name of the scope is invalid. It does not check the
// actions. Parse never returns a scope for which Check returns an error.
func (s Scope) Check() error {
	reason := ""
	switch {
	case !validWord(s.Type):
		reason = notAType
	case s.Class != "" && !validWord(s.Class):
		reason = notAClass
	default:
		reason = checkName(s.Type, s.Name)
	}
	if reason == "" {
		return nil
	}
	return fmt.Errorf("the scope %s: %s", text.Quote(text.Shorten(s.String(), 256)), reason)
}

// Ignored is text in a request that is not a scope, or has unknown actions.
type Ignored struct {
	// Text is the original text, cut to at most 256 bytes. Unprintable characters are escaped, so
	// the text is safe in a log line.
	Text   string `json:"text"`
	Reason string `json:"reason"` // "the name has an upper-case letter"
}

// Parse parses all scope values of one request. Each value may contain several scopes,
// separated by spaces. Scopes of the same type and name are merged into one scope, at the
// position of the first one.
//
// Text that is not a scope is in the second result. If only an action is unknown, the scope is
// returned without this action. The values may have at most MaxBytes bytes, MaxScopes scopes and
// MaxScopes invalid texts. Otherwise Parse returns ErrTooMuch together with the first scopes and
// texts, up to the limit. So a client that requests too many repositories still gets a token for
// the first of these repositories. The text of the error says how many scopes and texts were left
// out. Parse returns no other errors. The results share memory with the values.
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
	var positions index
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
				ignored = append(ignored, Ignored{Text: makePrintable(text), Reason: reason})
			}
			if s.Actions == 0 {
				continue
			}
			if at, ok := positions.find(asked, s); ok {
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
			positions.add(asked)
		}
	}
	if len(asked) == 0 {
		asked = nil
	}
	if left > 0 {
		err = fmt.Errorf("%w: %d left out; a request may have at most %d scopes, with at most %d bytes in total", ErrTooMuch, left, MaxScopes, MaxBytes)
	}
	return asked, ignored, err
}

// index finds a scope among the scopes that were parsed so far. It searches up to maxLinear scopes
// one by one. For more scopes, it uses a map, so that the time for each scope does not grow with
// the number of scopes.
type index struct {
	positions map[resource]int // nil for fewer than maxLinear scopes
}

type resource struct{ kind, name string }

const maxLinear = 8

func (x *index) find(asked []Scope, s Scope) (int, bool) {
	if x.positions != nil {
		at, ok := x.positions[resource{s.Type, s.Name}]
		return at, ok
	}
	for i := range asked {
		if asked[i].Name == s.Name && asked[i].Type == s.Type {
			return i, true
		}
	}
	return 0, false
}

// add adds the last of the given scopes to the index.
func (x *index) add(asked []Scope) {
	switch {
	case len(asked) < maxLinear:
	case len(asked) == maxLinear:
		x.positions = make(map[resource]int, min(cap(asked), MaxScopes))
		for i, s := range asked {
			x.positions[resource{s.Type, s.Name}] = i
		}
	default:
		last := asked[len(asked)-1]
		x.positions[resource{last.Type, last.Name}] = len(asked) - 1
	}
}

// MatchService returns the name of the registry that a request names as its service. Some clients,
// such as Watchtower, send the service in lower case. So if no name is equal to the service, but
// exactly one name differs only in case, MatchService returns that name.
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
