package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/internal/claim"
)

// Subject selects principals in rules: for example signed-in, user:ann or group:dev. A principal
// has several subjects. A rule applies to a principal if both have a subject in common. Subjects
// are not patterns.
//
// A distinguished name (cn=ops,ou=groups,dc=example,dc=com) is stored in canonical form, so
// that all spellings of a group's name are equal.
type Subject struct {
	Kind SubjectKind
	Name string // "" for a kind without names
}

// SubjectKind is the kind of a subject. Its first four values have the same numbers as the four
// values of policy.Kind.
type SubjectKind uint8

// The kinds of subjects.
const (
	Anonymous SubjectKind = iota
	User
	Robot
	Workload
	Group
	SignedIn
	Anyone
)

// words are the names of the kinds in rules.
var words = [...]string{"anonymous", "user", "robot", "workload", "group", "signed-in", "anyone"}

// Named reports whether subjects of this kind have names.
func (k SubjectKind) Named() bool { return User <= k && k <= Group }

func (s Subject) String() string {
	if !s.Kind.Named() {
		return words[s.Kind]
	}
	return words[s.Kind] + ":" + s.Name
}

// Who has the properties of a principal that rules depend on.
type Who struct {
	// Kind is Anonymous, User, Robot or Workload. A principal of any other kind only has the
	// subject Anyone.
	Kind   SubjectKind
	Name   string
	Groups []string
	Claims map[string]any
}

// Count returns the number of subjects of the principal. The method Subject returns one subject by
// its number. An anonymous principal has no groups and no name, even if the struct has some.
func (who *Who) Count() int {
	switch who.Kind {
	case User, Robot, Workload:
		return 3 + len(who.Groups)
	case Anonymous:
		return 2
	}
	return 1
}

// Subject returns the i-th subject of the principal.
func (who *Who) Subject(i int) Subject {
	switch i {
	case 0:
		return Subject{Kind: Anyone}
	case 1:
		if who.Kind == Anonymous {
			return Subject{Kind: Anonymous}
		}
		return Subject{Kind: SignedIn}
	case 2:
		return Subject{who.Kind, dn.Canonical(who.Name)}
	}
	return Subject{Group, dn.Canonical(who.Groups[i-3])}
}

// Has reports whether the principal has the subject.
func (who *Who) Has(s Subject) bool {
	for i := range who.Count() {
		if who.Subject(i) == s {
			return true
		}
	}
	return false
}

// UserValue returns the value of ${user}. For robots and workloads, ${user} has no value.
// Otherwise a person who is allowed to create a robot could call it "ann" and get access to ann's
// repositories.
func (who *Who) UserValue() (string, bool) {
	return who.Name, who.Kind == User && ValidPart(who.Name)
}

// MemberOf reports whether ${group} matches the part. It returns true if the principal is in a
// group of this name and the part is valid in a repository's name.
func (who *Who) MemberOf(part string) bool {
	return ValidPart(part) && who.Has(Subject{Group, part})
}

// CompiledSubject parses a subject of a compiled policy, which is always valid.
func CompiledSubject(written string) Subject {
	word, name, _ := strings.Cut(written, ":")
	return Subject{SubjectKind(slices.Index(words[:], word)), dn.Canonical(name)}
}

// ParseSubject parses a subject of a rule.
func ParseSubject(written string) (Subject, *SyntaxError) {
	word, name, named := strings.Cut(written, ":")
	at := slices.Index(words[:], word)
	if at < 0 {
		return Subject{}, unknownSubject(written, word, name, named)
	}
	kind := SubjectKind(at)
	switch {
	case !kind.Named() && named:
		return Subject{}, Errorf("the subject %q must not have a name", written).Suggest(word)
	case !kind.Named():
		return Subject{Kind: kind}, nil
	case name == "":
		return Subject{}, Errorf("the subject %q has no name", written)
	case name == "*":
		return Subject{}, Errorf("the subject %q must not be a pattern: subjects are compared as they are written", written).Suggest("signed-in")
	case strings.Contains(name, "*") || strings.Contains(name, "${"):
		return Subject{}, Errorf("the subject %q must not be a pattern: subjects are compared as they are written", written)
	case strings.TrimSpace(name) != name:
		return Subject{}, Errorf("the subject %q begins or ends with a space", written).Suggest(word + ":" + strings.TrimSpace(name))
	case !text.Printable(name):
		return Subject{}, Errorf("the subject %q has an invisible character", written)
	}
	return Subject{kind, dn.Canonical(name)}, nil
}

// otherKinds maps words that other systems use for kinds of subjects, such as "team", to
// Tidewaiter's words.
var otherKinds = map[string]string{
	"team": "group", "teams": "group", "role": "group", "org": "group", "organization": "group", "member": "group", "members": "group",
	"person": "user", "people": "user", "account": "user", "login": "user",
	"bot": "robot", "service": "robot", "serviceaccount": "robot", "sa": "robot",
	"job": "workload", "ci": "workload", "oidc": "workload", "pod": "workload",
}

// issuers lists words at the beginning of many names of workloads. The author of a rule may
// confuse such a word with a kind: github:team/app instead of workload:github:team/app.
var issuers = []string{"github", "gitlab", "buildkite", "spiffe", "system"}

func unknownSubject(written, word, name string, named bool) *SyntaxError {
	if written == "" {
		return Errorf("the subject is empty; for everybody write anyone")
	}
	bad := Errorf("%q is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME", written)
	switch {
	case named && name == "":
		return bad
	case named:
		if kind := cmp.Or(text.Nearest(word, words[User:SignedIn]), otherKinds[strings.ToLower(word)]); kind != "" {
			bad.Suggestion = kind + ":" + name
		} else if slices.Contains(issuers, word) {
			bad.Suggestion = "workload:" + written
		}
		return bad
	}
	if name, ok := strings.CutPrefix(written, "@"); ok && name != "" {
		bad.Suggestion = "group:" + name
		return bad
	}
	// the form in which robots sign in
	if name, ok := strings.CutPrefix(written, "robot+"); ok && name != "" {
		bad.Suggestion = "robot:" + name
		return bad
	}
	switch strings.ToLower(word) {
	case "*", "all", "everyone", "everybody", "public":
		bad.Suggestion = "anyone"
	case "authenticated", "users", "user":
		bad.Suggestion = "signed-in"
	default:
		bad.Suggestion = text.Nearest(word, []string{"anyone", "anonymous", "signed-in"})
	}
	return bad
}

// Claim yields the values of ${claims.NAME}: the text of the claim, or the canonical JSON text
// of a number, true or false. For a list, it yields the texts of its items. Other values cannot
// be part of a path and match nothing.
func (who *Who) Claim(name string) func(func(string) bool) {
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
				if text, ok := claim.Text(value); ok && !yield(text) {
					return
				}
			}
		default:
			if text, ok := claim.Text(c); ok {
				yield(text)
			}
		}
	}
}
